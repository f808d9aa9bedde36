"""Worlds of the explorer in which a mutant of planning, control or law shows; small, so that it shows soon."""

from typing import Final

from shorthorn.sim.explorer.worlds import WORLDS, World

OWN: Final = (
    World("late-end", "an old engine's end is heard late", 3, 2, {"attaches": 2, "crashes": 1, "late": 1}),
    World("evict-two", "two evictions, one of a node without a replica", 3, 2, {"evicts": 2}, patience=True),
    World(
        "away", "a node is cut off for long", 3, 2, {"attaches": 1, "cuts": 1}, patience=True, victims=(1,)
    ),
    World("creating", "a volume is made", 3, 2, {"attaches": 1}, formed=False),
    World(
        "dead",
        "the session's node is declared dead",
        3,
        2,
        {"attaches": 1, "cuts": 1, "deaths": 1},
        victims=(0,),
    ),
    World(
        "dead-unclean",
        "an engine dies unclean, then a node with its only whole copy",
        3,
        2,
        {"attaches": 1, "writes": 1, "crashes": 1, "powers": 1, "deaths": 1},
        victims=(0, 1),
    ),
    World(
        "slow-evict",
        "an old plan is carried out late, an eviction cancelled",
        3,
        2,
        {"evicts": 1, "cancels": 1, "slow": 1},
    ),
    World("two-servers", "two servers with old plans", 3, 2, {"evicts": 1, "slow": 2}),
)

BY_NAME: Final = {world.name: world for world in (*WORLDS, *OWN)}
