"""An engine from its start to its first request: seal, make equal, have the record open it, tell the replicas.

Rules that can be taken out: seal-no-sync (agents), no-equalise, any-source, serve-uncommitted, silent-restart,
drop-whole (found, not broken: the decided reading of S3).
"""

from shorthorn.core.lifecycle.events import SessionOpened
from shorthorn.core.model.ids import Epoch, ReplicaId
from shorthorn.sim.explorer import monitor
from shorthorn.sim.explorer.moves.agents import behind, sealed
from shorthorn.sim.explorer.parts import ASKED, SERVING, Engine, Rep, bits
from shorthorn.sim.explorer.space import ENGINE, Frame, Label


def engines_with(f: Frame, at: int, engine: Engine | None) -> tuple[Engine, ...]:
    """The engines with this one changed, or gone."""
    there = () if engine is None else (engine,)
    return (*f.engines[:at], *there, *f.engines[at + 1 :])


def ends(f: Frame, at: int, why: str) -> None:
    """By itself, unclean."""
    engine = f.engines[at]
    label: Label = ("engine {} ends: {}", engine.epoch, why)
    f.go(ENGINE + engine.node, label, es=engines_with(f, at, None))


def connected(f: Frame, engine: Engine, bit: int) -> Rep | None:
    """The replica at the other end of the engine's connection, if that is whole."""
    rep = f.rep(bit)
    if rep is None:
        return None
    if rep.conn == engine.epoch and rep.attempt == engine.attempts[bit]:
        return rep
    return rep if f.model.without == "reconnect" and rep.conn == engine.epoch else None


def opening(f: Frame, at: int) -> None:
    """What an engine does before it is open."""
    engine = f.engines[at]
    document = f.model.record.volumes.values[engine.volume]
    assert document is not None
    missing = bits(engine.need & ~engine.sealed)
    there = {b: rep for b in missing if (rep := f.rep(b)) and not behind(document, rep, f.model.names.ids[b])}
    if engine.closing:
        ends(f, at, "it is to close and never opened")
        return
    if any((rep := f.rep(b)) and rep.epoch > engine.epoch for b in bits(engine.need)):
        ends(f, at, "a replica is sealed higher")
        return
    if any(connected(f, engine, b) is None for b in bits(engine.sealed)):
        ends(f, at, "a replica that it sealed is lost")
        return
    if engine.equal == 0:
        for bit, rep in there.items():
            after = sealed(f, rep, engine.epoch, engine.attempts[bit], engine.epoch)
            f.go(
                ENGINE + engine.node,
                ("engine {} seals {}", engine.epoch, f.model.names.ids[bit]),
                es=engines_with(f, at, engine._replace(sealed=engine.sealed | 1 << bit)),
                ms=f.with_reps(after),
            )
    # Going on without one that could answer is a choice that only its slowness excuses; once made, it stands.
    left = f.bd if not there or engine.equal else f.spend("lost")
    if engine.sealed and left >= 0 and _equalise(f, at, engine, left):
        _ask(f, at, engine, left)


def _equalise(f: Frame, at: int, engine: Engine, left: int) -> bool:
    """Whether nothing is left to make equal. The source is not torn if any isn't."""
    reps = {b: rep for b in bits(engine.sealed) if (rep := f.rep(b))}
    dirty = any(r.dirty for r in reps.values()) and f.model.without != "no-equalise"
    if not dirty or engine.equal == engine.sealed:
        return True
    names = f.model.names.ids
    if engine.source < 0:
        whole = [b for b, r in reps.items() if not r.torn] or list(reps)
        for bit in list(reps) if f.model.without == "any-source" else whole:
            f.go(
                ENGINE + engine.node,
                ("engine {} chooses {} as source", engine.epoch, names[bit]),
                es=engines_with(f, at, engine._replace(source=bit, equal=1 << bit)),
                bd=left,
            )
        return False
    value = reps[engine.source].cache
    for bit in bits(engine.sealed & ~engine.equal):
        f.go(
            ENGINE + engine.node,
            ("engine {} makes {} equal: {}", engine.epoch, names[bit], value),
            es=engines_with(f, at, engine._replace(equal=engine.equal | 1 << bit)),
            ms=f.with_reps(reps[bit]._replace(cache=value, disk=value, dirty=True, opened=True)),
        )
    return False


def _ask(f: Frame, at: int, engine: Engine, left: int) -> None:
    """SessionOpened, asked and committed. Its answer comes later, or never."""
    reps = [rep for b in bits(engine.sealed) if (rep := f.rep(b))]
    broken = all(r.torn for r in reps) and any(r.dirty for r in reps)
    told = broken and f.model.without != "silent-restart"
    names = f.model.names.ids
    event = SessionOpened(
        epoch=Epoch(engine.epoch),
        members=tuple(sorted(ReplicaId(names[r.bit]) for r in reps)),
        broken=told,
        endpoint=f"e{engine.epoch}",
    )
    answer = f.model.record.commit(f.v, f.nd, event)
    if isinstance(answer, str) or answer == (f.v, f.nd):
        if f.model.without == "serve-uncommitted":
            _serve(f, at, engine._replace(need=engine.sealed), f.bd)
        return
    if not f.machines[engine.node].heard:
        return
    opened = f.model.record.volumes.values[answer[0]]
    assert opened is not None
    assert opened.session is not None
    after = engine._replace(
        phase=ASKED, volume=answer[0], need=engine.sealed, equal=0, source=-1, quiet=opened.session.broken
    )
    f.go(
        ENGINE + engine.node,
        ("SessionOpened({}) on {}" + (", broken" if broken else ""), engine.epoch, event.members),
        v=answer[0],
        nd=answer[1],
        es=engines_with(f, at, after),
        mo=f.model.judged(f.mo, opened_broken if told else _opened, 0),
        bd=left,
    )


def _opened(histories: monitor.Histories, _n: object) -> monitor.Histories:
    return monitor.opened(histories, broken=False)


def opened_broken(histories: monitor.Histories, _n: object) -> monitor.Histories:
    """What clients may see when unflushed writes may be gone."""
    return monitor.opened(histories, broken=True)


def answered(f: Frame, at: int) -> None:
    """The engine learns that it is open and tells its members, which ends torn. Only now it serves."""
    engine = f.engines[at]
    if any(connected(f, engine, b) is None for b in bits(engine.sealed)):
        ends(f, at, "a replica that it sealed is lost")
        return
    _serve(f, at, engine, f.bd)


def _serve(f: Frame, at: int, engine: Engine, left: int) -> None:
    document = f.model.record.volumes.values[engine.volume]
    assert document is not None
    told = [
        rep._replace(torn=False, opened=True, m=max(rep.m, document.m))
        for b in bits(engine.sealed)
        if (rep := f.rep(b))
    ]
    f.go(
        ENGINE + engine.node,
        ("engine {} tells its replicas and serves", engine.epoch),
        es=engines_with(f, at, engine._replace(phase=SERVING, sealed=0, equal=0, source=-1)),
        ms=f.with_reps(*told),
        bd=left,
    )
