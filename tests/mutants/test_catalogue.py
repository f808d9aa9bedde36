"""Every row of the law and of docs/protocol.md section 3 has its mutants, and what is quick to hunt is caught.

The whole catalogue is hunted by `python -m tests.mutants` (`make prove`).
"""

import re
from pathlib import Path

import pytest

from shorthorn.core.lifecycle import law
from tests.mutants import nets, nodes
from tests.mutants.catalogue import Entry, catalogue
from tests.mutants.ghost import hunt
from tests.mutants.patches import PATCHES
from tests.mutants.rows import NOT_BUILT, ROWS, messages
from tests.mutants.switches import INSTEAD, NODE_GUARDS, OUT, guards_of_rows, out

ROOT = Path(__file__).parents[2]
BY_NAME = {entry.name: entry for entry in catalogue()}

MODEL = [
    "ack-before-removal",
    "no-epoch-check",
    "no-grants",
    "early-synced",
    "offline-no-epoch",
    "no-equalise",
    "last-guard",
    "fence-no-seal",
    "lost-in-fencing",
    "any-source",
    "seal-no-sync",
    "read-in-flight",
    "own-clear",
    "clear-unordered",
    "join-on-answer",
    "join-no-flush",
    "copy-overtakes",
    "no-attempt",
    "reconnect",
    "late-copier",
    "offline-unclean",
    "serve-uncommitted",
    "nospace-fails",
    "silent-restart",
]
"""The mutants of tests/model/protocol_model.py, all but drop-whole, which is the decided behaviour."""

QUICK_CORES = (
    "no-range-lock",
    "any-source",
    "seal-no-sync",
    "ack-before-removal",
    "nospace-fails",
    "join-on-answer",
    "copy-overtakes",
    "own-clear",
    "serve-uncommitted",
    "silent-restart",
    "torn-forgotten",
    "seal-any-epoch",
    "delete-newer",
)
"""Caught within a second each; late for a whole run are those that need hundreds of seeds."""


QUICK_SIM = ("early-synced", "no-mirror")
"""Caught in the first minutes of a whole cluster."""


def name(entry: Entry) -> str:
    return entry.name


def of_kind(*kinds: str) -> list[Entry]:
    return [entry for entry in catalogue() if entry.kind in kinds]


def test_the_catalogue_is_large_enough_and_names_are_unique() -> None:
    names = [entry.name for entry in catalogue()]
    assert len(names) == len(set(names))
    assert len(names) >= 45


def test_it_holds_the_mutants_of_the_model() -> None:
    assert [mutant for mutant in MODEL if mutant not in BY_NAME] == []


def test_every_guard_of_the_law_has_a_mutant() -> None:
    missing = [switch for switch in guards_of_rows() if switch not in BY_NAME]
    assert missing == []
    guarded = {switch.split(":")[1] for switch in guards_of_rows()}
    unguarded = {event.__name__ for event in law.TABLE} - guarded
    assert unguarded == {"DetachRequested", "TaskEnded"}, "letting go and giving up are always accepted"


def test_every_row_of_the_messages_has_a_mutant() -> None:
    for message in messages():
        row = next((known for known in ROWS if message.startswith(known)), None)
        assert row is not None, f"no mutant takes anything out of: {message}"
        for mutant in ROWS[row]:
            assert mutant == NOT_BUILT or mutant in BY_NAME, mutant


def test_every_switch_is_in_the_catalogue() -> None:
    source = (ROOT / "crates/shorthorn-core/src/mutants.rs").read_text()
    cores = re.findall(r'^    \w+ = "([a-z-]+)",$', source, re.MULTILINE)
    assert sorted(cores) == sorted(entry.name for entry in of_kind("core"))
    python = {*OUT, *INSTEAD, *PATCHES, *(f"node:{guard}" for guard in NODE_GUARDS)}
    assert sorted(python - set(BY_NAME)) == []


def test_with_all_rules_in_nothing_is_wrong() -> None:
    assert hunt(nets.WALKS // 4) is None
    assert not nodes.hunt()


@pytest.mark.parametrize("entry", of_kind("law"), ids=name)
def test_without_a_rule_of_the_law_something_is_wrong(entry: Entry) -> None:
    assert nets.catch(entry) is not None, f"nothing notices that the rule is out: {entry.rule}"


@pytest.mark.parametrize("entry", [e for e in of_kind("planning") if e.name != "any-engine-report"], ids=name)
def test_without_a_rule_of_planning_the_explorer_finds_a_way(entry: Entry) -> None:
    assert nets.catch(entry) is not None, f"nothing notices that the rule is out: {entry.rule}"


@pytest.mark.parametrize(
    "entry", [e for e in of_kind("control", "agent") if e.nets[0].startswith("scenario:")], ids=name
)
def test_without_a_rule_of_control_or_agent_a_scenario_goes_otherwise(entry: Entry) -> None:
    assert nets.catch(entry) is not None, f"nothing notices that the rule is out: {entry.rule}"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTHORN_CORES", ",".join(QUICK_CORES))


@pytest.mark.serial
@pytest.mark.timeout(900)
@pytest.mark.parametrize("switch", QUICK_CORES)
@pytest.mark.usefixtures("quick")
def test_without_a_rule_of_the_cores_a_world_is_wrong(switch: str) -> None:
    assert nets.catch(BY_NAME[switch]) is not None


@pytest.mark.serial
@pytest.mark.timeout(600)
@pytest.mark.parametrize("switch", QUICK_SIM)
def test_without_a_rule_of_the_cores_a_whole_cluster_goes_wrong(switch: str) -> None:
    entry = BY_NAME[switch]
    sim = [net for net in entry.nets if net.startswith("sim:")]
    assert nets.catch(entry._replace(nets=tuple(sim))) is not None


@pytest.mark.parametrize(
    "entry",
    [e for e in catalogue() if any(net.startswith("abstract:") for net in e.nets)],
    ids=name,
)
def test_without_a_rule_of_its_programs_the_explorer_finds_a_way(entry: Entry) -> None:
    abstract = [net for net in entry.nets if net.startswith("abstract:")]
    assert nets.catch(entry._replace(nets=tuple(abstract))) is not None


def test_a_rule_is_back_after_its_hunt() -> None:
    before = dict(law.TABLE)
    for entry in of_kind("law", "planning"):
        with out(entry.name):
            pass
    assert before == law.TABLE


@pytest.mark.parametrize(
    "program", sorted((ROOT / "src/shorthorn/bin").glob("shorthorn-*")), ids=lambda p: p.name
)
def test_nothing_of_the_switches_is_in_the_programs(program: Path) -> None:
    content = program.read_bytes()
    assert [entry.name for entry in of_kind("core") if entry.name.encode() in content] == []
    assert b"SHORTHORN_MUTANT" not in content
