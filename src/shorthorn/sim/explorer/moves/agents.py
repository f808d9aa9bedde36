"""What agents and replica programs do by their orders, by the rules of docs/protocol.md, sections 1 and 3.

Rules that can be taken out (`without`): start-again (an epoch may be started twice), start-any-boot (also for another boot), seal-no-sync.
"""

from shorthorn.core.model.volume import ReplicaPhase, Task, TaskKind, Volume
from shorthorn.sim.explorer.parts import Engine, Machine, Rep, Run
from shorthorn.sim.explorer.record import Violation, mask_of
from shorthorn.sim.explorer.seeing import boot_id, machine_id, name
from shorthorn.sim.explorer.space import AGENT, REPLICA, TASK, TIME, Frame


def obey(f: Frame) -> None:
    """All that every agent may do next."""
    for node, machine in enumerate(f.machines):
        if not machine.up:
            continue
        tasks = set()
        for command in f.commands(node):
            match command:
                case ("run", int() as v, int() as leave, *_):
                    _run(f, node, machine, v, leave)
                case ("close", int() as epoch):
                    _close(f, node, machine, epoch)
                case ("create", int() as bit):
                    _create(f, node, machine, bit)
                case ("delete", int() as bit):
                    _delete(f, node, machine, bit)
                case ("probe", int() as bit, str() as drop):
                    _probe(f, node, bit, drop)
                case ("fence", int() as bit, int() as epoch):
                    _fence(f, node, bit, epoch)
                case ("task", Task() as task, int() as v, int() as without):
                    tasks.add(task.id)
                    _task(f, node, task, v, without)
        for run in f.runs:
            if run.node == node and run.task not in tasks:
                rest = tuple(r for r in f.runs if r is not run)
                f.go(AGENT + node, ("{} cancels task {}", name(node), run.task), rs=rest)


def _run(f: Frame, node: int, machine: Machine, v: int, leave: int) -> None:
    volume = f.model.record.volumes.values[v]
    assert volume is not None
    session = volume.session
    assert session is not None
    epoch = int(session.epoch)
    for at, engine in enumerate(f.engines):
        if engine.epoch == epoch:
            if engine.leave != leave:
                told = (*f.engines[:at], engine._replace(leave=leave), *f.engines[at + 1 :])
                f.go(AGENT + node, ("{} tells engine {} who is to leave", name(node), epoch), es=told)
            if f.model.without != "start-again":
                return
    if epoch <= machine.last and f.model.without != "start-again":
        return
    own = (machine_id(node), boot_id(machine))
    if (session.machine_id, session.boot_id) != own and f.model.without != "start-any-boot":
        return
    older = [e for e in f.engines if e.node == node]
    if older and f.model.without != "start-again":
        for engine in older:
            rest = tuple(e for e in f.engines if e is not engine)
            f.go(AGENT + node, ("{} ends the older engine {}", name(node), engine.epoch), es=rest)
        return
    if any(e.epoch == epoch for e in f.engines):
        return
    engine = start(f, node, v, volume)
    f.go(
        AGENT + node,
        ("engine {} starts on {}", epoch, name(node)),
        es=tuple(sorted((*f.engines, engine), key=lambda e: e.epoch)),
        ms=f.with_machine(node, machine._replace(last=max(machine.last, epoch))),
    )


def start(f: Frame, node: int, v: int, volume: Volume) -> Engine:
    """An engine as it knows the world from its order."""
    assert volume.session is not None
    return Engine(
        epoch=int(volume.session.epoch),
        node=node,
        volume=v,
        attempts=attempts_of(f, volume),
        need=mask_of(f.model.names, volume),
    )


def attempts_of(f: Frame, volume: Volume) -> tuple[int, ...]:
    """The attempt of each replica by bit, 0 for one that the document does not name."""
    found = [0] * len(f.model.names.ids)
    for replica in volume.replicas:
        found[f.model.names.bit(replica.id)] = int(replica.attempt)
    return tuple(found)


def _close(f: Frame, node: int, machine: Machine, epoch: int) -> None:
    for at, engine in enumerate(f.engines):
        if engine.epoch == epoch and engine.node == node:
            if not engine.closing:
                told = (*f.engines[:at], engine._replace(closing=True), *f.engines[at + 1 :])
                f.go(AGENT + node, ("{} tells engine {} to close", name(node), epoch), es=told)
            return
    if epoch > machine.last:
        after = f.with_machine(node, machine._replace(last=epoch))
        f.go(AGENT + node, ("{} will never start engine {}", name(node), epoch), ms=after)


