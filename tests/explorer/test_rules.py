"""Without a rule of the engines, replicas and agents some small world shows what goes wrong; with all of them none does."""

import pytest

from shorthorn.sim.explorer.rules import RULES
from shorthorn.sim.explorer.worlds import World
from tests.explorer import small

CAUGHT = [
    ("no-epoch-check", small.CRASH, "S3/S4"),
    ("no-equalise", small.CRASH, "S3/S4"),
    ("read-in-flight", small.CRASH, "S3/S4"),
    ("serve-uncommitted", small.CRASH, "A10"),
    ("own-clear", small.CRASH, "S3/S4"),
    ("clear-unordered", small.CRASH, "S3/S4"),
    ("settle-skips", small.CRASH, "A10"),
    ("ack-before-removal", small.LOST, "S3/S4"),
    ("early-synced", small.LOST, "A7"),
    ("join-on-answer", small.LOST, "A7"),
    ("copy-overtakes", small.LOST, "S3/S4"),
    ("reconnect", small.LOST, "S3/S4"),
    ("no-grants", small.FENCE, "S2/S7"),
]


@pytest.mark.parametrize(("rule", "world", "broken"), CAUGHT, ids=[rule for rule, _, _ in CAUGHT])
def test_a_rule_taken_away_is_noticed(rule: str, world: World, broken: str) -> None:
    assert rule in RULES
    result = small.hunt(world, rule)
    assert result.broken.startswith(f"{broken}:"), result
    assert result.story[0].endswith(
        "held by pod at n1; r1 on n1 in_sync (attempt 1); r2 on n2 in_sync (attempt 1)"
    )


@pytest.mark.parametrize("world", [small.CRASH, small.EVICT, small.AWAY], ids=lambda world: world.name)
def test_with_all_rules_nothing_is_found_and_all_comes_to_rest(world: World) -> None:
    result = small.hunt(world, live=True)
    assert result.complete, (result.broken, *result.story)


def test_a_search_that_stops_says_what_it_has_not_looked_at() -> None:
    result = small.search(small.CRASH, small.SystemClock(), limits=small.Limits(states=500))
    assert result.waiting > 0
    assert not result.broken
    assert not result.complete
