"""`FaultyStore` makes each outcome, and never one that the contract does not allow."""

import pytest

from shorthorn.errors import Unavailable
from shorthorn.ports.store import ABSENT, Conflict, Done, NewEntry, Stored, Unknown, Write
from shorthorn.store import Fault, FaultyStore, MemoryStore
from shorthorn.store.faulty import in_order


async def test_a_lost_request_is_unknown_and_did_not_happen() -> None:
    store = FaultyStore(MemoryStore(), in_order([Fault.REQUEST_LOST]))
    assert isinstance(await store.commit({"a": Write(ABSENT, b"")}, {}, [NewEntry("s", b"")]), Unknown)
    assert (await store.list("")).revision == 0
    assert await store.commit({"a": Write(ABSENT, b"")}) == Done(1)


async def test_a_lost_answer_is_unknown_and_happened() -> None:
    store = FaultyStore(MemoryStore(), in_order([Fault.ANSWER_LOST]))
    assert isinstance(await store.commit({"a": Write(ABSENT, b"x")}, {}, [NewEntry("s", b"")]), Unknown)
    assert await store.get("a") == Stored("a", 1, b"x")
    assert len(await store.journal()) == 1


async def test_a_rival_makes_a_conflict_that_is_true() -> None:
    store = FaultyStore(MemoryStore(), in_order([None, Fault.RIVAL, Fault.RIVAL]))
    await store.commit({"a": Write(ABSENT, b"x")})
    assert await store.commit({"a": Write(1, b"y")}) == Conflict("a", 2)
    assert await store.get("a") == Stored("a", 2, b"x")
    assert await store.commit({"b": Write(ABSENT, b"y")}) == Conflict("b", 3)


async def test_unavailable_is_raised_and_nothing_happened() -> None:
    store = FaultyStore(MemoryStore(), in_order([Fault.UNAVAILABLE]))
    with pytest.raises(Unavailable):
        await store.commit({"a": Write(ABSENT, b"")})
    assert (await store.list("")).revision == 0
