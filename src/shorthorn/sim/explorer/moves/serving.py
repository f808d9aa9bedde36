"""An engine that serves: reads, writes, flushes, removals, resync, close (docs/protocol.md, section 1).

One request at a time, which is what the range lock makes of requests to one block. Rules that can be taken out:
ack-before-removal, no-grants, ack-ungranted, read-in-flight, clear-unordered, own-clear, nospace-fails, no-epoch-check,
reconnect, join-on-answer, join-no-flush, copy-overtakes, early-synced, close-unflushed.
"""

from shorthorn.sim.explorer import monitor
from shorthorn.sim.explorer.moves.opening import connected, ends, engines_with
from shorthorn.sim.explorer.moves.resync import resync
from shorthorn.sim.explorer.parts import Engine, Op, Rep, bits
from shorthorn.sim.explorer.record import Violation
from shorthorn.sim.explorer.space import CLIENT, ENGINE, FAULT, Frame


def serve(f: Frame, at: int) -> None:
    """All that may be done next."""
    engine = f.engines[at]
    if any((rep := f.rep(b)) and rep.epoch > engine.epoch for b in bits(engine.need)):
        ends(f, at, "a replica is sealed higher")
    good = {b: rep for b in bits(engine.need & ~engine.gone) if (rep := connected(f, engine, b))}
    if not engine.closing and not engine.quiet:
        _read(f, engine, good)
        if engine.op is None:
            _send(f, at, engine)
    _lose(f, at, engine, good)
    if engine.op is None:
        whole = not engine.gone & engine.need and len(good) == engine.need.bit_count()
        if engine.closing:
            _close(f, at, engine, good, whole=whole)
        elif good:
            _leave(f, at, engine, good)
            resync(f, at, engine, good)
    elif engine.op.kind == "w":
        _acknowledge(f, at, engine, engine.op)
    elif engine.op.kind == "u":
        _take_back(f, at, engine, engine.op, good)
    else:
        _flush(f, at, engine, engine.op, good)
    if f.model.without == "own-clear":
        for rep in good.values():
            if rep.dirty:
                after = rep._replace(disk=rep.cache, dirty=False)
                f.go(
                    ENGINE + engine.node,
                    ("{} clears its own mark", f.model.names.ids[rep.bit]),
                    ms=f.with_reps(after),
                )


def granted(f: Frame, engine: Engine) -> bool:
    """Whether each needed replica may have answered within the last T: none has been sealed for so long, none is deleted."""
    return all(b in f.reps and f.reps[b][1].over <= engine.epoch for b in bits(engine.need))


def check(f: Frame, engine: Engine, what: str) -> None:
    """Nothing is completed for a client once the record has ended the session (S2, S7)."""
    if f.session != engine.epoch:
        raise Violation(f"S2/S7: engine {engine.epoch} {what}, the record's session is {f.session or 'none'}")


def _read(f: Frame, engine: Engine, good: dict[int, Rep]) -> None:
    """Whole in one step, which is the strictest; from any, since which one is local is a matter of the world."""
    if engine.op and engine.op.kind in "wu" and f.model.without != "read-in-flight":
        return
    if not granted(f, engine) and f.model.without != "no-grants":
        return
    for value in sorted({rep.cache for rep in good.values()}):
        check(f, engine, f"completes a read of {value}")
        after = f.model.judged(f.mo, monitor.was_read, value)
        if after != f.mo:
            f.go(CLIENT, ("engine {} reads {}", engine.epoch, value), mo=after)


def _send(f: Frame, at: int, engine: Engine) -> None:
    left = f.spend("writes")
    if left >= 0:
        value = 1 + f.model.world.budgets["writes"] - f.model.budgets.values[f.bd][1]
        sent = set()
        for bit, (_, rep) in f.reps.items():
            mirrored = bit == engine.joiner and not engine.need >> bit & 1
            if (engine.need >> bit & 1 or mirrored) and (
                rep.conn == engine.epoch or (f.model.without == "no-epoch-check" and engine.need >> bit & 1)
            ):
                sent.add(("W", engine.epoch, bit, value, rep.attempt, mirrored))
        op = Op("w", value, late=f.session != engine.epoch)
        f.go(
            CLIENT,
            ("engine {} sends write {}", engine.epoch, value),
            es=engines_with(f, at, engine._replace(op=op)),
            mg=f.messages | sent,
            mo=f.model.judged(f.mo, monitor.sent, value),
            bd=left,
        )
    left = f.spend("flushes")
    if left >= 0:
        f.go(
            CLIENT,
            ("engine {} flushes", engine.epoch),
            es=engines_with(f, at, engine._replace(op=Op("f", 0))),
            bd=left,
        )


