"""A search finds the same states and tells the same story whatever the hash seed of the interpreter is."""

import json
import os
import subprocess
import sys

import pytest


def explored(seed: str, *arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "shorthorn", "explore", "--output", "json", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    world: dict[str, object] = json.loads(done.stdout)["worlds"][0]
    return {key: value for key, value in world.items() if key != "seconds"}


@pytest.mark.parametrize(
    "arguments",
    [("--world", "n3r2-restart"), ("--world", "n3r2-crash", "--without", "clear-unordered")],
    ids=["complete", "broken"],
)
def test_two_hash_seeds_tell_the_same(arguments: tuple[str, ...]) -> None:
    assert explored("1", *arguments) == explored("2", *arguments)
