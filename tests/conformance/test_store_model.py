"""Any sequence of calls: every store does what a naive one does that keeps everything.

The naive one has no history bound, no index, no groups, and no code in common.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shorthorn.ports.store import (
    Batch,
    Change,
    CommitResult,
    Compacted,
    Conflict,
    Done,
    JournalEntry,
    NewEntry,
    Store,
    Stored,
    Watch,
    Write,
)
from shorthorn.store import SqliteStore
from tests.conformance.stores import MAKERS

T = TypeVar("T")

KEYS = st.sampled_from(["a/1", "a/2", "a", "b/1", "b/2"])
SUBJECTS = st.sampled_from(["a/1", "b/u"])
PREFIXES = st.sampled_from(["", "a", "a/", "b/", "c"])
VALUES = st.none() | st.binary(max_size=3)
# Mostly the right version, sometimes one that is off: below, above, absent.
OFFSETS = st.sampled_from([0, 0, 0, 0, -1, 1])


class Naive:
    """Every batch that ever was; all else is computed from them."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    @property
    def journal(self) -> list[JournalEntry]:
        return [entry for batch in self.batches for entry in batch.journal]

    def documents(self) -> dict[str, Stored]:
        known: dict[str, Stored] = {}
        for batch in self.batches:
            for change in batch.changes:
                known.pop(change.key, None)
                if change.value is not None:
                    known[change.key] = Stored(change.key, batch.revision, change.value)
        return known

    def version(self, key: str) -> int:
        stored = self.documents().get(key)
        return stored.version if stored else 0

    def commit(
        self, writes: dict[str, Write], unchanged: dict[str, int], journal: list[NewEntry]
    ) -> CommitResult:
        wanted = {key: write.expected_version for key, write in writes.items()} | unchanged
        for key in sorted(wanted):
            if self.version(key) != wanted[key]:
                return Conflict(key, self.version(key))
        if writes or journal:
            revision, numbered = len(self.batches) + 1, len(self.journal)
            changes = tuple(Change(key, writes[key].value) for key in sorted(writes))
            entries = tuple(
                JournalEntry(numbered + at + 1, revision, entry.subject, entry.body)
                for at, entry in enumerate(journal)
            )
            self.batches.append(Batch(revision, changes, entries))
        return Done(len(self.batches))

    def shown(self, prefix: str, from_revision: int) -> list[Batch]:
        cut = [
            Batch(
                batch.revision,
                tuple(change for change in batch.changes if change.key.startswith(prefix)),
                tuple(entry for entry in batch.journal if entry.subject.startswith(prefix)),
            )
            for batch in self.batches[from_revision - 1 :]
        ]
        return [batch for batch in cut if batch.changes or batch.journal]


class Follower:
    """A watch that is open, and where it should be."""

    def __init__(self, watch: Watch, prefix: str, revision: int) -> None:
        self.watch = watch
        self.prefix = prefix
        self.revision = revision


