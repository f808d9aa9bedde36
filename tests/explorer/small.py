"""Worlds that are searched in seconds, and the search with one thing taken out."""

from shorthorn.ports.clock import SystemClock
from shorthorn.sim.explorer.search import Limits, Result, search
from shorthorn.sim.explorer.worlds import World

CRASH = World("crash", "", 2, 2, {"attaches": 1, "writes": 1, "flushes": 1, "crashes": 2})
LOST = World("lost", "", 2, 2, {"attaches": 1, "writes": 2, "lost": 1, "crashes": 1})
POWER = World("power", "", 2, 2, {"attaches": 1, "writes": 1, "flushes": 1, "powers": 1, "crashes": 1})
DARK = World("dark", "", 2, 2, {"attaches": 1, "writes": 1, "powers": 2})
OFF = World("off", "", 2, 2, {"attaches": 2, "writes": 1, "powers": 1})
BOOT = World("boot", "", 2, 2, {"attaches": 1, "writes": 1, "powers": 1, "late": 1}, victims=(0,))
SITES = World("sites", "", 2, 2, {"attaches": 2}, sites=(0, 1), holders=("pod", "other"))
SPACE = World("space", "", 2, 2, {"attaches": 1, "writes": 1, "nospace": 1, "crashes": 1})
FENCE = World("fence", "", 3, 2, {"attaches": 1, "writes": 1, "cuts": 1}, victims=(0,))
EVICT = World("evict", "", 3, 2, {"evicts": 1, "cancels": 1}, victims=(0,))
USED = World("used", "", 3, 2, {"attaches": 1, "writes": 1, "evicts": 1}, victims=(0,))
AWAY = World("away", "", 3, 2, {"powers": 1}, victims=(0,), patience=True)
LATE = World("late", "", 2, 2, {"attaches": 1, "writes": 1, "late": 1, "crashes": 1}, victims=(0,))


def hunt(world: World, without: str = "", *, live: bool = False) -> Result:
    """A search that stops at 200,000 states, far beyond what these worlds have."""
    return search(
        world, SystemClock(), without=without, limits=Limits(states=200_000, seconds=250), live=live
    )


def stale(world: World) -> World:
    """For rules of the record: what engines ask may come after their session is over."""
    return world._replace(stale_asks=True)


def careless(world: World) -> World:
    """With a server that decides anything once."""
    return world._replace(budgets={**world.budgets, "careless": 1})
