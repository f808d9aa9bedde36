"""Records in, records out; what is not a record of the kind is named and refused."""

import msgspec
import pytest

from shorthorn.errors import Damaged
from shorthorn.ports.store import ABSENT, Change, Conflict, Done, Stored, Write
from shorthorn.store import Collection, Document, MemoryStore


class Cow(msgspec.Struct, frozen=True):
    name: str
    horns: dict[str, int] = {}


COWS = Collection("cow/", Cow)


async def test_a_record_is_written_listed_replaced_and_deleted() -> None:
    store = MemoryStore()
    assert await COWS.get(store, "b1") is None
    assert await store.commit({COWS.key("b1"): COWS.create(Cow("Bella"))}) == Done(1)
    bella = await COWS.get(store, "b1")
    assert bella == Document("cow/b1", 1, Cow("Bella"))
    await store.commit({bella.key: COWS.replace(bella, Cow("Bella II"))})
    assert await store.commit({bella.key: COWS.delete(bella)}) == Conflict("cow/b1", 2)
    revision, listed = await COWS.list(store)
    assert (revision, listed) == (2, (Document("cow/b1", 2, Cow("Bella II")),))
    assert await store.commit({bella.key: COWS.delete(listed[0])}) == Done(3)
    assert await COWS.list(store) == (3, ())


def test_equal_records_are_equal_bytes() -> None:
    assert COWS.encode(Cow("B", {"left": 1, "right": 2})) == COWS.encode(Cow("B", {"right": 2, "left": 1}))


def test_a_key_and_its_name_belong_together() -> None:
    assert COWS.name(COWS.key("b1")) == "b1"


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b'{"name": 1}', b'{"horns": {}}', b"[]", b'"\\ud800"'])
def test_bytes_that_are_no_such_record_are_damaged_and_named(value: bytes) -> None:
    with pytest.raises(Damaged, match="cow/b1"):
        COWS.decode(Stored("cow/b1", 1, value))


def test_a_change_becomes_the_document_after_it() -> None:
    written = COWS.create(Cow("B"))
    assert written.expected_version == ABSENT
    assert COWS.decode_change(Change("cow/b", written.value), 5) == Document("cow/b", 5, Cow("B"))
    assert COWS.decode_change(Change("cow/b", None), 6) is None
    assert COWS.delete(Document("cow/b", 5, Cow("B"))) == Write(5, None)
