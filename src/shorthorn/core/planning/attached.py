"""The replicas of a volume in an open session: placed, marked, given up. Their resync is its engine's.

The engine resyncs what the record has as syncing and is told of (`orders`), and removes what is marked as leaving.
"""

from shorthorn.core.lifecycle.resyncs import resync_line
from shorthorn.core.lifecycle.state import wanted
from shorthorn.core.model.volume import SessionPhase, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.away import plan_patience
from shorthorn.core.planning.leaving import plan_giving_up, plan_marks
from shorthorn.core.planning.looking import NewId, coming, keepers, present, wait
from shorthorn.core.planning.placement import plan_places
from shorthorn.core.planning.plan import NOTHING, Plan
from shorthorn.core.planning.repair import why_repair


def plan_attached(world: World, volume: Volume, new_id: NewId) -> Plan:
    """Towards the wanted number while the volume is in use.

    Intents: ReplicaAbandoned, ReplicaPlaced, ReplicaLeaving. Waits: no place; a replica that is away for a short time;
    a resync; a removal by the engine.
    """
    if volume.session is None or volume.session.phase is not SessionPhase.OPEN:
        return NOTHING
    want = wanted(world, volume)
    plan = plan_giving_up(world, volume, want)
    if plan.intents:
        return plan
    plan += _more(world, volume, want, new_id)
    return plan if plan.intents else plan + plan_marks(world, volume, want) + _leaving(volume)


def _more(world: World, volume: Volume, want: int, new_id: NewId) -> Plan:
    staying, on_the_way = keepers(world, volume), coming(world, volume)
    if len(staying) >= want:
        return NOTHING
    missing = want - len(staying) - len(on_the_way)
    plan = NOTHING
    if missing > 0:
        cause = why_repair(world, volume, want)
        plan = plan_places(world, volume, volume.replicas, missing, cause, new_id)
    resyncs = tuple(
        wait(volume, resync_line(world, volume, r), node=r.node) for r in on_the_way if present(world, r)
    )
    return plan + Plan(waits=resyncs) + plan_patience(world, volume, on_the_way)


def _leaving(volume: Volume) -> Plan:
    return Plan(
        waits=tuple(
            wait(
                volume,
                f"replica {r.id} on {r.node} is to go ({r.leaving}); the engine removes it",
                "the other replicas answer a flush",
                r.node,
            )
            for r in volume.in_sync
            if r.leaving
        )
    )