def _create(f: Frame, node: int, machine: Machine, bit: int) -> None:
    if all(rep.bit != bit for rep in machine.folders):
        after = machine._replace(folders=(*machine.folders, Rep(bit=bit)))
        f.go(
            REPLICA + node,
            ("{} makes the folder of {}", name(node), f.model.names.ids[bit]),
            ms=f.with_machine(node, after),
        )


def _delete(f: Frame, node: int, machine: Machine, bit: int) -> None:
    left = tuple(rep for rep in machine.folders if rep.bit != bit)
    if len(left) == len(machine.folders):
        return
    replica = f.volume.replica(f.model.names.ids[bit]) if f.volume else None  # type: ignore[arg-type]  # an id
    if replica is not None:
        raise Violation(
            f"S5: the folder of {replica.id} is deleted although the record has it as {replica.phase}"
        )
    after = f.with_machine(node, machine._replace(folders=left))
    f.go(REPLICA + node, ("{} deletes the folder of {}", name(node), f.model.names.ids[bit]), ms=after)


def _probe(f: Frame, node: int, bit: int, drop: str) -> None:
    rep = f.rep(bit)
    if rep is not None and rep.probe != drop:
        label = ("{} answers the probe for {}", f.model.names.ids[bit], drop)
        f.go(REPLICA + node, label, ms=f.with_reps(rep._replace(probe=drop)))


def sealed(f: Frame, rep: Rep, epoch: int, attempt: int, conn: int) -> Rep:
    """A seal: refuses older, ends connections, syncs, records the epoch."""
    disk = rep.disk if f.model.without == "seal-no-sync" else rep.cache
    return rep._replace(epoch=epoch, attempt=attempt, conn=conn, disk=disk, opened=False, probe="")


def _fence(f: Frame, node: int, bit: int, epoch: int) -> None:
    rep, named = f.rep(bit), f.model.names.ids[bit]
    if rep is None:
        return
    if rep.epoch < epoch:
        if not behind(f.volume, rep, f.model.names.ids[bit]):
            after = sealed(f, rep, epoch, rep.attempt, 0)
            f.go(REPLICA + node, ("the fence {} seals {}", epoch, named), ms=f.with_reps(after))
    elif rep.epoch == epoch and rep.over < epoch:
        f.go(
            TIME,
            ("1.1 T have passed since {} was sealed at {}", named, epoch),
            ms=f.with_reps(rep._replace(over=epoch)),
        )


def behind(volume: Volume | None, rep: Rep, named: str) -> bool:
    """Its own past is less than the record requires, so it is no source (A17)."""
    replica = volume.replica(named) if volume else None  # type: ignore[arg-type]  # an id
    if volume is None or replica is None:
        return True
    if rep.epoch < volume.opened_epoch or rep.m < replica.stored_m:
        return True
    return bool(rep.epoch and rep.attempt != replica.attempt)


def _task(f: Frame, node: int, task: Task, v: int, without: int) -> None:
    run = next((r for r in f.runs if r.task == task.id and r.node == node), None)
    if run is None:
        new = _begin(f, node, task, v, without)
        f.go(AGENT + node, ("{} begins task {}", name(node), task.id), rs=tuple(sorted((*f.runs, new))))
    elif task.committed and run.stage == 3:
        rest = tuple(r for r in f.runs if r is not run)
        done = [
            rep._replace(
                conn=0, opened=False, torn=rep.torn and not run.settle, dirty=rep.dirty and not run.settle
            )
            for bit in range(len(f.model.names.ids))
            if run.members >> bit & 1 and (rep := f.rep(bit)) and rep.conn == -run.epoch
        ]
        f.go(
            TASK + node,
            ("task {} on {} ends: it is recorded", task.id, name(node)),
            rs=tuple(sorted((*rest, run._replace(stage=4)))),
            ms=f.with_reps(*done),
        )


def _begin(f: Frame, node: int, task: Task, v: int, without: int) -> Run:
    """A task that is recorded already has nothing left to do: it fails, and is ended by the record."""
    volume = f.model.record.volumes.values[v]
    assert volume is not None
    names = f.model.names
    settle = task.kind is TaskKind.SETTLE
    if settle:
        members = mask_of(names, volume) & ~without
        source, target = -1, -1
    else:
        assert task.source is not None
        assert task.target is not None
        source, target = names.bit(task.source), names.bit(task.target)
        members = 1 << source | 1 << target
    in_sync = sum(1 for r in volume.replicas if r.phase is ReplicaPhase.IN_SYNC)
    return Run(
        task=str(task.id),
        epoch=int(task.epoch),
        node=node,
        settle=settle,
        members=members,
        source=source,
        target=target,
        attempts=attempts_of(f, volume),
        stage=5 if task.committed else 0,
        removes=settle and members.bit_count() < in_sync,
    )
