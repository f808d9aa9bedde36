"""The control plane as one value: what faces and the composition root hold.

Starts and ends the tasks that belong together; decides nothing.
"""

import asyncio

from shorthorn.control.changes import Changes
from shorthorn.control.commit import Committer
from shorthorn.control.ends import Ends
from shorthorn.control.loop import ControlLoop
from shorthorn.control.records import Records, found_cluster
from shorthorn.control.sightings import Sightings
from shorthorn.core.model.world import Settings
from shorthorn.ports.clock import Clock
from shorthorn.ports.ids import Ids
from shorthorn.ports.store import Store


class Control:
    """Records, sightings, the committer and the loop over one store."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, ids: Ids) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.ids = ids
        self.changes = Changes()
        self.records = Records(store)
        self.records.on_change(self.changes.note)
        self.sightings = Sightings(clock, settings.unreachable_after_s)
        self.committer = Committer(store, self.records, clock)
        self._loaded = asyncio.Event()
        self.loop = ControlLoop(
            settings, self.records, self.sightings, self.committer, self.changes, Ends(clock), ids
        )

    @classmethod
    async def open(cls, store: Store, clock: Clock, ids: Ids) -> "Control":
        """Over a store that may be new."""
        return cls(await found_cluster(store, ids), store, clock, ids)

    async def run(self) -> None:
        """Follow the store and keep planning, until cancelled."""
        revision = await self.records.load()
        self._loaded.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.records.follow(revision), name="follow the store")
            tasks.create_task(self.loop.run(), name="control loop")

    async def ready(self) -> None:
        """Wait until the records are loaded."""
        await self._loaded.wait()
