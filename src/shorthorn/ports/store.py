"""The store: where everything recorded lives. A few documents, one journal, one order.

The store knows nothing of what it holds: a document is a key and bytes. It gives
three things that the rest of Shorthorn leans on (docs/design.md, "Store"):

- *One order.* Every commit that writes has a **revision**: 1, 2, 3 … without holes.
  A document's **version** is the revision that wrote it last, so a version is never
  used twice, not even by a document that was deleted and made again. 0 is "absent".
- *All or nothing.* A commit names the versions it was decided on, over as many
  documents as it likes; all of it happens (documents and journal entries) or none.
- *Three outcomes.* `Done`, `Conflict`, `Unknown`. A caller matches all three.

Errors: every method may raise `Unavailable` (nothing happened; the store is closed,
overloaded or can't reach its disk) and `Damaged` (what was read makes no sense), and
`Invalid` for arguments outside the limits below. No other exception is part of the
contract. Every method may be called at any time by any number of tasks of one loop.

Implementations are in `shorthorn.store`; all pass tests/conformance/test_store.py.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, Self, TypeAlias

from msgspec import Struct

from shorthorn.errors import RequestError

KEY_CHARS_MAX: Final = 512
"""Longest key or subject. Names are at most 253 characters (a DNS name); the rest is prefix."""

COMMIT_BYTES_MAX: Final = 1 << 20
"""Most bytes of keys, values and journal bodies in one commit. etcd refuses requests
above 1.5 MiB by default; a store that took more could not be replaced by it."""

COMMIT_KEYS_MAX: Final = 4096
"""Most documents named in one commit. A drain gate names every volume that it counted
on (docs/design.md, S11). Over etcd this needs its --max-txn-ops raised from 128."""

JOURNAL_PAGE_MAX: Final = 1000
"""Most journal entries that one `journal` call returns."""

ABSENT: Final = 0
"""The version of a document that is not there."""


class Stored(Struct, frozen=True):
    """A document as it was at one moment. `version` is the revision that wrote it last, >= 1."""

    key: str
    version: int
    value: bytes


class Listing(Struct, frozen=True):
    """All documents under a prefix at one revision, sorted by key.

    To follow from here without a gap: `watch(prefix, listing.revision + 1)`. `entries` is
    the number of the newest journal entry at that revision (0: none), whatever its subject.
    """

    revision: int
    entries: int
    items: tuple[Stored, ...]


class Write(Struct, frozen=True):
    """One document's part of a commit.

    Happens only if the document's version is `expected_version` (`ABSENT`: it must not
    exist). `value` None deletes; deleting needs an existing document, so
    `Write(ABSENT, None)` is `Invalid` (to demand absence, use `unchanged={key: ABSENT}`).
    """

    expected_version: int
    value: bytes | None


class NewEntry(Struct, frozen=True):
    """A journal entry to append. `subject` is what it is about, such as "volume/<uid>"."""

    subject: str
    body: bytes


class JournalEntry(Struct, frozen=True):
    """An entry of the journal. Numbers are 1, 2, 3 … without holes (docs/design.md, S8).

    `revision` is that of the commit which brought it; entries of one commit share it and
    stand in the order in which the commit gave them.
    """

    number: int
    revision: int
    subject: str
    body: bytes


class Change(Struct, frozen=True):
    """What a commit did to one document. `value` None: it was deleted."""

    key: str
    value: bytes | None


class Batch(Struct, frozen=True):
    """What one commit did, as far as a watch asked for it. Never a part of a commit.

    A changed document has `revision` as its version. Changes are sorted by key, journal
    entries by number. At least one of the two is not empty.
    """

    revision: int
    changes: tuple[Change, ...]
    journal: tuple[JournalEntry, ...]


class Done(Struct, frozen=True):
    """The commit happened, and its effect outlives the store's process and a power cut.

    `revision` is the commit's own; for a commit that wrote nothing (only `unchanged`),
    a revision at which all its conditions held.
    """

    revision: int


class Conflict(Struct, frozen=True):
    """Nothing happened: `key` is at `version` (`ABSENT`: it is not there).

    Of several that conflict, the first by key is named.
    """

    key: str
    version: int


class Unknown(Struct, frozen=True):
    """It may have happened, or may happen yet. Read before you retry.

    When the store can be read again, it tells the truth: from then on the commit has
    happened for good or never will. `reason` is for the operator.
    """

    reason: str


CommitResult: TypeAlias = Done | Conflict | Unknown


class Compacted(RequestError):
    """The store has no history from the revision asked for: list again, watch from there.

    Either it is too old (forgotten by `compact`, or because the watcher was slow and the
    history outgrew its bound), or the store has never reached it (a revision of another,
    lost store). `oldest` is the lowest revision that a watch may start from now.
    """

    code = "compacted"

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history begins at revision {oldest}; list again and watch from there")
        self.oldest = oldest


class Watch(Protocol):
    """A stream of changes. One task at a time may wait on it.

    Use it with `contextlib.aclosing`. A watch that is forgotten instead costs nothing but
    its own object. Cancelling a wait loses nothing: the next one returns the same batch.
    """

    @property
    def next_revision(self) -> int:
        """Where to resume: everything lower that matched has been returned by this watch.

        Runs ahead of the last batch when what others wrote did not match the prefix.
        """
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Batch:
        """The next commit that matched, as soon as there is one.

        Raises `Compacted` when the history was forgotten before this watcher came to it,
        `Unavailable` once the store is closed or has failed. Ends (`StopAsyncIteration`)
        only after `aclose`. After any of them it never returns a batch again.
        """
        ...

    async def aclose(self) -> None:
        """End it. May be called twice. A task that waits on it is woken and sees the end."""
        ...


NO_GUARDS: Final[Mapping[str, int]] = MappingProxyType({})


class Store(Protocol):
    """Documents under compare-and-swap, a journal, and a watch over both.

    Reads (`get`, `list`, `journal`) are linearizable: they see every commit that was
    answered `Done` before they began, and never a commit that could still be undone.

    Keys, subjects: 1 to KEY_CHARS_MAX characters of printable ASCII without space, such
    as "volume/v1". A prefix may also be empty: everything. Order is by code point.
    """

    async def get(self, key: str) -> Stored | None:
        """The document, or None when it is absent."""
        ...

    async def list(self, prefix: str) -> Listing:
        """All documents whose key begins with `prefix`, at one revision."""
        ...

    def watch(self, prefix: str, from_revision: int) -> Watch:
        """Every commit with revision >= `from_revision` that matches, in order, none twice.

        `prefix` is held against keys of documents and against subjects of journal entries
        alike; what does not match is left out of the batch. `from_revision` is >= 1.
        Returns at once; `Compacted` is raised by the first wait. A batch is seen here no
        later than the committer sees `Done`.
        """
        ...

    async def commit(
        self,
        writes: Mapping[str, Write],
        unchanged: Mapping[str, int] = NO_GUARDS,
        journal: Sequence[NewEntry] = (),
    ) -> CommitResult:
        """Do all of `writes` and append all of `journal`, if every version is as expected.

        `unchanged` names documents that the decision rests on but does not write; `ABSENT`
        demands that it is not there. A key may stand in only one of the two. A commit that
        writes no document and no entry only checks, and takes no revision.

        Commits of one task that waits for each are in that order; of commits in flight at
        the same time, any order. Calling twice with the same arguments is safe if any write
        is conditional on a version: the second conflicts. A commit of journal entries alone
        is not: it appends twice.

        Cancelling the caller does not cancel the commit: it is then `Unknown` to that
        caller. `Unavailable` and `Invalid` are raised only when nothing happened.
        """
        ...

    async def journal(
        self, after: int = 0, subject: str | None = None, limit: int = JOURNAL_PAGE_MAX
    ) -> tuple[JournalEntry, ...]:
        """Entries numbered above `after`, oldest first, at most `limit` (1 to JOURNAL_PAGE_MAX).

        With `subject`, only those about exactly that. To follow the journal, page to its end
        and then `watch`; entries never change, so an overlap is recognised by number.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget the changes up to and including `revision`: a watch may start above it only.

        Documents and journal stay. Idempotent; a lower revision than before does nothing,
        one that has not been reached is `Invalid`. Stores also compact by themselves.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked for, then let go of everything. May be called twice.

        Commits in flight get their outcome; later calls and all watches get `Unavailable`.
        """
        ...
