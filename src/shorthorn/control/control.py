"""The control plane as one value: what faces and the composition root hold.

Starts and ends the tasks that belong together; decides nothing.
"""

import asyncio

from shorthorn.control.away import Away
from shorthorn.control.changes import Changes
from shorthorn.control.commit import Committer
from shorthorn.control.ends import Ends
from shorthorn.control.lease import LeaseKeeper, LeaseTimes
from shorthorn.control.loop import ControlLoop
from shorthorn.control.records import Records, found_cluster
from shorthorn.control.settings import SettingsKeeper
from shorthorn.control.sightings import Sightings
from shorthorn.core.model.world import Settings
from shorthorn.errors import Unavailable
from shorthorn.ports.clock import Clock
from shorthorn.ports.ids import Ids
from shorthorn.ports.store import Store
from shorthorn.store import Document


class Control:
    """Records, sightings, the committer and the loop over one store.

    With `lease` it is one of several over that store, of which one leads; without, it leads alone.
    """

    def __init__(
        self,
        settings: Document[Settings],
        store: Store,
        clock: Clock,
        ids: Ids,
        lease: LeaseTimes | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.changes = Changes()
        self.records = Records(store)
        self.records.note_settings(settings.version, settings.value)
        self.sightings = Sightings(clock, settings.value.unreachable_after_s)
        self.records.on_change(self._changed)
        self.committer = Committer(store, self.records, clock)
        self.keeper = SettingsKeeper(store, self.records, clock)
        self._loaded = asyncio.Event()
        self._lease = (
            None if lease is None else LeaseKeeper(store, clock, ids.new("s"), lease, self._lead_changed)
        )
        self.loop = ControlLoop(
            self.records,
            self.sightings,
            self.committer,
            self.changes,
            Ends(clock),
            Away(clock),
            ids,
            lambda: self.leading,
        )

    @classmethod
    async def open(
        cls, store: Store, clock: Clock, ids: Ids, *, lease: LeaseTimes | None = None
    ) -> "Control":
        """Over a store that may be new."""
        return cls(await found_cluster(store, ids), store, clock, ids, lease)

    @property
    def leading(self) -> bool:
        """Whether this server plans and answers."""
        return self._lease is None or self._lease.leading

    def check_leading(self) -> None:
        """Raises `Unavailable`, naming who does, unless this server leads."""
        if self._lease is not None and not self._lease.leading:
            holder = self._lease.holder
            other = f"{holder} does" if holder not in ("", self._lease.me) else "nobody does yet"
            raise Unavailable(f"this server, {self._lease.me}, is not the leader: {other}")

    @property
    def settings(self) -> Settings:
        """The cluster's, now."""
        return self.records.settings

    async def change_setting(self, name: str, value: float | None, cause: str) -> Settings:
        """Record another value, which takes effect at once. Raises a `RequestError` for one that can't be."""
        settings = await self.keeper.change(name, value, cause)
        self._changed()
        return settings

    def _changed(self) -> None:
        self.sightings.limit_s = self.settings.unreachable_after_s
        self.changes.note()

    def _lead_changed(self, leads: bool) -> None:
        """What a server saw before it led is as old as its last lead: it knows of no node until it hears it."""
        if leads:
            self.sightings.begin_anew()
            self.loop.begin_anew()
        self.changes.note()

    async def run(self) -> None:
        """Follow the store and keep planning while this server leads, until cancelled."""
        revision = await self.records.load()
        self._loaded.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.records.follow(revision), name="follow the store")
            tasks.create_task(self.loop.run(), name="control loop")
            if self._lease is not None:
                tasks.create_task(self._lease.run(), name="lease")

    async def ready(self) -> None:
        """Wait until the records are loaded."""
        await self._loaded.wait()
