"""What a volume is, derived from its document and what is seen; stored nowhere, so nobody can set it wrongly.

`detached` is CSI's truth: no session and no attachment (S7). Every state on its way somewhere carries its reason.
Source: docs/design.md section 3.
"""

from enum import StrEnum

from shorthorn.core.lifecycle.fencing import fence_wait_s
from shorthorn.core.lifecycle.resyncs import resync_line, resync_seen
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.record import Record
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Replica, Session, SessionPhase, Tombstone, Volume
from shorthorn.core.model.world import World


class State(StrEnum):
    """What a volume is doing for its consumers."""

    CREATING = "creating"
    DETACHED = "detached"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    DELETING = "deleting"


class Health(StrEnum):
    """How many reachable in-sync replicas there are, beside those wanted. Unknown: nodes not heard since the start."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAULTED = "faulted"
    UNKNOWN = "unknown"


class Explanation(Record):
    """State and health with reasons in plain words: what it waits for, and what would free it.

    `health` is None while creating or deleting.
    """

    state: State
    health: Health | None
    reasons: tuple[str, ...]


def state_of(volume: Volume) -> State:
    """From the document alone: what is seen never makes a volume detached."""
    if volume.deleting:
        return State.DELETING
    session = volume.session
    if session and session.phase in (SessionPhase.CLOSING, SessionPhase.FENCING):
        return State.DETACHING
    if session and session.phase is SessionPhase.OPEN:
        return State.ATTACHED
    if volume.attachments or session:
        return State.ATTACHING
    return State.DETACHED if volume.m > 0 else State.CREATING


def wanted(world: World, volume: Volume) -> int:
    """How many in-sync replicas are wanted: the spec's number, or auto: one on each node that is not dead, up to 3."""
    if volume.spec.replicas is not None:
        return volume.spec.replicas
    alive = sum(1 for node in world.nodes.values() if not node.dead)
    return max(1, min(world.settings.replicas_auto_max, alive))


def why_absent(world: World, replica: Replica) -> str | None:
    """Why this replica can't be counted on now, None if it can: its folder was seen, whole, on a reachable node."""
    node = world.nodes.get(replica.node)
    if node is not None and node.dead:
        return f"{replica.node} was declared dead"
    reach = world.reach(replica.node)
    if reach is not Reach.REACHABLE:
        return f"{replica.node} is {_reach(reach)}"
    disk = world.disk_seen(replica.node, replica.disk)
    if disk is None or not disk.address:
        trouble = f": {disk.trouble}" if disk and disk.trouble else ""
        return f"the replica program of disk {replica.disk} on {replica.node} does not run{trouble}"
    seen = world.replica_seen(replica.node, replica.disk, replica.id)
    if seen is None:
        trouble = f": {disk.trouble}" if replica.id in disk.trouble else ""
        return f"its folder is not seen on disk {replica.disk} of {replica.node}{trouble}"
    if seen.damaged or seen.failed:
        return f"its folder on {replica.node} is damaged: {seen.damaged or seen.failed}"
    return None


def health_of(world: World, volume: Volume) -> Health | None:
    """Healthy, degraded, faulted; unknown as long as a node that was not heard yet could change the answer."""
    if volume.deleting or volume.m == 0:
        return None
    sure = sum(1 for r in volume.in_sync if why_absent(world, r) is None)
    unheard = sum(1 for r in volume.in_sync if world.reach(r.node) is Reach.UNKNOWN)
    want = wanted(world, volume)
    least, most = _grade(sure, want), _grade(sure + unheard, want)
    return least if least is most else Health.UNKNOWN


def _grade(count: int, want: int) -> Health:
    if count >= want:
        return Health.HEALTHY
    return Health.DEGRADED if count else Health.FAULTED


def explain(world: World, volume: Volume) -> Explanation:
    """What people see of a volume. What planning holds back is in the plan's waits, beside this."""
    state = state_of(volume)
    health = health_of(world, volume)
    reasons = (*_reasons(world, volume, state), *_health_reasons(world, volume, health))
    return Explanation(state=state, health=health, reasons=reasons)


def _reasons(world: World, volume: Volume, state: State) -> tuple[str, ...]:
    match state:
        case State.CREATING:
            return _why_creating(world, volume)
        case State.ATTACHING:
            return _why_attaching(world, volume)
        case State.ATTACHED:
            return _why_attached(world, volume)
        case State.DETACHING:
            return _why_detaching(world, volume)
        case State.DELETING:
            return _why_deleting(world, volume)
        case State.DETACHED:
            return _why_unsettled(world, volume)


def _why_creating(world: World, volume: Volume) -> tuple[str, ...]:
    missing = tuple(
        f"waits for replica {r.id}: {why}" for r in volume.replicas if (why := why_absent(world, r))
    )
    return missing or ("waits for its first replicas to be placed and formed",)


def _why_attaching(world: World, volume: Volume) -> tuple[str, ...]:
    session, node = volume.session, volume.held_at
    if session is not None:
        return (_engine_line(world, volume, session),)
    if not volume.in_sync:
        return ("waits for the volume to be created: no replica is in-sync yet",)
    if node is not None and (there := world.nodes.get(node)) and there.dead:
        return (f"its consumer is at {node}, which was declared dead; detach it",)
    if node is not None and world.heard(node) is None:
        return (f"waits for {node}, which is {_reach(world.reach(node))}",)
    absent = [why_absent(world, r) for r in volume.in_sync]
    if all(absent):
        return tuple(
            f"waits for an in-sync replica: {r.id}: {why}"
            for r, why in zip(volume.in_sync, absent, strict=True)
        )
    return (f"waits for a session to start at {node}",)