def _lose(f: Frame, at: int, engine: Engine, good: dict[int, Rep]) -> None:
    """Ask to remove who failed, one at a time, with a witness; without one the engine ends."""
    if engine.gone & engine.need:
        return
    done = engine.op.done if engine.op else 0
    for bit in bits(engine.need):
        slow = bit in good
        if slow and (engine.op is None or done >> bit & 1):
            continue
        left = f.spend("lost") if slow else f.bd
        if left < 0:
            continue
        witness = next((b for b in good if b != bit), -1)
        if witness < 0:
            if not slow:
                ends(f, at, "nobody is left to witness a loss")
            continue
        message = ("L", engine.node, engine.epoch, bit, engine.attempts[bit], witness)
        f.go(
            FAULT if slow else ENGINE + engine.node,
            ("engine {} asks ReplicaLost({})", engine.epoch, f.model.names.ids[bit]),
            es=engines_with(f, at, engine._replace(gone=engine.gone | 1 << bit)),
            mg=f.messages | {message},
            bd=left,
        )


def _acknowledge(f: Frame, at: int, engine: Engine, op: Op) -> None:
    need = engine.need & ~engine.gone if f.model.without == "ack-before-removal" else engine.need
    if not need or need & ~(op.done & ~engine.gone):
        return
    if not granted(f, engine) and f.model.without not in ("ack-ungranted", "no-grants", "no-epoch-check"):
        return
    if op.late:
        raise Violation(f"S7: engine {engine.epoch} acknowledges a write that began after its session ended")
    check(f, engine, f"acknowledges write {op.value}")
    f.go(
        ENGINE + engine.node,
        ("engine {} acknowledges write {}", engine.epoch, op.value),
        es=engines_with(f, at, engine._replace(op=None)),
        mo=f.model.judged(f.mo, monitor.acknowledged, op.value),
    )


def _take_back(f: Frame, at: int, engine: Engine, op: Op, good: dict[int, Rep]) -> None:
    """A write that somebody had no space for: the others get the refusing one's content back (A12)."""
    if f.model.without == "nospace-fails":
        reps: list[Rep] = []
    elif engine.need & ~op.done & ~(1 << op.refuser) or len(good) < engine.need.bit_count():
        return
    else:
        old = good[op.refuser].cache
        reps = [rep._replace(cache=old, dirty=True) for rep in good.values()]
    f.go(
        ENGINE + engine.node,
        ("engine {} takes write {} back and fails it", engine.epoch, op.value),
        es=engines_with(f, at, engine._replace(op=None)),
        ms=f.with_reps(*reps),
        mo=f.model.judged(f.mo, monitor.failed, op.value),
    )


def _flush(f: Frame, at: int, engine: Engine, op: Op, good: dict[int, Rep]) -> None:
    for bit, rep in good.items():
        if not op.done >> bit & 1:
            f.go(
                ENGINE + engine.node,
                ("{} flushes for engine {}", f.model.names.ids[bit], engine.epoch),
                es=engines_with(f, at, engine._replace(op=op._replace(done=op.done | 1 << bit))),
                ms=f.with_reps(rep._replace(disk=rep.cache)),
            )
    need = engine.need & ~engine.gone if f.model.without == "ack-before-removal" else engine.need
    if not need or need & ~(op.done & ~engine.gone) or not granted(f, engine):
        return
    check(f, engine, "acknowledges a flush")
    clears = {("K", engine.epoch, b, rep.cache, rep.attempt) for b, rep in good.items()}
    f.go(
        ENGINE + engine.node,
        ("engine {} acknowledges the flush", engine.epoch),
        es=engines_with(f, at, engine._replace(op=None)),
        mo=f.model.judged(f.mo, _flushed, 0),
        mg=f.messages | clears,
    )


def _flushed(histories: monitor.Histories, _n: object) -> monitor.Histories:
    return monitor.flushed(histories)


def _leave(f: Frame, at: int, engine: Engine, good: dict[int, Rep]) -> None:
    """On order, once the others have answered a flush; they are the witnesses."""
    if engine.gone & engine.need or engine.asking:
        return
    for bit in bits(engine.leave & engine.need):
        others = [rep for b, rep in good.items() if b != bit]
        if not others or len(others) + 1 < engine.need.bit_count():
            continue
        message = ("L", engine.node, engine.epoch, bit, engine.attempts[bit], others[0].bit)
        f.go(
            ENGINE + engine.node,
            ("engine {} flushes without {} and asks its removal", engine.epoch, f.model.names.ids[bit]),
            es=engines_with(f, at, engine._replace(gone=engine.gone | 1 << bit)),
            ms=f.with_reps(*(rep._replace(disk=rep.cache) for rep in others)),
            mg=f.messages | {message},
        )


def _close(f: Frame, at: int, engine: Engine, good: dict[int, Rep], *, whole: bool) -> None:
    """Flush, clear all marks, tell the replicas; what it has asked is answered first. After a bound it is killed (B13)."""
    if not whole:
        if not engine.gone & engine.need:
            ends(f, at, "its close takes too long")
        return
    if engine.asking:
        return
    if f.model.without == "close-unflushed":
        reps = [rep._replace(dirty=False, opened=False, conn=0) for rep in good.values()]
    else:
        reps = [rep._replace(disk=rep.cache, dirty=False, opened=False, conn=0) for rep in good.values()]
    f.go(
        ENGINE + engine.node,
        ("engine {} closes clean", engine.epoch),
        es=engines_with(f, at, None),
        ms=f.with_reps(*reps),
        mg=f.messages | {("X", engine.node, engine.epoch)},
    )
