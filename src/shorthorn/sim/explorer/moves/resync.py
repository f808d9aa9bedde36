"""The resync of a replica in a session: sealed with its attempt, mirrored to, copied, needed, then asked for."""

from shorthorn.sim.explorer.moves.opening import connected, engines_with
from shorthorn.sim.explorer.parts import Engine, Rep
from shorthorn.sim.explorer.space import ENGINE, Frame


def resync(f: Frame, at: int, engine: Engine, good: dict[int, Rep]) -> None:
    """The next step with a joiner, or the choice of one."""
    if engine.joiner < 0:
        for bit, attempt in _targets(f, engine):
            _open(f, at, engine, bit, attempt)
        return
    rep = connected(f, engine, engine.joiner)
    if rep is None:
        _break(f, at, engine, good)
        return
    queued = any(m[0] == "W" and m[1] == engine.epoch and m[2] == engine.joiner and m[5] for m in f.messages)
    if queued and f.model.without != "copy-overtakes":
        return
    _copy(f, at, engine, rep, next(iter(good.values())).cache)


def _targets(f: Frame, engine: Engine) -> list[tuple[int, int]]:
    """Who is to be resynced by the orders that the engine's agent has, with its attempt."""
    found = []
    for command in f.commands(engine.node):
        match command:
            case ("run", int() as v, int(), int() as peers):
                volume = f.model.record.volumes.values[v]
                if volume is None or volume.session is None or volume.session.epoch != engine.epoch:
                    continue
                for replica in volume.syncing:
                    bit = f.model.names.bit(replica.id)
                    if peers >> bit & 1 and not engine.need >> bit & 1:
                        found.append((bit, int(replica.attempt)))
    return found


def _open(f: Frame, at: int, engine: Engine, bit: int, attempt: int) -> None:
    rep = f.rep(bit)
    if rep is None or (rep.epoch, rep.attempt) >= (engine.epoch, attempt):
        return
    attempts = (*engine.attempts, *(0,) * (bit + 1 - len(engine.attempts)))
    attempts = (*attempts[:bit], attempt, *attempts[bit + 1 :])
    named = 0 if f.model.without == "reconnect" else attempt
    after = rep._replace(
        epoch=engine.epoch,
        attempt=named,
        conn=engine.epoch,
        disk=rep.cache,
        dirty=True,
        opened=True,
        probe="",
    )
    gone = engine.gone & ~(1 << bit)
    changed = engine._replace(joiner=bit, attempts=attempts, gone=gone)
    messages = f.messages
    if f.model.without == "early-synced":
        messages |= {("J", engine.node, engine.epoch, bit, attempt)}
    f.go(
        ENGINE + engine.node,
        ("engine {} opens {} as syncing, attempt {}", engine.epoch, f.model.names.ids[bit], attempt),
        es=engines_with(f, at, changed),
        ms=f.with_reps(after),
        mg=messages,
    )


def _break(f: Frame, at: int, engine: Engine, good: dict[int, Rep]) -> None:
    """The attempt broke; the next one has a greater number."""
    bit = engine.joiner
    message = ("L", engine.node, engine.epoch, bit, engine.attempts[bit], next(iter(good)))
    f.go(
        ENGINE + engine.node,
        ("engine {}: attempt {} of {} broke", engine.epoch, engine.attempts[bit], f.model.names.ids[bit]),
        es=engines_with(f, at, engine._replace(joiner=-1)),
        mg=f.messages | {message},
    )


def _copy(f: Frame, at: int, engine: Engine, rep: Rep, value: int) -> None:
    """One block: one copy under the range lock. Needed from now on, synced, then asked for (A7)."""
    bit = engine.joiner
    disk = rep.disk if f.model.without == "join-no-flush" else value
    after = rep._replace(cache=value, disk=disk, dirty=True, torn=False)
    need = engine.need | 1 << bit
    if f.model.without == "join-on-answer":
        need = engine.need
    changed = engine._replace(joiner=-1, need=need, asking=engine.asking | 1 << bit)
    if f.model.without == "early-synced":
        changed = changed._replace(asking=engine.asking)
        messages = f.messages
    else:
        messages = f.messages | {("J", engine.node, engine.epoch, bit, engine.attempts[bit])}
    f.go(
        ENGINE + engine.node,
        ("engine {} copies {} to {} and asks ReplicaSynced", engine.epoch, value, f.model.names.ids[bit]),
        es=engines_with(f, at, changed),
        ms=f.with_reps(after),
        mg=messages,
    )
