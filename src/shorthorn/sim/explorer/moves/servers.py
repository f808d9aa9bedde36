"""What servers do: plan over what they know, commit intents, answer what engines ask; at once, late, or twice.

A server that plans and commits the first intent that changes anything, then looks again, is one step. What it may do
besides, with an old plan, is to carry it out intent by intent later, while others go on: a slot, from the budget `slow`;
two slots are two servers that both believe to be the leader.
"""

from shorthorn.core.lifecycle.events import ReplicaPlaced
from shorthorn.core.planning.plan import Intent
from shorthorn.sim.explorer.seeing import name
from shorthorn.sim.explorer.space import CHANCE, CONTROL, FAULT, TIME, Control, Frame, Slot


def control(f: Frame) -> None:
    """All that the servers may do next."""
    if f.volume is not None:
        _at_once(f)
        left = f.spend("slow")
        if left >= 0 and len(f.control.slots) < 2:
            _plan(f, left)
    for at, slot in enumerate(f.control.slots):
        _carry_on(f, at, slot)
    _hear(f)
    _restart(f)


def _mark(control: Control) -> str:
    """Tells the ids of a plan that waits from those of the others."""
    used = {slot.mark for slot in control.slots}
    return next(m for m in ("x", "y") if m not in used)


def _at_once(f: Frame) -> None:
    found = f.model.record.at_once(f.eyes(), f.control.placed)
    if found is not None:
        intent, v, nd = found
        f.go(CONTROL, ("control: {}", intent), v=v, nd=nd, ct=_placed(f.control, intent))


def _plan(f: Frame, left: int) -> None:
    mark = _mark(f.control)
    intents = f.model.record.plan(f.eyes(), f.control.placed, mark).intents
    if intents:
        slots = tuple(sorted((*f.control.slots, Slot(f.nd, intents, mark)), key=lambda s: s.mark))
        f.go(CHANCE, ("a server plans, and waits: {}", intents), ct=f.control._replace(slots=slots), bd=left)


def _carry_on(f: Frame, at: int, slot: Slot) -> None:
    """The next intent of an old plan; refused, it is passed over."""
    intent, rest = slot.intents[0], slot.intents[1:]
    kept = (slot._replace(intents=rest),) if rest else ()
    slots = (*f.control.slots[:at], *kept, *f.control.slots[at + 1 :])
    after = f.control._replace(slots=slots)
    answer = f.model.record.commit(f.v, f.nd, intent.event, intent, slot.view)
    if isinstance(answer, str):
        f.go(CONTROL, ("the server with an old plan is refused: {}", answer), ct=after)
        return
    if answer != (f.v, f.nd):
        after = _placed(after, intent)
    f.go(CONTROL, ("the server with an old plan: {}", intent), v=answer[0], nd=answer[1], ct=after)


def _placed(control: Control, intent: Intent) -> Control:
    return control._replace(placed=control.placed + 1) if isinstance(intent.event, ReplicaPlaced) else control


def _hear(f: Frame) -> None:
    """After a restart: each node is heard, or has been silent for long enough."""
    for node, machine in enumerate(f.machines):
        if f.control.unknown >> node & 1:
            heard = machine.up and machine.heard
            what = "the new server hears {}" if heard else "{} is silent for too long"
            after = f.control._replace(unknown=f.control.unknown & ~(1 << node))
            f.go(CONTROL if heard else TIME, (what, name(node)), ct=after)


def _restart(f: Frame) -> None:
    left = f.spend("restarts")
    if left >= 0:
        unknown = (1 << len(f.machines)) - 1
        late = tuple((-1, orders) for _, orders in f.late)
        f.go(
            FAULT,
            ("the server starts anew",),
            ct=f.control._replace(slots=(), unknown=unknown),
            lt=late,
            bd=left,
        )
