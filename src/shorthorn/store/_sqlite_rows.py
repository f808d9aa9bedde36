"""Rows of an SQLite store as our types. A damaged page can hold anything, so each is checked.

SQLite's own checks find a broken tree, not a changed byte inside a row: that can turn up as
a NULL, a number or a blob where the table promises a text.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from shorthorn.errors import Damaged
from shorthorn.ports.store import Batch, Change, JournalEntry, Stored

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]

_ABSENT: Final = type(None)


def numbers(row: Row, count: int) -> tuple[int, ...]:
    """A row of integers, none negative."""
    _check(row, *((int,),) * count)
    if any(number < 0 for number in row):
        raise Damaged(f"the store is damaged: a number is {min(row)}")
    return tuple(row)


def stored(row: Row) -> Stored:
    """(key, version, value)"""
    _check(row, (str,), (int,), (bytes,))
    return Stored(*row)


def entry(row: Row) -> JournalEntry:
    """(number, revision, subject, body)"""
    _check(row, (int,), (int,), (str,), (bytes,))
    return JournalEntry(*row)


def change(row: Row) -> tuple[int, Change]:
    """(revision, key, value), as (revision, what changed)."""
    _check(row, (int,), (str,), (bytes, _ABSENT))
    revision, key, value = row
    return revision, Change(key, value)


def batches(
    first: int, last: int, changes: Iterable[tuple[int, Change]], entries: Iterable[JournalEntry]
) -> tuple[Batch, ...]:
    """The history from `first` to `last`, of changes and entries that are in order.

    Raises `Damaged` unless every revision left a trace, and no other did.
    """
    changed = _by_revision(changes)
    noted = _by_revision((entry.revision, entry) for entry in entries)
    found = sorted(changed.keys() | noted.keys())
    # Compared before anything is made of them: `last` comes from the file and may be anything.
    if len(found) != last - first + 1 or (found and (found[0], found[-1]) != (first, last)):
        raise Damaged(f"the store is damaged: of the revisions {first} to {last}, {len(found)} left a trace")
    return tuple(Batch(at, tuple(changed.get(at, ())), tuple(noted.get(at, ()))) for at in found)


def _by_revision(pairs: Iterable[tuple[int, T]]) -> Mapping[int, list[T]]:
    grouped: dict[int, list[T]] = {}
    for revision, value in pairs:
        grouped.setdefault(revision, []).append(value)
    return grouped


def _check(row: Row, *kinds: tuple[type, ...]) -> None:
    if [type(value) in allowed for value, allowed in zip(row, kinds, strict=True)] != [True] * len(kinds):
        found = ", ".join(type(value).__name__ for value in row)
        raise Damaged(f"the store is damaged: a row holds ({found})")
