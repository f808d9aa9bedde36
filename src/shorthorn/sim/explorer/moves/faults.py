"""What breaks, what comes back, and what comes late. Each from a budget but for returns, which may come or not."""

from shorthorn.core.lifecycle.events import NodeRegistered
from shorthorn.core.model.node import Disk
from shorthorn.sim.explorer.parts import Machine
from shorthorn.sim.explorer.seeing import ROOM, boot_id, disk, machine_id, name
from shorthorn.sim.explorer.space import CHANCE, FAULT, MESSAGE, TIME, Frame


def strike(f: Frame) -> None:
    """Everything that may happen to the machines and between them."""
    for node in f.model.world.victims or range(len(f.machines)):
        machine = f.machines[node]
        if machine.up:
            _power_off(f, node, machine)
            _kill(f, node, machine)
            _cut(f, node, machine)
        else:
            _power_on(f, node, machine)
        if machine.away == 1 and f.model.world.patience:
            longer = f.with_machine(node, machine._replace(away=2))
            f.go(TIME, ("{} has been away for very long", name(node)), ms=longer)
    for engine in f.engines:
        left = f.spend("crashes")
        if left >= 0:
            rest = tuple(e for e in f.engines if e is not engine)
            f.go(FAULT, ("engine {} dies", engine.epoch), es=rest, bd=left)
    _late(f)


def _power_off(f: Frame, node: int, machine: Machine) -> None:
    left = f.spend("powers")
    if left < 0:
        return
    folders = tuple(
        rep._replace(cache=rep.disk, conn=0, opened=False, torn=rep.torn or rep.opened, probe="")
        for rep in machine.folders
    )
    after = machine._replace(up=False, away=1, folders=folders)
    f.go(
        FAULT,
        ("{} loses power", name(node)),
        ms=f.with_machine(node, after),
        es=tuple(e for e in f.engines if e.node != node),
        rs=tuple(r for r in f.runs if r.node != node),
        lt=(*f.late[:node], (-1, -1), *f.late[node + 1 :]),
        bd=left,
    )


def _power_on(f: Frame, node: int, machine: Machine) -> None:
    after = machine._replace(up=True, heard=True, boot=machine.boot + 1, away=0)
    f.go(CHANCE, ("{} is back", name(node)), ms=f.with_machine(node, after), nd=_register(f, node, after))


def _register(f: Frame, node: int, machine: Machine) -> int:
    event = NodeRegistered(
        name=name(node),
        machine_id=machine_id(node),
        boot_id=boot_id(machine),
        disks=(Disk(uid=disk(node), size=ROOM),),
    )
    return f.model.record.change_node(f.nd, node, event)


def _kill(f: Frame, node: int, machine: Machine) -> None:
    """A replica program dies and is there again at once; the page cache stays, connections and what it had to do do not."""
    left = f.spend("kills")
    if left < 0:
        return
    folders = tuple(rep._replace(conn=0, probe="") for rep in machine.folders)
    f.go(
        FAULT,
        ("the replica program of {} starts anew", name(node)),
        ms=f.with_machine(node, machine._replace(folders=folders)),
        rs=tuple(r for r in f.runs if r.node != node),
        bd=left,
    )


def _cut(f: Frame, node: int, machine: Machine) -> None:
    """No server hears its agent, nor the other way round; between nodes all goes on. The agent keeps its last orders."""
    if not machine.heard:
        after = machine._replace(heard=True, away=0)
        late = (*f.late[:node], (-1, -1), *f.late[node + 1 :])
        f.go(CHANCE, ("{} is heard again", name(node)), ms=f.with_machine(node, after), lt=late)
        return
    left = f.spend("cuts")
    if left >= 0:
        orders = f.model.commands.number(f.commands(node))
        late = (*f.late[:node], (-1, orders), *f.late[node + 1 :])
        after = machine._replace(heard=False, away=1)
        f.go(
            FAULT,
            ("{} is cut off from the servers", name(node)),
            ms=f.with_machine(node, after),
            lt=late,
            bd=left,
        )


def _late(f: Frame) -> None:
    """An old sighting that the servers go on with, or old orders that an agent goes on with, until the newest comes."""
    left = f.spend("late")
    for node, (sighting, orders) in enumerate(f.late):
        machine = f.machines[node]
        if not (machine.up and machine.heard):
            continue
        before, behind = f.late[:node], f.late[node + 1 :]
        if sighting >= 0:
            f.go(MESSAGE, ("the servers hear {} again", name(node)), lt=(*before, (-1, orders), *behind))
        elif left >= 0:
            late = (*before, (f.sighting(node), orders), *behind)
            f.go(CHANCE, ("what {} reports from now on is late", name(node)), lt=late, bd=left)
        if orders >= 0:
            f.go(MESSAGE, ("{} gets its newest orders", name(node)), lt=(*before, (sighting, -1), *behind))
        elif left >= 0 and (now := f.commands(node)):
            late = (*before, (sighting, f.model.commands.number(now)), *behind)
            f.go(CHANCE, ("what {} is ordered from now on is late", name(node)), lt=late, bd=left)
