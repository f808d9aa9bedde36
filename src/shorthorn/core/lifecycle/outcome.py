"""What the law answers: a new document with its journal lines, or a refusal with the reason.

A refusal is a value, never an exception; an exception in `core` is our bug.
"""

from enum import StrEnum
from typing import Generic, TypeVar

from shorthorn.core.model.record import Record

T = TypeVar("T")


class RefusalKind(StrEnum):
    """Whose fault and whether to try again; faces map it to their own codes."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    NO_CAPACITY = "no_capacity"
    NOT_NOW = "not_now"
    STALE = "stale"


class Refused(Record):
    """Nothing changed. `why` is one clear line for a person: what, why, what would help."""

    kind: RefusalKind
    why: str


class Accepted(Record, Generic[T]):
    """The new document (None: the document is to be removed) and one line a transition for the journal.

    `changed` False: the event was already true; nothing is to be committed (idempotence).
    """

    value: T | None
    lines: tuple[str, ...]
    changed: bool = True
