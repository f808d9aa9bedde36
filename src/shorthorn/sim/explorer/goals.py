"""What a world at rest must look like (L1 to L8): every wish fulfilled, or held back with a reason that names what frees it."""

from shorthorn.core.lifecycle.state import explain
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Replica, SessionPhase, TaskKind, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.eviction import eviction_report
from shorthorn.sim.explorer.parts import SERVING
from shorthorn.sim.explorer.space import Frame


def why_bad(f: Frame) -> str:
    """What is wrong with this state if it stays; empty when nothing is."""
    view = f.model.record.view(f.eyes())
    volume = f.volume
    if volume is None:
        return ""
    plan = f.model.record.plan(f.eyes(), f.control.placed)
    if plan.intents:
        return f"L8: the plan wants what the law refuses ({plan.intents[0].describe()})"
    waits = bool(plan.waits)
    return (
        _held(f, view, volume)
        or _not_held(view, volume, waits=waits)
        or _tasks(view, volume, waits=waits)
        or _wanted(f, view, volume)
        or _marks(view, volume)
        or _deleted(view, volume)
        or _evicted(view, waits=waits)
    )


def _here(view: World, replica: Replica) -> bool:
    return view.reach(replica.node) is Reach.REACHABLE


def _held(f: Frame, view: World, volume: Volume) -> str:
    at = volume.held_at
    if at is None or view.reach(at) is not Reach.REACHABLE or view.nodes[at].dead:
        return ""
    if not any(_here(view, r) for r in volume.in_sync) or volume.m == 0:
        return ""
    session = volume.session
    if session is None or session.node != at or session.phase is not SessionPhase.OPEN:
        if session and session.node != at and not explain(view, volume).reasons:
            return "L2: held, but not attached, without a reason"
        if session and session.node != at:
            return ""
        return f"L2: held at {at}, an in-sync replica is reachable, but it is {session.phase if session else 'without a session'}"
    serves = any(e.epoch == session.epoch and e.phase == SERVING and not e.op for e in f.engines)
    return "" if serves else "L2: attached by the record, but its engine does not serve"


def _not_held(view: World, volume: Volume, *, waits: bool) -> str:
    if volume.attachments or volume.session is None:
        return ""
    if any(_here(view, r) for r in volume.in_sync):
        return f"L1: nobody holds it and an in-sync replica is reachable, but session {volume.session.epoch} is {volume.session.phase}"
    reasons = explain(view, volume).reasons
    return "" if reasons and waits else "L1: it does not become detached, and nothing says why"


def _tasks(view: World, volume: Volume, *, waits: bool) -> str:
    for task in volume.tasks:
        missing = [r for r in volume.in_sync if not _here(view, r)]
        if task.kind is TaskKind.SETTLE and missing and waits:
            continue
        if task.kind is TaskKind.COPY and waits and not any(_here(view, r) for r in volume.in_sync):
            continue
        return f"L5: {task.kind} {task.id} never ends"
    return ""


def _wanted(f: Frame, view: World, volume: Volume) -> str:
    """As many in-sync replicas where they may stay as there are nodes to have them; who is away for a short time counts.

    By the truth of the machines, not by what planning thinks of them. What nobody could do is not asked for: without a
    source, before the members of an unsettled volume are back, or with a session that does not open.
    """
    if volume.m == 0:
        return "" if view_waits(f) else "L3: it is never formed"
    attached = volume.session is not None and volume.session.phase is SessionPhase.OPEN
    if not attached and (volume.session or (volume.attachments and not _held_by_the_dead(view, volume))):
        return ""
    if not any(_here(view, r) for r in volume.in_sync):
        return ""
    dead = {n.name for n in view.nodes.values() if n.dead}
    if (
        not volume.settled
        and not attached
        and not all(_here(view, r) or r.node in dead for r in volume.in_sync)
    ):
        return ""
    away = {n.name for n, m in zip(view.nodes.values(), f.machines, strict=True) if m.away == 1}
    fit = [n for n in view.nodes.values() if not (n.evicting or n.dead or n.cordoned)]
    usable = {n.name for n in fit if view.reach(n.name) is Reach.REACHABLE}
    waited = {r.node for r in volume.replicas if r.node in away and r.node in {n.name for n in fit}}
    staying = {r.node for r in volume.in_sync if r.node in usable} | waited
    want = min(volume.spec.replicas or 1, len(usable | waited))
    return "" if len(staying) >= want else f"L3: {want} in-sync replicas could be, {len(staying)} are"


def _held_by_the_dead(view: World, volume: Volume) -> bool:
    return volume.held_at is not None and view.nodes[volume.held_at].dead is not None


def view_waits(f: Frame) -> bool:
    """Whether planning says what it waits for."""
    return bool(f.model.record.plan(f.eyes(), f.control.placed).waits)


def _marks(view: World, volume: Volume) -> str:
    """A mark stands for a removal that is wanted: its node is to be empty, or enough others are in-sync."""
    staying = [r for r in volume.in_sync if not r.leaving]
    for replica in volume.replicas:
        node = view.nodes[replica.node]
        if (
            replica.leaving
            and not (node.evicting or node.dead)
            and len(staying) < (volume.spec.replicas or 1)
        ):
            return f"L5: {replica.id} is marked as leaving, and nobody wants it to go"
    return ""


def _deleted(view: World, volume: Volume) -> str:
    here = [t.replica for t in volume.tombstones if view.reach(t.node) is Reach.REACHABLE]
    return f"L6: the folder of {here[0]} never goes" if here else ""


def _evicted(view: World, *, waits: bool) -> str:
    for node in view.nodes.values():
        report = eviction_report(view, node.name)
        if report.state in ("", "done"):
            continue
        if not report.lines or not waits:
            return f"L4: the eviction of {node.name} is {report.state} and does not say why"
    return ""
