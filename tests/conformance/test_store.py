"""What `shorthorn.ports.store` promises, held against every store. One sentence a test."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path

import pytest

from shorthorn.errors import Invalid, Unavailable
from shorthorn.ports.store import (
    ABSENT,
    COMMIT_BYTES_MAX,
    COMMIT_KEYS_MAX,
    JOURNAL_PAGE_MAX,
    KEY_CHARS_MAX,
    Batch,
    Change,
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
from tests.conformance.stores import MAKERS

BOUND_S = 10.0


@pytest.fixture(params=list(MAKERS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = MAKERS[request.param](tmp_path)
    yield made
    await made.close()


async def create(store: Store, key: str, value: bytes = b"") -> int:
    outcome = await store.commit({key: Write(ABSENT, value)})
    assert isinstance(outcome, Done)
    return outcome.revision


async def take(watch: Watch, count: int) -> list[Batch]:
    async with asyncio.timeout(BOUND_S):
        return [await anext(watch) for _ in range(count)]


async def is_quiet(watch: Watch) -> bool:
    """Whether the next wait finds nothing. All that is known is delivered without waiting."""
    waiting = asyncio.ensure_future(anext(watch))
    for _ in range(5):
        await asyncio.sleep(0)
    quiet = not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return quiet


def replay(documents: Iterable[Stored], batches: Iterable[Batch]) -> dict[str, Stored]:
    """What a client knows that listed and then watched."""
    known = {stored.key: stored for stored in documents}
    for batch in batches:
        for change in batch.changes:
            known.pop(change.key, None)
            if change.value is not None:
                known[change.key] = Stored(change.key, batch.revision, change.value)
    return known


# ---- documents


async def test_a_new_store_is_empty_at_revision_0(store: Store) -> None:
    listing = await store.list("")
    assert (listing.revision, listing.entries, listing.items) == (0, 0, ())
    assert await store.get("volume/v1") is None
    assert await store.journal() == ()


async def test_what_was_committed_is_read_with_the_revision_as_version(store: Store) -> None:
    assert await store.commit({"volume/v1": Write(ABSENT, b"\x00\xffone")}) == Done(1)
    assert await store.get("volume/v1") == Stored("volume/v1", 1, b"\x00\xffone")
    assert await store.commit({"volume/v1": Write(1, b"two")}) == Done(2)
    assert await store.get("volume/v1") == Stored("volume/v1", 2, b"two")


async def test_a_list_holds_exactly_the_prefix_sorted(store: Store) -> None:
    for key in ("volume/b", "volumes", "volume/a~", "volume", "node/n1", "volume/a", "volume/"):
        await create(store, key)
    listing = await store.list("volume/")
    assert [item.key for item in listing.items] == ["volume/", "volume/a", "volume/a~", "volume/b"]
    assert listing.revision == 7
    assert len((await store.list("")).items) == 7
    assert (await store.list("x")).items == ()


async def test_a_commit_over_several_documents_is_one_revision(store: Store) -> None:
    await create(store, "a")
    await create(store, "b")
    outcome = await store.commit({"b": Write(2, b"B"), "a": Write(1, None), "c": Write(ABSENT, b"C")})
    assert outcome == Done(3)
    assert (await store.list("")).items == (Stored("b", 3, b"B"), Stored("c", 3, b"C"))


async def test_a_conflict_in_one_document_leaves_all_as_they_were(store: Store) -> None:
    await create(store, "a", b"1")
    await create(store, "b", b"1")
    before = await store.list("")
    outcome = await store.commit({"a": Write(1, b"2"), "b": Write(1, b"2"), "c": Write(ABSENT, b"2")})
    assert outcome == Conflict("b", 2)
    assert await store.list("") == before


@pytest.mark.parametrize("value", [b"new", None])
async def test_a_write_to_an_absent_document_conflicts_with_version_0(
    store: Store, value: bytes | None
) -> None:
    assert await store.commit({"a": Write(1, value)}) == Conflict("a", ABSENT)


async def test_creating_what_exists_conflicts_with_its_version(store: Store) -> None:
    await create(store, "a")
    assert await store.commit({"a": Write(ABSENT, b"")}) == Conflict("a", 1)


async def test_of_several_conflicts_the_first_by_key_is_named(store: Store) -> None:
    await create(store, "b")
    assert await store.commit({"c": Write(5, b""), "b": Write(ABSENT, b"")}, {"d": 7}) == Conflict("b", 1)
    assert await store.commit({"c": Write(5, b"")}, {"a": 9}) == Conflict("a", ABSENT)


async def test_a_conflict_takes_no_revision(store: Store) -> None:
    await create(store, "a")
    await store.commit({"a": Write(9, b"")})
    assert await create(store, "b") == 2


async def test_a_deleted_document_made_again_has_a_new_version(store: Store) -> None:
    await create(store, "a", b"first")
    assert await store.commit({"a": Write(1, None)}) == Done(2)
    assert await store.get("a") is None
    assert await store.commit({"a": Write(1, b"late")}) == Conflict("a", ABSENT)
    assert await store.commit({"a": Write(ABSENT, b"second")}) == Done(3)
    assert await store.commit({"a": Write(1, b"late")}) == Conflict("a", 3)


async def test_unchanged_guards_a_document_that_is_not_written(store: Store) -> None:
    await create(store, "node/n1")
    assert await store.commit({"volume/v1": Write(ABSENT, b"")}, {"node/n1": 1}) == Done(2)
    await store.commit({"node/n1": Write(1, b"cordoned")})
    outcome = await store.commit({"volume/v2": Write(ABSENT, b"")}, {"node/n1": 1})
    assert outcome == Conflict("node/n1", 3)
    assert await store.get("volume/v2") is None


async def test_unchanged_can_demand_absence(store: Store) -> None:
    assert await store.commit({"a": Write(ABSENT, b"")}, {"b": ABSENT}) == Done(1)
    assert await store.commit({"c": Write(ABSENT, b"")}, {"a": ABSENT}) == Conflict("a", 1)


async def test_guards_alone_are_checked_and_take_no_revision(store: Store) -> None:
    await create(store, "a")
    assert await store.commit({}, {"a": 1, "b": ABSENT}) == Done(1)
    assert await store.commit({}, {"a": 2}) == Conflict("a", 1)
    assert await create(store, "b") == 2


async def test_the_caller_may_change_its_own_after_asking(store: Store) -> None:
    writes = {"a": Write(ABSENT, b"")}
    asked = asyncio.ensure_future(store.commit(writes))
    await asyncio.sleep(0)
    writes["b"] = Write(ABSENT, b"")
    await asked
    assert [item.key for item in (await store.list("")).items] == ["a"]


# ---- limits


@pytest.mark.parametrize(
    "key", ["", "a b", "a\nb", "ü", "a\x7f", "a\x00", "\udc80", "k" * (KEY_CHARS_MAX + 1)]
)
async def test_a_bad_key_is_invalid_everywhere_and_nothing_happens(store: Store, key: str) -> None:
    with pytest.raises(Invalid):
        await store.get(key)
    with pytest.raises(Invalid):
        await store.commit({key: Write(ABSENT, b"")})
    with pytest.raises(Invalid):
        await store.commit({}, {key: 1})
    with pytest.raises(Invalid):
        await store.commit({}, {}, [NewEntry(key, b"")])
    with pytest.raises(Invalid):
        await store.journal(subject=key)
    if key:
        with pytest.raises(Invalid):
            await store.list(key)
        with pytest.raises(Invalid):
            store.watch(key, 1)
    assert (await store.list("")).revision == 0


async def test_the_longest_key_and_the_largest_commit_are_taken_and_no_more(store: Store) -> None:
    key = "k" * KEY_CHARS_MAX
    value = b"v" * (COMMIT_BYTES_MAX - KEY_CHARS_MAX)
    with pytest.raises(Invalid):
        await store.commit({key: Write(ABSENT, value + b"v")})
    with pytest.raises(Invalid):
        await store.commit({key: Write(ABSENT, value)}, {}, [NewEntry("s", b"")])
    assert await store.commit({key: Write(ABSENT, value)}) == Done(1)
    assert await store.get(key) == Stored(key, 1, value)


async def test_the_most_documents_are_taken_and_no_more(store: Store) -> None:
    guards = {f"k{number}": ABSENT for number in range(COMMIT_KEYS_MAX)}
    assert await store.commit({}, guards) == Done(0)
    with pytest.raises(Invalid):
        await store.commit({"a": Write(ABSENT, b"")}, guards)


@pytest.mark.parametrize(
    ("writes", "unchanged"),
    [
        ({"a": Write(ABSENT, None)}, {}),
        ({"a": Write(-1, b"")}, {}),
        ({"a": Write(1 << 63, b"")}, {}),
        ({}, {"a": -1}),
        ({"a": Write(1, b"")}, {"a": 1}),
    ],
)
async def test_a_commit_that_no_state_could_accept_is_invalid(
    store: Store, writes: dict[str, Write], unchanged: dict[str, int]
) -> None:
    with pytest.raises(Invalid):
        await store.commit(writes, unchanged)


@pytest.mark.parametrize(("after", "limit"), [(-1, 1), (0, 0), (0, JOURNAL_PAGE_MAX + 1)])
async def test_a_bad_page_is_invalid(store: Store, after: int, limit: int) -> None:
    with pytest.raises(Invalid):
        await store.journal(after, limit=limit)


async def test_a_watch_or_compaction_outside_the_revisions_is_invalid(store: Store) -> None:
    with pytest.raises(Invalid):
        store.watch("", 0)
    with pytest.raises(Invalid):
        await store.compact(1)


# ---- journal


async def test_entries_are_numbered_in_order_with_the_revision_of_their_commit(store: Store) -> None:
    await store.commit(
        {"a": Write(ABSENT, b"")}, {}, [NewEntry("volume/u1", b"x"), NewEntry("node/n1", b"y")]
    )
    await store.commit({}, {"a": 1}, [NewEntry("volume/u1", b"z")])
    assert await store.journal() == (
        JournalEntry(1, 1, "volume/u1", b"x"),
        JournalEntry(2, 1, "node/n1", b"y"),
        JournalEntry(3, 2, "volume/u1", b"z"),
    )
    listing = await store.list("")
    assert (listing.revision, listing.entries) == (2, 3)


async def test_a_conflict_leaves_no_entry_and_no_hole(store: Store) -> None:
    await store.commit({"a": Write(ABSENT, b"")}, {}, [NewEntry("s", b"1")])
    assert await store.commit({"a": Write(ABSENT, b"")}, {}, [NewEntry("s", b"no")]) == Conflict("a", 1)
    assert await store.commit({}, {"b": 4}, [NewEntry("s", b"no")]) == Conflict("b", ABSENT)
    await store.commit({"a": Write(1, b"")}, {}, [NewEntry("s", b"2")])
    assert [(entry.number, entry.body) for entry in await store.journal()] == [(1, b"1"), (2, b"2")]


async def test_the_journal_is_read_in_pages_and_by_subject(store: Store) -> None:
    for number in range(1, 8):
        await store.commit({}, {}, [NewEntry("odd" if number % 2 else "even", b"%d" % number)])
    assert [entry.number for entry in await store.journal(after=2, limit=3)] == [3, 4, 5]
    assert [entry.number for entry in await store.journal(subject="odd")] == [1, 3, 5, 7]
    assert [entry.number for entry in await store.journal(3, "odd", 1)] == [5]
    assert await store.journal(after=7) == ()
    assert await store.journal(subject="od") == ()


async def test_the_journal_outlives_compaction(store: Store) -> None:
    await store.commit({}, {}, [NewEntry("s", b"1")])
    await create(store, "a")
    await store.compact(2)
    assert [entry.body for entry in await store.journal()] == [b"1"]
    assert await store.commit({}, {}, [NewEntry("s", b"2")]) == Done(3)
    assert [entry.number for entry in await store.journal()] == [1, 2]


# ---- watch


async def test_a_watch_from_the_past_shows_every_commit_in_order(store: Store) -> None:
    await store.commit({"b": Write(ABSENT, b"1"), "a": Write(ABSENT, b"1")}, {}, [NewEntry("s", b"j")])
    await store.commit({"a": Write(1, b"2")})
    await store.commit({"a": Write(2, None)})
    async with aclosing(store.watch("", 1)) as watch:
        assert await take(watch, 3) == [
            Batch(1, (Change("a", b"1"), Change("b", b"1")), (JournalEntry(1, 1, "s", b"j"),)),
            Batch(2, (Change("a", b"2"),), ()),
            Batch(3, (Change("a", None),), ()),
        ]
        assert await is_quiet(watch)


async def test_a_watch_begins_exactly_at_its_revision(store: Store) -> None:
    for key in ("a", "b", "c"):
        await create(store, key)
    async with aclosing(store.watch("", 3)) as watch:
        assert [batch.revision for batch in await take(watch, 1)] == [3]


async def test_a_watch_shows_only_its_prefix_of_keys_and_subjects(store: Store) -> None:
    entries = [NewEntry("node/n1", b"no"), NewEntry("volume/u1", b"yes")]
    await store.commit({"node/n1": Write(ABSENT, b""), "volume/v1": Write(ABSENT, b"")}, {}, entries)
    await create(store, "node/n2")
    await store.commit({}, {}, [NewEntry("volume/u2", b"")])
    async with aclosing(store.watch("volume/", 1)) as watch:
        assert await take(watch, 2) == [
            Batch(1, (Change("volume/v1", b""),), (JournalEntry(2, 1, "volume/u1", b"yes"),)),
            Batch(3, (), (JournalEntry(3, 3, "volume/u2", b""),)),
        ]


async def test_a_waiting_watch_is_woken_by_the_next_match(store: Store) -> None:
    async with aclosing(store.watch("a", 1)) as watch:
        waiting = asyncio.ensure_future(take(watch, 1))
        await asyncio.sleep(0)
        await create(store, "b")
        await create(store, "a")
        assert await waiting == [Batch(2, (Change("a", b""),), ())]


async def test_what_is_done_has_been_shown_to_watches_and_reads(store: Store) -> None:
    async with aclosing(store.watch("", 1)) as watch:
        for number in range(1, 20):
            revision = await create(store, f"k{number:02}")
            assert [batch.revision for batch in await take(watch, 1)] == [revision]
            assert (await store.list("")).revision == revision


async def test_next_revision_runs_ahead_over_what_does_not_match(store: Store) -> None:
    async with aclosing(store.watch("a", 1)) as watch:
        assert watch.next_revision == 1
        waiting = asyncio.ensure_future(take(watch, 1))
        for key in ("b", "c", "a"):
            await create(store, key)
        await waiting
        assert watch.next_revision == 4
        await create(store, "d")
        assert await is_quiet(watch)
        assert watch.next_revision == 5


async def test_list_then_watch_has_no_gap_while_others_write(store: Store) -> None:
    async def count_up(key: str) -> None:
        await create(store, key, b"0")
        for number in range(1, 26):
            stored = await store.get(key)
            assert stored is not None
            outcome = await store.commit(
                {key: Write(stored.version, b"%d" % number)}, {}, [NewEntry(key, b"%d" % number)]
            )
            assert isinstance(outcome, Done)

    async def follow() -> dict[str, Stored]:
        listing = await store.list("")
        batches: list[Batch] = []
        async with aclosing(store.watch("", listing.revision + 1)) as watch:
            async for batch in watch:
                batches.append(batch)
                if batch.revision == 8 * 26:
                    break
        assert [batch.revision for batch in batches] == list(range(listing.revision + 1, 8 * 26 + 1))
        numbers = [entry.number for batch in batches for entry in batch.journal]
        assert numbers == list(range(listing.entries + 1, 8 * 25 + 1))
        return replay(listing.items, batches)

    async def follow_late() -> dict[str, Stored]:
        async with aclosing(store.watch("", 1)) as watch:
            await take(watch, 50)
        return await follow()

    async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()), group.create_task(follow_late())]
        for number in range(8):
            group.create_task(count_up(f"k{number}"))
    known = {item.key: item for item in (await store.list("")).items}
    assert {stored.value for stored in known.values()} == {b"25"}
    assert [task.result() for task in followers] == [known, known]


async def test_only_one_of_many_at_the_same_version_wins(store: Store) -> None:
    await create(store, "a", b"0")
    outcomes = await asyncio.gather(*(store.commit({"a": Write(1, b"%d" % n)}) for n in range(50)))
    done = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Done)]
    assert len(done) == 1
    assert await store.get("a") == Stored("a", 2, b"%d" % done[0])
    assert {outcome for outcome in outcomes if not isinstance(outcome, Done)} == {Conflict("a", 2)}


async def test_closing_a_watch_ends_it_also_for_who_waits(store: Store) -> None:
    watch = store.watch("", 1)
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await watch.aclose()
    await watch.aclose()
    assert await asyncio.wait_for(waiting, BOUND_S) is None
    await create(store, "a")
    assert await anext(watch, None) is None


async def test_a_cancelled_wait_loses_nothing(store: Store) -> None:
    async with aclosing(store.watch("", 1)) as watch:
        for number in range(1, 10):
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            commit = asyncio.ensure_future(create(store, f"k{number}"))
            while not commit.done():
                if waiting.cancel():
                    await asyncio.gather(waiting, return_exceptions=True)
                    waiting = asyncio.ensure_future(anext(watch))
                await asyncio.sleep(0)
            waiting.cancel()
            found = (await asyncio.gather(waiting, return_exceptions=True))[0]
            batch = found if isinstance(found, Batch) else (await take(watch, 1))[0]
            assert batch.revision == number


# ---- compaction


async def test_a_watch_below_the_history_is_compacted_and_can_list_again(store: Store) -> None:
    for key in ("a", "b", "c", "d"):
        await create(store, key)
    await store.compact(2)
    async with aclosing(store.watch("", 2)) as watch:
        with pytest.raises(Compacted) as raised:
            await anext(watch)
        assert raised.value.oldest == 3
        with pytest.raises(Compacted):
            await anext(watch)
    async with aclosing(store.watch("", raised.value.oldest)) as watch:
        assert [batch.revision for batch in await take(watch, 2)] == [3, 4]
    listing = await store.list("")
    assert [item.key for item in listing.items] == ["a", "b", "c", "d"]
    async with aclosing(store.watch("", listing.revision + 1)) as watch:
        await create(store, "e")
        assert await take(watch, 1) == [Batch(5, (Change("e", b""),), ())]


async def test_a_watch_that_was_too_slow_is_compacted_not_torn(store: Store) -> None:
    async with aclosing(store.watch("", 1)) as watch:
        for key in ("a", "b", "c"):
            await create(store, key)
        assert [batch.revision for batch in await take(watch, 1)] == [1]
        await store.compact(3)
        await create(store, "d")
        with pytest.raises(Compacted) as raised:
            await anext(watch)
        assert raised.value.oldest == 4


async def test_history_is_bounded_by_itself(store: Store) -> None:
    value = bytes(COMMIT_BYTES_MAX // 2)
    await create(store, "a", value)
    watch = store.watch("", 1)
    for revision in range(1, 40):
        assert await store.commit({"a": Write(revision, value)}) == Done(revision + 1)
    with pytest.raises(Compacted) as raised:
        await anext(watch)
    assert 10 < raised.value.oldest < 40
    async with aclosing(store.watch("", raised.value.oldest)) as again:
        revisions = [batch.revision for batch in await take(again, 41 - raised.value.oldest)]
    assert revisions == list(range(raised.value.oldest, 41))


async def test_a_waiting_watch_outlives_the_compaction_of_what_it_has_seen(store: Store) -> None:
    async with aclosing(store.watch("a", 1)) as watch:
        waiting = asyncio.ensure_future(take(watch, 1))
        for key in ("b", "c"):
            await create(store, key)
        await store.compact(2)
        await create(store, "a")
        assert [batch.revision for batch in await waiting] == [3]


async def test_a_revision_that_never_was_is_compacted(store: Store) -> None:
    """A client that comes back from a store that was lost must not wait for its old future."""
    await create(store, "a")
    with pytest.raises(Compacted):
        await anext(store.watch("", 3))


async def test_compacting_twice_or_lower_does_nothing(store: Store) -> None:
    for key in ("a", "b", "c"):
        await create(store, key)
    for revision in (2, 2, 1, 0):
        await store.compact(revision)
    assert [batch.revision for batch in await take(store.watch("", 3), 1)] == [3]


# ---- cancellation and the end


async def test_a_cancelled_commit_is_whole_or_absent_and_the_store_goes_on(store: Store) -> None:
    for turns in range(6):
        before = await store.list("")
        writes = {f"a{turns}": Write(ABSENT, b""), f"b{turns}": Write(ABSENT, b"")}
        asked = asyncio.ensure_future(store.commit(writes, {}, [NewEntry("s", b"")]))
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        # A commit behind it is in order after it: from then on it has happened or never will.
        assert isinstance(await store.commit({f"c{turns}": Write(ABSENT, b"")}), Done)
        after = await store.list("")
        keys = {item.key for item in after.items} - {item.key for item in before.items}
        happened = after.entries - before.entries
        assert keys == {f"c{turns}"} | (set(writes) if happened else set())
        assert after.revision == before.revision + 1 + happened
        assert await store.list("") == after


async def test_closing_answers_what_is_in_flight_and_refuses_the_rest(store: Store) -> None:
    asked = [asyncio.ensure_future(store.commit({f"k{n}": Write(ABSENT, b"")})) for n in range(10)]
    watch = store.watch("", 1)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert await asyncio.gather(*asked) == [Done(n) for n in range(1, 11)]
    found = (await asyncio.gather(waiting, return_exceptions=True))[0]
    assert isinstance(found, Unavailable) or (isinstance(found, Batch) and found.revision == 1)
    with pytest.raises(Unavailable):
        await anext(watch)
    await store.close()
    with pytest.raises(Unavailable):
        await store.get("k1")
    with pytest.raises(Unavailable):
        await store.list("")
    with pytest.raises(Unavailable):
        await store.commit({"a": Write(ABSENT, b"")})
    with pytest.raises(Unavailable):
        await store.journal()
    with pytest.raises(Unavailable):
        await store.compact(0)
    with pytest.raises(Unavailable):
        store.watch("", 1)
