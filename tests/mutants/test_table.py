"""Every rule of the table is missed when it is out, and nothing is wrong when it is in."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mutants.ghost import hunt
from tests.mutants.switches import SWITCHES, out
from tests.mutants.table import TABLE, Row

ROOT = Path(__file__).parents[2]
SEEDS = 4_000
"""The rarest violation (fence-not-in-sync) shows within 500 walks; a rule that is in must survive many more."""

PYTHON = [row for row in TABLE if row.language == "python"]
RUST = [row for row in TABLE if row.language == "rust"]


def name(row: Row) -> str:
    return row.switch


def test_the_table_names_every_switch_once() -> None:
    assert sorted(row.switch for row in PYTHON) == sorted(SWITCHES)
    source = (ROOT / "crates/shorthorn-core/src/mutants.rs").read_text()
    switches = re.findall(r'\(Self::\w+, "([a-z-]+)"\)', source)
    assert sorted(row.switch for row in RUST) == sorted(switches)


def test_with_all_rules_in_nothing_is_wrong() -> None:
    assert hunt(SEEDS) is None


@pytest.mark.parametrize("row", PYTHON, ids=name)
def test_without_the_rule_something_is_wrong(row: Row) -> None:
    with out(row.switch):
        found = hunt(SEEDS)
    assert found is not None, f"nothing notices that the rule is out: {row.rule}"
    seed, violation = found
    assert row.test in violation
    assert hunt(seed + 1) is None, "the same walks pass with the rule in"


@pytest.fixture(scope="module")
def rust_results() -> dict[str, str]:
    """Test name to result, of one run of the tests that need the Cargo feature `mutants`."""
    cargo = shutil.which("cargo")
    assert cargo is not None, "the table needs cargo"
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutants"
    command = [cargo, "test", "--release", "--locked", "--package", "shorthorn-core", "--features", "mutants"]
    ran = subprocess.run(
        [*command, "--test", "mutants_are_caught"],
        cwd=ROOT,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=840,
    )
    results = dict(re.findall(r"^test (\w+) \.\.\. (\w+)", ran.stdout, re.MULTILINE))
    assert results, ran.stderr[-4000:]
    return results


@pytest.mark.serial
@pytest.mark.timeout(900)
@pytest.mark.parametrize("row", RUST, ids=name)
def test_without_the_rule_a_world_of_the_data_path_is_wrong(row: Row, rust_results: dict[str, str]) -> None:
    assert rust_results.get(row.test) == "ok", f"{row.rule}: {row.test} {rust_results.get(row.test)}"
