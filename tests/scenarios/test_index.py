"""Index, files and code agree: every known bug has its fate, and one that waits waits for what is not there."""

import hashlib
from pathlib import Path

import pytest

from shorthorn.sim.scenario import script
from tests.scenarios import features
from tests.scenarios.index import Entry, Fate, entries, pairs

FOLDER = Path(__file__).parent
CATALOGUE_SHA256 = "d885b32a5bfab50d2029ac41ce93195434000064b42559752bbc7e0962838a14"
"""Of the catalogue's 88 names, in its order, one a line: a name can't be dropped, added or changed unseen."""

ENTRIES = entries()
BY_ID = {entry.id: entry for entry in ENTRIES}
BUGS = [entry for entry in ENTRIES if not entry.id.startswith("CODE-")]
HAZARDS = [entry.id for entry in ENTRIES if entry.id.startswith("CODE-")]


def test_the_bugs_are_those_of_the_catalogue_in_its_order() -> None:
    names = "\n".join(entry.id for entry in BUGS)
    assert len(BUGS) == len(BY_ID) - len(HAZARDS) == 88
    assert hashlib.sha256(names.encode()).hexdigest() == CATALOGUE_SHA256


def test_the_hazards_are_all_there() -> None:
    assert [f"CODE-{number}" for number in (1, 4, 5, 6, 7, 8, 9, 11)] == HAZARDS


def test_a_bug_that_runs_has_the_file_of_its_name() -> None:
    assert [e.id for e in BUGS if e.fate is Fate.RUNS and e.what != f"{e.id}.txt"] == []
    named = {entry.what for entry in ENTRIES if entry.fate is Fate.RUNS}
    assert sorted(name for name in named if not (FOLDER / name).is_file()) == []


def test_a_file_named_after_a_bug_is_in_the_index() -> None:
    files = {path.stem for path in FOLDER.glob("*-[0-9]*.txt")}
    runs = {Path(entry.what).stem for entry in ENTRIES if entry.fate is Fate.RUNS}
    assert files == runs


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.fate is Fate.WAITS], ids=lambda e: e.id)
def test_what_a_bug_waits_for_is_not_there_yet(entry: Entry) -> None:
    waited_for = {feature.name: feature for feature in features.WAITED_FOR}
    assert entry.what in waited_for
    assert not waited_for[entry.what].exists(), f"{entry.what} is there: {entry.id} gets its scenario now"


def test_no_feature_is_listed_for_nothing() -> None:
    waited_for = {entry.what for entry in ENTRIES if entry.fate is Fate.WAITS}
    assert sorted({feature.name for feature in features.WAITED_FOR} - waited_for) == []


@pytest.mark.parametrize("feature", features.THERE, ids=lambda f: f.name)
def test_a_probe_sees_what_is_there(feature: features.Feature) -> None:
    assert feature.exists()


def test_one_that_has_no_counterpart_says_why() -> None:
    assert [e.id for e in ENTRIES if e.fate is Fate.NONE and len(e.what.split()) < 8] == []


def test_of_each_pair_both_run() -> None:
    assert len(pairs()) >= 8
    assert [pair for pair in pairs() if any(BY_ID[name].fate is not Fate.RUNS for name in pair)] == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-[0-9]*.txt")), ids=lambda p: p.stem)
def test_a_story_is_told_before_it_runs(path: Path) -> None:
    told = script.story(path.read_text())
    assert 2 <= len(told) <= 5
    assert any(line.startswith("Here (") for line in told)
