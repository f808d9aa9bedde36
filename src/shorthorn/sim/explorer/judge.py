"""What must hold in every state beside the law's own invariants: the record against the truth (S1, S2, S5, S7, S10).

What clients saw is judged where they see it (`monitor`), each commit where it is made (`record`).
"""

from shorthorn.sim.explorer.parts import SERVING
from shorthorn.sim.explorer.record import Violation
from shorthorn.sim.explorer.seeing import name
from shorthorn.sim.explorer.space import Frame


def judge(f: Frame) -> None:
    """Raises: Violation."""
    volume = f.volume
    if volume is None or volume.deleting or volume.m == 0:
        return
    names = f.model.names
    members = [names.bit(r.id) for r in volume.in_sync]
    if not any(bit in f.reps for bit in members):
        raise Violation("S5: the folders of all in-sync replicas are gone")
    for engine in f.engines:
        if engine.phase != SERVING or engine.epoch != f.session:
            continue
        lacking = [names.ids[b] for b in members if not engine.need >> b & 1]
        if lacking:
            raise Violation(
                f"A7: engine {engine.epoch} does not need {lacking[0]}, which the record has as in-sync"
            )
    if volume.session is None and volume.settled and not volume.tasks:
        contents = sorted({f.reps[b][1].cache for b in members if b in f.reps})
        if len(contents) > 1:
            raise Violation(f"A10: detached and settled, but its in-sync replicas hold {contents}")


def serving_twice(f: Frame) -> None:
    """Two engines of one epoch, or two that serve by the record at once. Raises: Violation."""
    epochs = [engine.epoch for engine in f.engines]
    if len(set(epochs)) < len(epochs):
        raise Violation(f"B15: two engines of epoch {max(epochs)} run")
    for engine in f.engines:
        session = f.volume.session if f.volume else None
        if session and engine.epoch == session.epoch and name(engine.node) != session.node:
            raise Violation(
                f"S2: engine {engine.epoch} runs on {name(engine.node)}, its session is at {session.node}"
            )
