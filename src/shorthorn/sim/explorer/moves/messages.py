"""Messages arrive: at once, late, never, or twice (from the budget `repeats`). What a cut-off node sends or is sent waits."""

from shorthorn.core.lifecycle.events import Base, ReplicaLost, ReplicaSynced, SessionClosed
from shorthorn.core.model.ids import Attempt, Epoch, ReplicaId
from shorthorn.sim.explorer.moves.opening import engines_with
from shorthorn.sim.explorer.parts import Engine, Rep, bits
from shorthorn.sim.explorer.space import CHANCE, FAULT, MESSAGE, Frame, Message


def deliver(f: Frame) -> None:
    """Each message that is under way."""
    for message in sorted(f.messages, key=repr):
        rest = f.messages - {message}
        match message:
            case ("W", int() as epoch, int() as bit, int() as value, int() as attempt, _):
                _write(f, rest, message, f.rep(bit), (epoch, value, attempt))
            case ("K", int() as epoch, int() as bit, int() as value, int() as attempt):
                _clear(f, rest, f.rep(bit), (epoch, value, attempt))
            case ("C", str() as task, int() as epoch, int() as bit, int() as value, int()):
                _copy(f, rest, task, epoch, f.rep(bit), value)
            case (
                "l" | "j" as kind,
                int() as node,
                int() as epoch,
                int() as bit,
                int() as attempt,
                int() as m,
            ):
                at = _asked(f, node, epoch, bit, attempt)
                if at >= 0:
                    (_removed if kind == "l" else _joined)(f, rest, at, bit, m)
            case _:
                _ask(f, rest, message)


def _write(
    f: Frame, rest: frozenset[Message], message: Message, rep: Rep | None, what: tuple[int, int, int]
) -> None:
    epoch, value, attempt = what
    if rep is None:
        return
    own = rep.conn == epoch and (rep.attempt == attempt or f.model.without == "reconnect")
    if not own and f.model.without != "no-epoch-check":
        return
    engines = tuple(
        e._replace(op=e.op._replace(done=e.op.done | 1 << rep.bit))
        if e.epoch == epoch and e.op and e.op.kind in "wu" and e.op.value == value
        else e
        for e in f.engines
    )
    named = f.model.names.ids[rep.bit]
    f.go(
        MESSAGE,
        ("{} applies write {} of engine {}", named, value, epoch),
        mg=rest,
        es=engines,
        ms=f.with_reps(rep._replace(cache=value, dirty=True)),
    )
    left = f.spend("nospace")
    for at, engine in enumerate(f.engines):
        op = engine.op
        if (
            left >= 0
            and engine.epoch == epoch
            and op
            and op.kind == "w"
            and op.value == value
            and not message[5]
        ):
            refused = engine._replace(op=op._replace(kind="u", refuser=rep.bit))
            f.go(
                FAULT,
                ("{} has no space for write {}", named, value),
                mg=rest,
                es=engines_with(f, at, refused),
                bd=left,
            )


def _clear(f: Frame, rest: frozenset[Message], rep: Rep | None, what: tuple[int, int, int]) -> None:
    """A mark set by a later write stays."""
    epoch, value, _ = what
    if rep is None or rep.conn != epoch:
        return
    covers = rep.cache == value or f.model.without == "clear-unordered"
    after = rep._replace(dirty=rep.dirty and not covers)
    f.go(
        MESSAGE, ("{} is told to clear its mark", f.model.names.ids[rep.bit]), mg=rest, ms=f.with_reps(after)
    )


def _copy(f: Frame, rest: frozenset[Message], task: str, epoch: int, rep: Rep | None, value: int) -> None:
    """A write of a copier, maybe late: taken only by a target that is sealed at exactly its epoch (A8)."""
    if rep is None:
        return
    own = rep.epoch == epoch and rep.conn == -epoch
    if not own and f.model.without != "late-copier":
        return
    conn, opened = (rep.conn, False) if own else (rep.conn, rep.opened)
    after = rep._replace(
        cache=value,
        disk=value,
        conn=conn,
        opened=opened,
        dirty=rep.dirty and not own,
        torn=rep.torn and not own,
    )
    runs = tuple(r._replace(stage=3) if r.task == task and r.stage == 2 else r for r in f.runs)
    label = ("{} takes {} from task {}", f.model.names.ids[rep.bit], value, task)
    f.go(MESSAGE, label, mg=rest, ms=f.with_reps(after), rs=tuple(sorted(runs)))


def _member(f: Frame, engine: Engine, m: int) -> list[Rep]:
    """The engine has its replicas store the new membership before anything relies on it."""
    return [
        rep._replace(m=max(rep.m, m))
        for b in bits(engine.need)
        if (rep := f.rep(b)) and rep.conn == engine.epoch and rep.m < m
    ]


def _asked(f: Frame, node: int, epoch: int, bit: int, attempt: int) -> int:
    """The engine that an answer is for; -1 when nobody waits for it any more, or its node is cut off."""
    for at, engine in enumerate(f.engines):
        if engine.epoch == epoch and f.machines[node].heard and engine.attempts[bit] == attempt:
            return at
    return -1