class StoreMachine(RuleBasedStateMachine):
    """Calls in any order; `kind` is set by the test."""

    kind: str

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.naive = Naive()
        self.oldest = 1
        self.followers: list[Follower] = []
        self.store = self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asyncio.wait_for(work, 10))

    async def open(self) -> Store:
        return MAKERS[self.kind](self.folder)

    @rule(
        keys=st.dictionaries(KEYS, st.tuples(OFFSETS, VALUES), max_size=3),
        guards=st.dictionaries(KEYS, OFFSETS, max_size=2),
        entries=st.lists(st.tuples(SUBJECTS, st.binary(max_size=2)), max_size=2),
    )
    def commit(
        self,
        keys: dict[str, tuple[int, bytes | None]],
        guards: dict[str, int],
        entries: list[tuple[str, bytes]],
    ) -> None:
        writes = {}
        for key, (offset, value) in keys.items():
            expected = max(0, self.naive.version(key) + offset)
            writes[key] = Write(expected, b"" if expected == 0 and value is None else value)
        unchanged = {
            key: max(0, self.naive.version(key) + offset)
            for key, offset in guards.items()
            if key not in writes
        }
        journal = [NewEntry(subject, body) for subject, body in entries]
        outcome = self.run(self.store.commit(writes, unchanged, journal))
        assert outcome == self.naive.commit(writes, unchanged, journal)

    @rule(keys=st.lists(KEYS, min_size=2, max_size=5))
    def commit_at_the_same_time(self, keys: list[str]) -> None:
        """Documents are written from one view; the outcomes are those of some order."""
        writes = [{key: Write(self.naive.version(key), b"%d" % at)} for at, key in enumerate(keys)]

        async def all_at_once() -> list[CommitResult]:
            return await asyncio.gather(*(self.store.commit(write) for write in writes))

        outcomes = self.run(all_at_once())
        order = sorted(
            range(len(keys)),
            key=lambda at: (isinstance(outcomes[at], Conflict), getattr(outcomes[at], "revision", 0)),
        )
        for at in order:
            assert outcomes[at] == self.naive.commit(writes[at], {}, [])

    @rule(prefix=PREFIXES)
    def list(self, prefix: str) -> None:
        listing = self.run(self.store.list(prefix))
        expected = self.naive.documents()
        assert listing.items == tuple(expected[key] for key in sorted(expected) if key.startswith(prefix))
        assert (listing.revision, listing.entries) == (len(self.naive.batches), len(self.naive.journal))

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.run(self.store.get(key)) == self.naive.documents().get(key)

    @rule(after=st.integers(0, 12), subject=st.none() | SUBJECTS, limit=st.integers(1, 4))
    def journal(self, after: int, subject: str | None, limit: int) -> None:
        wanted = [e for e in self.naive.journal if e.number > after and subject in (None, e.subject)]
        assert self.run(self.store.journal(after, subject, limit)) == tuple(wanted[:limit])

    @rule(prefix=PREFIXES, back=st.integers(-1, 6))
    def watch(self, prefix: str, back: int) -> None:
        revision = max(1, len(self.naive.batches) + 1 - back)
        self.followers.append(Follower(self.store.watch(prefix, revision), prefix, revision))

    @rule()
    def drain(self) -> None:
        self.followers = [follower for follower in self.followers if self.is_followed_to_the_end(follower)]

    def is_followed_to_the_end(self, follower: Follower) -> bool:
        if not self.oldest <= follower.revision <= len(self.naive.batches) + 1:
            with pytest.raises(Compacted) as raised:
                self.run(anext_of(follower.watch))
            assert raised.value.oldest == self.oldest
            return False
        for batch in self.naive.shown(follower.prefix, follower.revision):
            assert self.run(anext_of(follower.watch)) == batch
        self.run(expect_nothing(follower.watch))
        follower.revision = len(self.naive.batches) + 1
        assert follower.watch.next_revision == follower.revision
        return True

    @rule(back=st.integers(0, 8))
    def compact(self, back: int) -> None:
        revision = max(0, len(self.naive.batches) - back)
        self.run(self.store.compact(revision))
        self.oldest = max(self.oldest, revision + 1)

    @rule()
    def reopen(self) -> None:
        """Only what is kept in files; compaction may be forgotten by it, nothing else."""
        if isinstance(self.store, SqliteStore):
            self.run(self.store.close())
            self.store = self.run(self.open())
            self.followers = []
            self.oldest = self.run(oldest_of(self.store))

    @invariant()
    def revision_is_that_of_the_last_commit(self) -> None:
        if hasattr(self, "store"):
            assert self.run(self.store.list("c")).revision == len(self.naive.batches)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
            self.runner.close()
            shutil.rmtree(self.folder)


async def anext_of(watch: Watch) -> Batch:
    return await anext(watch)


async def expect_nothing(watch: Watch) -> None:
    waiting = asyncio.ensure_future(anext(watch))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def oldest_of(store: Store) -> int:
    """What a watch of a revision that never was is told."""
    try:
        await anext(store.watch("", 1 << 40))
    except Compacted as error:
        return error.oldest
    raise AssertionError("the store has a revision from the far future")


@pytest.mark.parametrize("kind", list(MAKERS))
def test_a_store_does_what_a_naive_one_does(kind: str) -> None:
    machine = type(f"Machine_{kind}", (StoreMachine,), {"kind": kind})
    examples = settings().max_examples // (3 if kind.startswith("sqlite") else 1)
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=30))
