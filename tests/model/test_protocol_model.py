"""The protocol's model still finds what docs/protocol.md, section 5, says, in two worlds and six mutants.

The whole table takes half an hour: `python tests/model/protocol_model.py --all`.
"""

from typing import Any

import pytest

from tests.model import protocol_model

STATES_MAX = 200_000
SECONDS_MAX = 100.0


def search(world: str, mutant: str | None) -> tuple[int, int, str | None, list[str] | None]:
    """States, transitions, what went wrong, and the shortest way there."""
    answer: Any = protocol_model.search(world, mutant, STATES_MAX, SECONDS_MAX)
    states, transitions, _, why, path = answer
    return states, transitions, why, path


@pytest.mark.parametrize(
    ("world", "states", "transitions"), [("fence", 58_705, 109_178), ("small", 135_654, 375_788)]
)
def test_the_rules_hold_in_every_state_of_a_small_world(world: str, states: int, transitions: int) -> None:
    assert search(world, None) == (states, transitions, None, None)


@pytest.mark.parametrize(
    ("mutant", "world", "steps", "broken"),
    [
        ("ack-before-removal", "fence", 11, "S7"),
        ("no-epoch-check", "fence", 9, "S7"),
        ("no-grants", "fence", 8, "S2/S7"),
        ("last-guard", "fence", 6, "S5"),
        ("fence-no-seal", "fence", 6, "S2/S7"),
        ("any-source", "small", 18, "S3/S4"),
    ],
)
def test_a_rule_taken_away_is_noticed(mutant: str, world: str, steps: int, broken: str) -> None:
    _, _, why, path = search(world, mutant)
    assert why is not None
    assert why.startswith(f"{broken}:")
    assert path is not None
    assert len(path) == steps


def test_the_redundant_guard_is_not_taken_for_a_safety_rule() -> None:
    # docs/protocol.md, B12: the phase guard of ReplicaLost serves liveness only.
    _, _, why, _ = search("fence", "lost-in-fencing")
    assert why is None
