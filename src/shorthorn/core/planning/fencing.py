"""Ends sessions whose node can't be asked, without asking it (docs/protocol.md, Fence).

Never fences a held session because its node is merely unreachable: its consumer may be alive there.
"""

from shorthorn.core.lifecycle.events import FenceHeld, FenceStarted
from shorthorn.core.lifecycle.fencing import fence_wait_s
from shorthorn.core.lifecycle.state import why_absent
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Session, SessionPhase, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import wait, why_behind
from shorthorn.core.planning.plan import NOTHING, Intent, Plan


def plan_fence(world: World, volume: Volume, session: Session) -> Plan:
    """Start a fence where one is allowed; hold it once a sealed replica has waited.

    Intents: FenceStarted, resting on the node's record when it was declared dead; FenceHeld. Waits: the node is not
    heard yet; it is unreachable, but held; no in-sync replica can be reached; a replica is being sealed, or waits.
    """
    if session.phase is SessionPhase.FENCING:
        return _hold(world, volume, session)
    node = world.nodes.get(session.node)
    if node is not None and node.dead is not None:
        return _start(
            volume, session, f"{session.node} was declared dead by {node.dead.who}", (session.node,)
        )
    match world.reach(session.node):
        case Reach.REACHABLE:
            return NOTHING
        case Reach.UNKNOWN:
            reason = f"{session.node} was not heard since this server started"
            return Plan(waits=(wait(volume, reason, "a few seconds pass", session.node),))
        case Reach.UNREACHABLE:
            if _held(volume, session):
                reason = f"{session.node} is unreachable, but its consumer may be alive there"
                frees = f"{session.node} comes back; else detach it, or declare the node dead"
                return Plan(waits=(wait(volume, reason, frees, session.node),))
            return _start(volume, session, f"{session.node} is unreachable and nobody holds it there", ())


def _held(volume: Volume, session: Session) -> bool:
    """A closing session serves nobody any more; who attached since waits for the next one."""
    closing = session.phase is SessionPhase.CLOSING
    return not closing and any(a.node == session.node for a in volume.attachments)


def _start(volume: Volume, session: Session, why: str, rests_on: tuple[NodeName, ...]) -> Plan:
    event = FenceStarted(epoch=session.epoch, why=why)
    return Plan(
        intents=(Intent(volume=volume.uid, name=volume.name, event=event, cause=why, unchanged=rests_on),)
    )


def _hold(world: World, volume: Volume, session: Session) -> Plan:
    waiting: list[str] = []
    whys: list[str] = []
    waited_s = fence_wait_s(world.settings.grant_s)
    for replica in volume.in_sync:
        seen = world.replica_seen(replica.node, replica.disk, replica.id)
        if seen is None or seen.damaged or seen.failed:
            whys.append(f"{replica.id}: {why_absent(world, replica)}")
            continue
        if seen.fenced >= volume.epoch:
            event = FenceHeld(epoch=volume.epoch, replica=replica.id, waited_s=waited_s)
            cause = f"replica {replica.id} on {replica.node} was sealed and {waited_s:.1f} s have passed"
            return Plan(intents=(Intent(volume=volume.uid, name=volume.name, event=event, cause=cause),))
        if why := why_behind(volume, replica, seen):
            whys.append(f"{replica.id}: {why}")
            continue
        waiting.append(f"replica {replica.id} on {replica.node}")
    if waiting:
        reason = (
            f"{session.node} is being fenced by {', '.join(waiting)}: once sealed it waits {waited_s:.1f} s"
        )
        frees = "it answers" if len(waiting) == 1 else "the first of them answers"
        return Plan(waits=(wait(volume, reason, frees, session.node),))
    reason = f"{session.node} is being fenced, but no in-sync replica can be reached: {'; '.join(whys)}"
    return Plan(waits=(wait(volume, reason, "detaching goes on when one returns", session.node),))
