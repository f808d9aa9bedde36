"""Every engine, by its phase."""

from shorthorn.sim.explorer.moves.opening import answered, opening
from shorthorn.sim.explorer.moves.serving import serve
from shorthorn.sim.explorer.parts import ASKED, SEALING
from shorthorn.sim.explorer.space import Frame


def run(f: Frame) -> None:
    """What each may do next."""
    for at, engine in enumerate(f.engines):
        if engine.phase == SEALING:
            opening(f, at)
        elif engine.phase == ASKED:
            if f.machines[engine.node].heard:
                answered(f, at)
        else:
            serve(f, at)
