"""Without one rule the same stories show a client what is impossible: the worlds of these tests can fail.

The switches are of the build with the Cargo feature `mutants` (`make build-mutants`, which `make test` runs before),
loaded in a process of its own in the place of the package's module.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from shorthorn.native import _native

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / ".cache/mutants/_native.abi3.so"
SEEDS = [str(seed) for seed in range(20)]

pytestmark = pytest.mark.skipif(
    not MUTANTS.is_file(), reason="the build with mutants is not there: make build-mutants"
)


def told(story: str, rule: str) -> list[str]:
    """A line a seed, without a rule; an empty name leaves all rules in."""
    command = [sys.executable, "-m", "tests.native.apart", story, *SEEDS]
    ran = subprocess.run(
        [*command, "--native", str(MUTANTS), "--without", rule],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    ("story", "rule"), [("half_a_write", "no-equalise"), ("a_copy_loses_power", "any-source")]
)
def test_a_client_reads_what_is_impossible_only_without_the_rule(story: str, rule: str) -> None:
    wrong = [line for line in told(story, rule) if " impossible " in line]
    assert any("read" in line and "returned 0" in line for line in wrong), (
        "nobody notices that the rule is out"
    )
    held = told(story, "")
    assert len(held) == len(SEEDS)
    assert all(" holds " in line for line in held)


def test_the_package_has_no_switch() -> None:
    assert not hasattr(_native, "choose_mutant")