def _engine_line(world: World, volume: Volume, session: Session) -> str:
    engine = world.engine_seen(session.node, volume.uid, session.epoch)
    if engine is None:
        return f"waits for the engine at {session.node}: {_not_seen(world, session)}"
    return f"the engine at {session.node} is {engine.state}" + (
        f": waits for {engine.waits_for}" if engine.waits_for else ""
    )


def _not_seen(world: World, session: Session) -> str:
    reach = world.reach(session.node)
    return "not seen yet" if reach is Reach.REACHABLE else f"the node is {_reach(reach)}"


def _why_attached(world: World, volume: Volume) -> tuple[str, ...]:
    """Nothing, as long as it serves undisturbed with all the replicas that are wanted."""
    session = volume.session
    if session is None:
        return ()
    old = [a.holder for a in volume.attachments if a.stale]
    reasons = (
        [f"broken: serves nobody, unflushed writes may be gone; detach {', '.join(old)} first"] if old else []
    )
    engine = world.engine_seen(session.node, volume.uid, session.epoch)
    if world.heard(session.node) is None:
        reasons.append(f"{session.node} is {_reach(world.reach(session.node))}, so how it serves is not seen")
    elif engine and engine.waits_for:
        reasons.append(f"the engine at {session.node} waits for {engine.waits_for}")
    reasons += [why_syncing(world, volume, r) for r in volume.syncing]
    return tuple(reasons)


def why_syncing(world: World, volume: Volume, replica: Replica) -> str:
    """How far a syncing replica of a volume in use is from being in-sync, and what it waits for."""
    absent = why_absent(world, replica)
    if absent and resync_seen(world, volume, replica) is None:
        return f"replica {replica.id} is not in-sync: {absent}"
    return resync_line(world, volume, replica)


def _why_detaching(world: World, volume: Volume) -> tuple[str, ...]:
    session = volume.session
    if session is None:
        return ()
    if session.phase is SessionPhase.FENCING:
        return _why_fencing(world, volume, session)
    if world.heard(session.node) is None:
        reach = _reach(world.reach(session.node))
        return (f"{session.node} is {reach}; if it stays so, it is fenced",)
    return (_engine_line(world, volume, session),)


def _why_fencing(world: World, volume: Volume, session: Session) -> tuple[str, ...]:
    """Who is sealed already, and if nobody can be, why."""
    wait_s = fence_wait_s(world.settings.grant_s)
    node = world.nodes.get(session.node)
    why = "was declared dead" if node and node.dead else f"is {world.reach(session.node)}"
    seen = [(r, world.replica_seen(r.node, r.disk, r.id)) for r in volume.in_sync]
    sealed = [r for r, s in seen if s and s.sealed[0] >= volume.epoch]
    if sealed:
        named = ", ".join(f"replica {r.id} on {r.node}" for r in sealed)
        waits = (
            f"its wait of {wait_s:.1f} s runs" if len(sealed) == 1 else f"their wait of {wait_s:.1f} s runs"
        )
        return (f"{session.node} {why}: it is being fenced; {named} sealed, {waits}",)
    absent = [f"{r.id}: {why_absent(world, r) or 'its folder is not seen'}" for r, s in seen if s is None]
    if len(absent) < len(seen):
        return (f"{session.node} {why}: it is being fenced; waits for an in-sync replica to be sealed",)
    reason = f"{session.node} {why}: it is being fenced, but no in-sync replica can be reached"
    return (f"{reason}: {'; '.join(absent)}; detaching goes on when one returns",)


def _why_deleting(world: World, volume: Volume) -> tuple[str, ...]:
    return tuple(
        f"waits for the folder of replica {t.replica} on {t.node} to go" + _why_not_gone(world, t)
        for t in volume.tombstones
    )


def _why_not_gone(world: World, stone: Tombstone) -> str:
    if not world.heard(stone.node):
        return f": {_why_unheard(world, stone.node)}"
    seen = world.replica_seen(stone.node, stone.disk, stone.replica)
    return (
        f": it can't be read, so somebody has to remove it: {seen.damaged}" if seen and seen.damaged else ""
    )


def _why_unheard(world: World, name: NodeName) -> str:
    node = world.nodes.get(name)
    if node and node.dead:
        return f"{name} was declared dead; the record goes when it returns or is removed, the name is free already"
    return f"{name} is {_reach(world.reach(name))}"


def _why_unsettled(world: World, volume: Volume) -> tuple[str, ...]:
    if volume.settled or volume.m == 0:
        return ()
    dead = [r for r in volume.in_sync if (node := world.nodes.get(r.node)) and node.dead]
    waited = dead if len(dead) == len(volume.in_sync) else [r for r in volume.in_sync if r not in dead]
    absent = tuple(f"replica {r.id}: {why}" for r in waited if (why := why_absent(world, r)))
    if absent:
        return (f"not settled: its last session ended unclean; waits for {'; '.join(absent)}",)
    return ("not settled: its last session ended unclean; its replicas are being made equal",)


def _health_reasons(world: World, volume: Volume, health: Health | None) -> tuple[str, ...]:
    if health in (None, Health.HEALTHY):
        return ()
    absent = [
        f"replica {r.id} does not count: {why}" for r in volume.in_sync if (why := why_absent(world, r))
    ]
    fewer = wanted(world, volume) - len(volume.in_sync)
    if fewer > 0:
        absent.append(f"{len(volume.in_sync)} of {wanted(world, volume)} wanted replicas are in-sync")
    return tuple(absent)


def _reach(reach: Reach) -> str:
    return "not heard since this server started" if reach is Reach.UNKNOWN else "unreachable"