def _removed(f: Frame, rest: frozenset[Message], at: int, bit: int, m: int) -> None:
    engine = f.engines[at]
    epoch = engine.epoch
    if not m:
        # Refused for one that it needs: somebody else is in charge. A joiner's attempt is only forgotten.
        kept = () if engine.need >> bit & 1 else (engine,)
        engines = (*f.engines[:at], *kept, *f.engines[at + 1 :])
        f.go(
            MESSAGE,
            ("engine {} learns that {} is not removed", epoch, f.model.names.ids[bit]),
            mg=rest,
            es=engines,
        )
        return
    left = engine._replace(
        need=engine.need & ~(1 << bit), gone=engine.gone & ~(1 << bit), asking=engine.asking & ~(1 << bit)
    )
    f.go(
        MESSAGE,
        ("engine {} learns that {} is removed", epoch, f.model.names.ids[bit]),
        mg=rest,
        es=engines_with(f, at, left),
        ms=f.with_reps(*_member(f, left, m)),
    )


def _joined(f: Frame, rest: frozenset[Message], at: int, bit: int, m: int) -> None:
    """The number m is 0 when the record refused it: somebody gave the replica up; it is needed until its removal is answered."""
    engine = f.engines[at]
    epoch = engine.epoch
    if not engine.asking >> bit & 1:
        return  # Removed meanwhile: the answer is about an attempt that is over.
    after = engine._replace(asking=engine.asking & ~(1 << bit))
    named = f.model.names.ids[bit]
    if m:
        if f.model.without == "join-on-answer":
            after = after._replace(need=after.need | 1 << bit)
        told = f.with_reps(*_member(f, after, m))
        f.go(
            MESSAGE,
            ("engine {} learns that {} is in-sync", epoch, named),
            mg=rest,
            es=engines_with(f, at, after),
            ms=told,
        )
        return
    witness = next((b for b in bits(engine.need) if b != bit), -1)
    asks = (
        frozenset()
        if engine.gone >> bit & 1
        else frozenset({("L", engine.node, epoch, bit, engine.attempts[bit], witness)})
    )
    after = after._replace(gone=after.gone | 1 << bit)
    f.go(
        MESSAGE,
        ("engine {} learns that {} is not to join", epoch, named),
        mg=rest | asks,
        es=engines_with(f, at, after),
    )


def _ask(f: Frame, rest: frozenset[Message], message: Message) -> None:
    """What an engine asks of the record. A refusal is answered, too; an unknown outcome is asked again."""
    kind, node, epoch = message[:3]
    assert isinstance(node, int)
    assert isinstance(epoch, int)
    if f.volume is None or not f.machines[node].heard:
        return
    event, bit = _event(f, message)
    answer = f.model.record.commit(f.v, f.nd, event)
    v, nd = (f.v, f.nd) if isinstance(answer, str) else answer
    after = f.model.record.volumes.values[v]
    m = int(after.m) if after else 0
    answers: frozenset[Message] = frozenset()
    if kind in ("L", "J"):
        # A joiner that the record knows no more is no loss: taken as removed.
        gone = kind == "L" and after is not None and after.replica(ReplicaId(f.model.names.ids[bit])) is None
        no = isinstance(answer, str) and not gone
        answers = frozenset({(str(kind).lower(), node, epoch, bit, message[4], 0 if no else m)})
    said = type(event).__name__
    named = f.model.names.ids[bit] if bit >= 0 else epoch
    words = "{}({}) " + ("is refused: {}" if isinstance(answer, str) else "is committed")
    f.go(MESSAGE, (words, said, named, answer), v=v, nd=nd, mg=rest | answers)
    left = f.spend("repeats")
    if left >= 0:
        f.go(
            CHANCE,
            (words + ", and will come again", said, named, answer),
            v=v,
            nd=nd,
            mg=f.messages | answers,
            bd=left,
        )


def _event(f: Frame, message: Message) -> tuple[ReplicaLost | ReplicaSynced | SessionClosed, int]:
    ids = f.model.names.ids
    match message:
        case ("L", _, int() as epoch, int() as bit, int() as attempt, int() as witness):
            told = ReplicaId(ids[witness] if witness >= 0 else "")
            return ReplicaLost(
                epoch=Epoch(epoch), replica=ReplicaId(ids[bit]), attempt=Attempt(attempt), witness=told
            ), bit
        case ("J", _, int() as epoch, int() as bit, int() as attempt):
            assert f.volume is not None
            base = Base(chain=f.volume.chain, size=f.volume.size)
            return ReplicaSynced(
                epoch=Epoch(epoch), replica=ReplicaId(ids[bit]), attempt=Attempt(attempt), base=base
            ), bit
        case ("X", _, int() as epoch):
            return SessionClosed(epoch=Epoch(epoch), clean=True, evidence="its own word"), -1
    raise AssertionError(message)
