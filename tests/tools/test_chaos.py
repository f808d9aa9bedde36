"""The faults of a run: the same for the same seed, of every kind, and within their bounds."""

import itertools

from tools.chaos.faults import GAP_S, STOP_S, Kind, Role, episodes

NODES, VOLUMES = ("n1", "n2", "n3"), ("a", "b")


def test_a_seed_says_everything() -> None:
    def some(seed: int) -> list[object]:
        return list(itertools.islice(episodes(seed, NODES, VOLUMES), 50))

    assert some(3) == some(3)
    assert some(3) != some(4)


def test_everything_is_hit_in_every_way() -> None:
    faults = [f for e in itertools.islice(episodes(1, NODES, VOLUMES), 1000) for f in e.faults]
    assert {(f.kind, f.role) for f in faults} == set(itertools.product(Kind, Role))
    assert {f.where for f in faults if f.role is Role.ENGINE} == set(VOLUMES)
    assert {f.where for f in faults if f.role is Role.REPLICA} == set(NODES)


def test_stops_are_short_and_long() -> None:
    faults = [f for e in itertools.islice(episodes(1, NODES, VOLUMES), 1000) for f in e.faults]
    stops = [f.for_s for f in faults if f.kind is Kind.STOP]
    assert all(STOP_S[0] <= s <= STOP_S[1] for s in stops)
    assert sum(s < 1 for s in stops) > 100
    assert sum(s > 5 for s in stops) > 100
    assert all(f.for_s == 0 for f in faults if f.kind is not Kind.STOP)
    assert all(0 <= f.after_s <= GAP_S for f in faults)


def test_the_cluster_may_heal_now_and_then() -> None:
    assert sum(e.heal for e in itertools.islice(episodes(1, NODES, VOLUMES), 100)) == 25


def test_a_fault_is_told_in_words() -> None:
    said = {str(f) for e in itertools.islice(episodes(1, NODES, VOLUMES), 300) for f in e.faults}
    assert {"kill -9 server", "restart engine a", "kill -9 node n1"} <= said
