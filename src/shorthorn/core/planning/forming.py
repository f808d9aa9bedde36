"""From nothing to the first in-sync set (docs/protocol.md, Create)."""

from shorthorn.core.lifecycle.events import Formed, ReplicaAbandoned
from shorthorn.core.lifecycle.state import wanted, why_absent
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Replica, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import NewId, reachable, wait, why_must_go
from shorthorn.core.planning.placement import plan_places
from shorthorn.core.planning.plan import Intent, Plan


def plan_forming(world: World, volume: Volume, new_id: NewId) -> Plan:
    """Place the wanted replicas, then form the volume of those whose empty folders are seen.

    All wanted ones if places exist; else as many as there are, so that a small cluster has volumes too.
    Intents: ReplicaPlaced, ReplicaAbandoned, Formed. Waits: no place; a folder that is not made yet.
    """
    given_up = [r for r in volume.syncing if why_must_go(world, r)]
    plan = Plan(intents=tuple(_abandon(world, volume, r) for r in given_up))
    staying = [r for r in volume.syncing if r not in given_up]
    unheard = [r for r in staying if world.reach(r.node) is Reach.UNKNOWN]
    usable = [r for r in staying if reachable(world, r.node)]
    want = wanted(world, volume)
    missing = want - len(usable) - len(unheard)
    if missing > 0:
        plan += plan_places(world, volume, volume.replicas, missing, f"{want} replicas are wanted", new_id)
        if any(intent.space for intent in plan.intents):
            return plan
    absent = tuple(
        wait(volume, f"replica {r.id} is not ready: {why_absent(world, r) or 'its folder is not empty'}")
        for r in (*usable, *unheard)
        if not _is_empty(world, r)
    )
    ready = [r for r in usable if _is_empty(world, r)]
    if absent or not ready or (missing > 0 and _somebody_unheard(world)):
        return plan + Plan(waits=absent)
    event = Formed(members=tuple(r.id for r in ready))
    return plan + Plan(
        intents=(
            Intent(volume=volume.uid, name=volume.name, event=event, cause="their empty folders are durable"),
        )
    )


def _is_empty(world: World, replica: Replica) -> bool:
    """The durable, never sealed folder was reported under this id; ids are never reused."""
    seen = world.replica_seen(replica.node, replica.disk, replica.id)
    return (
        seen is not None
        and seen.empty
        and seen.attempt <= replica.attempt
        and not seen.damaged
        and not seen.failed
    )


def _somebody_unheard(world: World) -> bool:
    """A node that is not heard yet might be a place: worth the few seconds."""
    return any(world.reach(n.name) is Reach.UNKNOWN and not n.dead for n in world.nodes.values())


def _abandon(world: World, volume: Volume, replica: Replica) -> Intent:
    why = why_must_go(world, replica)
    event = ReplicaAbandoned(replica=replica.id, attempt=replica.attempt, why=why)
    return Intent(volume=volume.uid, name=volume.name, event=event, cause=why)
