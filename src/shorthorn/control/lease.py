"""Which of several servers over one store leads: the one that plans and answers. A convenience, never a guard.

The lease is one document: who leads, in which term, how often it was renewed. Its holder renews it; another takes it over
when it has not seen it change for a while of its own monotonic clock. No clock is compared with another's. Two may
believe that they lead, one of them paused or cut off: what they commit is decided by compare-and-swap and the law, as if
one process had two loops (docs/decisions/0013-lease.md).
"""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec

from shorthorn.core.model.journal import JournalLine
from shorthorn.core.model.record import Record
from shorthorn.errors import ShorthornError
from shorthorn.ports.clock import Clock
from shorthorn.ports.store import Done, NewEntry, Store
from shorthorn.store import Collection, Document

log = logging.getLogger(__name__)

SUBJECT: Final = "cluster"
"""Subject of the journal's entries about the lease."""


class Lease(Record):
    """The document. `holder` is one life of one server; `term` grows with each new holder, `renewals` in a term."""

    holder: str
    term: int
    renewals: int = 0


LEASE: Final = Collection("lease", Lease)


class LeaseTimes(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds. A holder that could not renew for `hold_s` stops leading; who saw no change for `take_after_s` leads.

    `hold_s` is the lesser by more than clocks' rates differ, so that usually at most one server leads.
    """

    renew_every_s: float = 1.0
    hold_s: float = 3.0
    take_after_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.renew_every_s < self.hold_s < self.take_after_s:
            raise ValueError(f"not 0 < renew_every_s < hold_s < take_after_s: {self}")


class Step(Enum):
    """What to do about the lease now."""

    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


def next_step(me: str, lease: Lease | None, unchanged_s: float, times: LeaseTimes) -> Step:
    """Decide: `lease` is as it was just read, and it has been so for `unchanged_s` of this server's own clock."""
    if lease is None:
        return Step.TAKE
    if lease.holder == me:
        return Step.RENEW
    return Step.TAKE if unchanged_s >= times.take_after_s else Step.WAIT


class LeaseKeeper:
    """One server's part in it. `me` is this life of it, a new id each.

    `changed` is called when it begins to lead, also when it does so again after it could not renew (True), and when
    another is seen to lead in its place (False).
    """

    def __init__(
        self, store: Store, clock: Clock, me: str, times: LeaseTimes, changed: Callable[[bool], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self.me = me
        self._times = times
        self._changed = changed
        self._seen: Document[Lease] | None = None
        self._seen_at_s = clock.monotonic_s()
        self._until_s: float | None = None

    @property
    def leading(self) -> bool:
        """Whether this server leads, as far as it can know without asking. False at once after a long pause."""
        return self._until_s is not None and self._clock.monotonic_s() < self._until_s

    @property
    def holder(self) -> str:
        """Who leads, as last seen; empty while nobody was seen."""
        return "" if self._seen is None else self._seen.value.holder

    async def run(self) -> None:
        """Look at the lease for ever. While the store is away nobody new leads, and who leads will soon not."""
        failing = False
        while True:
            try:
                await self.look()
                failing = False
            except ShorthornError as error:
                if not failing:
                    log.warning("the lease can't be looked at: %s", error.message)
                failing = True
            await asyncio.sleep(self._times.renew_every_s)

    async def look(self) -> None:
        """Look once, and renew or take over if it is time."""
        began_s = self._clock.monotonic_s()
        self._note(await LEASE.get(self._store, ""))
        lease = None if self._seen is None else self._seen.value
        unchanged_s = self._clock.monotonic_s() - self._seen_at_s
        match next_step(self.me, lease, unchanged_s, self._times):
            case Step.WAIT:
                pass
            case Step.RENEW:
                assert lease is not None
                await self._write(msgspec.structs.replace(lease, renewals=lease.renewals + 1), began_s, ())
            case Step.TAKE:
                term = 1 if lease is None else lease.term + 1
                entry = self._entry(lease, term, unchanged_s)
                await self._write(Lease(holder=self.me, term=term), began_s, (entry,))

    def _note(self, document: Document[Lease] | None) -> None:
        """What was read. Somebody else's lease ends our lead."""
        before, self._seen = self._seen, document
        if (before and before.version) != (document and document.version):
            self._seen_at_s = self._clock.monotonic_s()
        if self._until_s is not None and (document is None or document.value.holder != self.me):
            log.info("%s leads no more: %s does", self.me, self.holder or "nobody")
            self._until_s = None
            self._changed(False)

    async def _write(self, lease: Lease, began_s: float, entries: tuple[NewEntry, ...]) -> None:
        """A conflict means that another was faster, an unknown outcome nothing: the next look tells."""
        write = LEASE.create(lease) if self._seen is None else LEASE.replace(self._seen, lease)
        result = await self._store.commit({LEASE.key(""): write}, journal=entries)
        if not isinstance(result, Done):
            return
        led_before = self.leading
        self._note(Document(key=LEASE.key(""), version=result.revision, value=lease))
        self._until_s = began_s + self._times.hold_s
        if not led_before and self.leading:
            log.info("%s leads, term %d", self.me, lease.term)
            self._changed(True)

    def _entry(self, before: Lease | None, term: int, unchanged_s: float) -> NewEntry:
        why = "nobody led" if before is None else f"{before.holder} was not heard for {unchanged_s:.0f} s"
        body = JournalLine(
            at=self._clock.wall_s(),
            subject=SUBJECT,
            name=SUBJECT,
            event="leader_changed",
            line=f"server {self.me} leads, term {term}: {why}",
            cause="the lease",
            version=0,
        )
        return NewEntry(SUBJECT, msgspec.json.encode(body))
