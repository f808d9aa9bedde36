"""Sessions for attachments that exist, and the confirmed end of those whose engine is gone."""

from shorthorn.core.lifecycle.events import SessionClosed, SessionStarted
from shorthorn.core.lifecycle.state import why_absent
from shorthorn.core.model.ids import Epoch
from shorthorn.core.model.sighting import EngineState, Reach
from shorthorn.core.model.volume import Session, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.fencing import plan_fence
from shorthorn.core.planning.looking import gone_for_good, present, wait
from shorthorn.core.planning.plan import NOTHING, Intent, Plan
from shorthorn.core.planning.tasks import retry_after_s


def plan_start(world: World, volume: Volume) -> Plan:
    """A session for the attachments of a volume that has none.

    Intents: SessionStarted, resting on the node's record (its boot). Waits: the node is not heard; no in-sync replica
    is reachable; nodes that were not heard since this server started, since opening without them would lose them;
    sessions that ended again and again (L8: the journal must not grow for ever).
    """
    at = volume.held_at
    if at is None:
        return NOTHING
    pause = _pause(world, volume)
    if pause.waits:
        return pause
    node, sighting = world.nodes.get(at), world.heard(at)
    if node is None or node.dead:
        gone = "was declared dead" if node else "is not part of the cluster"
        return Plan(waits=(wait(volume, f"its consumer is at {at}, which {gone}", "detach it", at),))
    if sighting is None or (sighting.machine_id, sighting.boot_id) != (node.machine_id, node.boot_id):
        return Plan(waits=(wait(volume, f"{at} is not heard", f"{at} comes back, or detach it", at),))
    if not any(present(world, r) for r in volume.in_sync):
        whys = "; ".join(f"{r.id}: {why_absent(world, r)}" for r in volume.in_sync)
        return Plan(waits=(wait(volume, f"no in-sync replica is reachable: {whys}", "one of them returns"),))
    unheard = [
        r.node for r in volume.in_sync if world.reach(r.node) is Reach.UNKNOWN and not gone_for_good(world, r)
    ]
    if unheard:
        return Plan(waits=(wait(volume, f"{', '.join(unheard)} not heard since this server started"),))
    event = SessionStarted(
        epoch=Epoch(volume.epoch + 1), node=at, machine_id=node.machine_id, boot_id=node.boot_id
    )
    holders = ", ".join(a.holder for a in volume.attachments[:3])
    intent = Intent(
        volume=volume.uid, name=volume.name, event=event, cause=f"held at {at} by {holders}", unchanged=(at,)
    )
    return Plan(intents=(intent,))


def _pause(world: World, volume: Volume) -> Plan:
    """The first new session follows at once: a consumer waits. Each further one after a longer pause."""
    ended = world.ended.get(volume.uid)
    if ended is None or ended.count < 2:
        return NOTHING
    left = retry_after_s(ended.count - 1) - ended.ago_s
    if left <= 0:
        return NOTHING
    reason = f"{ended.count} sessions in a row ended although it is held at {volume.held_at}"
    frees = f"the next one starts within {retry_after_s(ended.count - 1):.0f} s; `volume history` says how they ended"
    return Plan(waits=(wait(volume, reason, frees),), look_again_s=left)


def plan_end(world: World, volume: Volume, session: Session) -> Plan:
    """The end of a session that its engine can't say itself: confirmed first, by fence else.

    Intents: SessionClosed with evidence (S7), FenceStarted, FenceHeld. Waits: those of the fence.
    """
    if evidence := confirmed_end(world, volume, session):
        event = SessionClosed(epoch=session.epoch, clean=False, evidence=evidence)
        return Plan(intents=(Intent(volume=volume.uid, name=volume.name, event=event, cause=evidence),))
    return plan_fence(world, volume, session)


def confirmed_end(world: World, volume: Volume, session: Session) -> str:
    """Evidence that the engine is dead: its lock was taken over, or its machine booted again. Empty: unknown."""
    engine = world.engine_seen(session.node, volume.uid, session.epoch)
    if engine and engine.state is EngineState.ENDED and engine.evidence:
        return engine.evidence
    node, sighting = world.nodes.get(session.node), world.heard(session.node)
    if node is None or sighting is None or node.machine_id != session.machine_id:
        return ""
    # Both the registration and the sighting: a late message of an older boot is no evidence.
    if node.boot_id == sighting.boot_id != session.boot_id and sighting.machine_id == session.machine_id:
        return f"{session.node} booted again (boot {node.boot_id})"
    return ""
