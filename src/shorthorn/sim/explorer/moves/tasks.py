"""Work without a session, in replica programs: settling and copying (docs/protocol.md, Settle, Move without attach).

Rules that can be taken out: settle-any-source, settle-skips (differing replicas are called equal), copy-early (ready before the target has everything).
"""

from shorthorn.sim.explorer.moves.agents import sealed
from shorthorn.sim.explorer.moves.opening import opened_broken
from shorthorn.sim.explorer.parts import Rep, Run, bits
from shorthorn.sim.explorer.space import TASK, Frame

READY, FAILED = 3, 5


def work(f: Frame) -> None:
    """The next step of every task."""
    for run in f.runs:
        if run.stage < READY and f.machines[run.node].up:
            if run.stage == 0:
                _seal(f, run)
            else:
                _fill(f, run)


def _note(
    f: Frame,
    run: Run,
    after: Run,
    words: str,
    *reps: Rep,
    more: tuple[object, ...] = (),
    mo: int | None = None,
) -> None:
    runs = tuple(sorted(after if r is run else r for r in f.runs))
    messages = f.messages | {more} if more else f.messages
    f.go(
        TASK + run.node, ("task {}: {}", run.task, words), rs=runs, ms=f.with_reps(*reps), mg=messages, mo=mo
    )


def _seal(f: Frame, run: Run) -> None:
    """One after the other: seals of one party commute, and which of them come before another party's step is still free."""
    missing = bits(run.members & ~run.sealed)
    if not missing:
        _note(f, run, run._replace(stage=1), "all are sealed")
        return
    bit = missing[0]
    rep, named = f.rep(bit), f.model.names.ids[bit]
    if rep is None:
        if not run.settle:
            _note(f, run, run._replace(stage=FAILED), f"{named} can't be reached")
        return
    if rep.epoch > run.epoch or (rep.epoch == run.epoch and rep.conn != -run.epoch):
        _note(f, run, run._replace(stage=FAILED), f"{named} is sealed higher")
        return
    if rep.epoch < run.epoch:
        rep = sealed(f, rep, run.epoch, run.attempts[bit], -run.epoch)
    _note(f, run, run._replace(sealed=run.sealed | 1 << bit), f"seals {named}", rep)


def _fill(f: Frame, run: Run) -> None:
    reps = {bit: f.rep(bit) for bit in bits(run.members)}
    broken = [b for b, r in reps.items() if r is None or r.conn != -run.epoch]
    if broken:
        _note(f, run, run._replace(stage=FAILED), f"{f.model.names.ids[broken[0]]} is lost")
        return
    there = {bit: rep for bit, rep in reps.items() if rep is not None}
    if run.settle:
        _equalise(f, run, there)
    elif run.stage == 1:
        source, target = there[run.source], there[run.target]
        message = ("C", run.task, run.epoch, run.target, source.cache, run.attempts[run.target])
        stage = READY if f.model.without == "copy-early" else 2
        words = f"reads {source.cache} from {f.model.names.ids[run.source]}"
        _note(f, run, run._replace(stage=stage), words, target._replace(opened=True), more=message)


def _equalise(f: Frame, run: Run, there: dict[int, Rep]) -> None:
    """From one that isn't torn if any isn't. Marks go when all are equal; when some are left out, only once that is recorded."""
    dirty = any(rep.dirty for rep in there.values()) and f.model.without != "settle-skips"
    if dirty and run.source < 0:
        whole = [b for b, r in there.items() if not r.torn]
        for bit in list(there) if f.model.without == "settle-any-source" else (whole or list(there)):
            words = f"chooses {f.model.names.ids[bit]} as source"
            # All lost power: what was not flushed may be gone, which is no loss to anybody unless somebody still holds on.
            lossy = all(r.torn for r in there.values()) and f.volume is not None and not f.volume.attachments
            mo = f.model.judged(f.mo, opened_broken, 0) if lossy else None
            _note(f, run, run._replace(source=bit, equal=1 << bit), words, mo=mo)
        return
    for bit in bits(run.members & ~run.equal) if dirty else []:
        value = there[run.source].cache
        after = there[bit]._replace(cache=value, disk=value, dirty=True, opened=True)
        _note(
            f, run, run._replace(equal=run.equal | 1 << bit), f"makes {f.model.names.ids[bit]} equal", after
        )
        return
    done = () if run.removes else tuple(rep._replace(dirty=False, opened=False) for rep in there.values())
    _note(f, run, run._replace(stage=READY), "all are equal", *done)
