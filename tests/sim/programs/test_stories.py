"""Sessions that end badly, by seed: clients read only what can be; a seed repeats; without a rule somebody notices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.programs.stories import Story

ROOT = Path(__file__).parents[3]
MUTANTS = ROOT / ".cache/mutants/_native.abi3.so"


def apart(*seeds: int, **environment: str) -> list[str]:
    """A line a seed, told by another process."""
    command = [sys.executable, "-m", "tests.sim.programs.apart", *(str(seed) for seed in seeds)]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("seed", range(12))
def test_clients_read_only_what_can_be(seed: int) -> None:
    Story(seed).tell()


def test_a_seed_repeats_under_another_hash_seed() -> None:
    told = [apart(3, 4, PYTHONHASHSEED=hash_seed) for hash_seed in ("0", "1")]
    assert told[0] == told[1]
    assert told[0][0].split()[1:] != told[0][1].split()[1:]


@pytest.mark.skipif(not MUTANTS.is_file(), reason="no build with mutants: make build-mutants")
@pytest.mark.parametrize("rule", ["no-equalise", "any-source"])
def test_without_a_rule_a_client_reads_what_can_not_be(rule: str) -> None:
    told = apart(*range(16), SHORTHORN_NATIVE=str(MUTANTS), SHORTHORN_MUTANT=rule)
    assert any(" wrong " in line for line in told)
