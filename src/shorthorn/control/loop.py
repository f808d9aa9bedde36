"""The control loop: look at what is recorded and seen, plan, carry the plan out, tell the agents.

Level, not edge: whatever woke it, it does the same, and it may be woken too often or die at any point. It keeps
nothing between two rounds but the last plan, for people to read.
"""

import asyncio
import logging
from collections.abc import Callable

from shorthorn.control.away import Away
from shorthorn.control.changes import Changes
from shorthorn.control.commit import Committer, InvariantBroken
from shorthorn.control.ends import Ends
from shorthorn.control.records import Records
from shorthorn.control.sightings import Sightings
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.orders import orders
from shorthorn.core.planning.plan import NOTHING, Intent, Plan
from shorthorn.core.planning.planner import plan
from shorthorn.errors import OutcomeUnknown, Unavailable
from shorthorn.ports.ids import Ids

log = logging.getLogger(__name__)

FULL_PASS_S = 60.0
"""A round without any cause, as a safety net. Costs milliseconds; nothing depends on it."""

LOOK_AGAIN_MIN_S = 0.01
"""Not sooner, however little is left of a time by an old sighting: else the same plan is made without a pause, and nobody else runs."""

RETRY_S = 1.0
"""After a commit of unknown outcome, or a store that is away."""


class ControlLoop:
    """Plans and commits for the whole cluster, while `leading` says so."""

    def __init__(  # noqa: PLR0913, PLR0917 - its parts, put together in one place (control.control)
        self,
        records: Records,
        sightings: Sightings,
        committer: Committer,
        changes: Changes,
        ends: Ends,
        away: Away,
        ids: Ids,
        leading: Callable[[], bool],
    ) -> None:
        self._records = records
        self._sightings = sightings
        self._committer = committer
        self._changes = changes
        self._ends = ends
        self._away = away
        self._ids = ids
        self._leading = leading
        self.plan = NOTHING

    def world(self) -> World:
        """What is recorded and seen now."""
        nodes, volumes = self._records.nodes, self._records.volumes
        self._ends.note(volumes)
        seen = self._sightings.seen(nodes)
        return World(
            settings=self._records.settings,
            volumes=volumes,
            nodes=nodes,
            seen=seen,
            ended=self._ends.ended(),
            away_s=self._away.note(nodes, seen, self._sightings.silent_s),
        )

    def orders(self, node: NodeName) -> NodeOrders:
        """What this node must run or do now."""
        return orders(self.world(), node)

    def begin_anew(self) -> None:
        """Forget what was noted of the past: it may have changed and changed back while this server did not lead."""
        self._ends.forget()
        self._away.forget()

    async def run(self) -> None:
        """For ever. A server that leads no more notices here, or between two intents; the law sees to the rest."""
        while True:
            count = self._changes.count
            if not self._leading():
                self.plan = NOTHING
                await self._changes.after(count)
                continue
            world = self.world()
            self.plan = plan(world, self._ids.new)
            certain = await self._carry_out(self.plan, world)
            await self._rest(count, world, None if certain else RETRY_S)

    async def _carry_out(self, plan_: Plan, world: World) -> bool:
        """Commit the intents in order. False: some outcome is not known, look again soon."""
        certain = True
        for intent in plan_.intents:
            if not self._leading():
                return True
            try:
                answer = await self._commit(intent, world)
            except (OutcomeUnknown, Unavailable) as error:
                log.warning("%s: %s", intent.volume, error)
                certain = False
                continue
            except InvariantBroken:
                log.exception("%s: not recorded", intent.volume)
                continue
            if isinstance(answer, Refused):
                log.info("%s: refused: %s", intent.volume, answer.why)
        return certain

    async def _commit(self, intent: Intent, world: World) -> Accepted[Volume] | Refused:
        return await self._committer.change_volume(
            intent.volume,
            intent.event,
            intent.cause,
            space=intent.space,
            rests_on=intent.unchanged,
            view=world.nodes,
        )

    async def _rest(self, count: int, world: World, limit_s: float | None) -> None:
        """Until something changed, a node's reach did, or the plan wants another look."""
        look_again = [s for s in (self.plan.look_again_s, limit_s, FULL_PASS_S) if s is not None]
        end = asyncio.get_running_loop().time() + max(min(look_again), LOOK_AGAIN_MIN_S)
        while True:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return
            change_s = self._sightings.next_change_s(world.nodes)
            if await self._changes.after(count, left if change_s is None else min(left, change_s + 0.01)):
                return
            if self._reach(world) != {name: seen.reach for name, seen in world.seen.items()}:
                self._changes.note()
                return

    def _reach(self, world: World) -> dict[NodeName, Reach]:
        return {name: self._sightings.reach(name) for name in world.nodes}
