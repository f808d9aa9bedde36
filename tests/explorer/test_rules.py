"""Without a rule of the engines, replicas and agents some small world shows what goes wrong; with all of them none does."""

import pytest

from shorthorn.ports.clock import SystemClock
from shorthorn.sim.explorer.rules import RULES
from shorthorn.sim.explorer.search import Limits, search
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
    ("copy-early", small.LOST, "A10"),
    ("any-source", small.POWER, "S3/S4"),
    ("seal-no-sync", small.POWER, "A10"),
    ("close-unflushed", small.OFF, "A10"),
    ("nospace-fails", small.SPACE, "S3/S4"),
    ("silent-restart", small.DARK, "S3/S4"),
    ("settle-any-source", small.OFF, "S3/S4"),
    ("no-grants", small.FENCE, "S2/S7"),
    ("ack-ungranted", small.FENCE, "S2/S7"),
    ("fence-no-wait", small.FENCE, "S2/S7"),
    ("start-again", small.LATE, "S2/S7"),
    ("start-any-boot", small.BOOT, "S2/S7"),
    ("late-copier", small.USED._replace(budgets={**small.USED.budgets, "crashes": 1}), "S3/S4"),
]


@pytest.mark.parametrize(("rule", "world", "broken"), CAUGHT, ids=[rule for rule, _, _ in CAUGHT])
def test_a_rule_taken_away_is_noticed(rule: str, world: World, broken: str) -> None:
    assert rule in RULES
    result = small.hunt(world, rule)
    assert result.broken.startswith(f"{broken}:"), result
    assert any("pod attaches at n1\n       volume: attaching" in line for line in result.story)


@pytest.mark.parametrize("world", [small.CRASH, small.EVICT, small.AWAY], ids=lambda world: world.name)
def test_with_all_rules_nothing_is_found_and_all_comes_to_rest(world: World) -> None:
    result = small.hunt(world, live=True)
    assert result.complete, (result.broken, *result.story)


def test_a_search_that_stops_says_what_it_has_not_looked_at() -> None:
    result = search(small.CRASH, SystemClock(), limits=Limits(states=500))
    assert result.waiting > 0
    assert not result.broken
    assert not result.complete


def test_every_rule_is_caught_by_some_small_world() -> None:
    assert sorted({rule for rule, _, _ in CAUGHT} | {"join-no-flush"}) == sorted(RULES)
