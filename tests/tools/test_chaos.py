"""The faults of a run: the same for the same seed, of every kind, and within their bounds."""

import itertools

from tools.chaos.faults import (
    ALONE,
    DECK,
    GAP_S,
    HALF_WAY_S,
    LATE_S,
    NEEDS_CUTS,
    SIGNALS,
    STOP_S,
    Cast,
    Episode,
    Fault,
    Kind,
    Role,
    episodes,
)
from tools.chaos.run import Bounds, Outcome, summary

CAST = Cast(("n1", "n2", "n3"), ("a", "b"), ("b",))


def some(seed: int, count: int, cast: Cast = CAST) -> list[Episode]:
    return list(itertools.islice(episodes(seed, cast), count))


def faults(cast: Cast = CAST) -> list[Fault]:
    return [fault for episode in some(1, 1500, cast) for fault in episode.faults]


def test_a_seed_says_everything() -> None:
    assert some(3, 50) == some(3, 50)
    assert some(3, 50) != some(4, 50)


def test_every_program_is_hit_in_every_way() -> None:
    programs = (Role.REPLICA, Role.ENGINE, Role.AGENT, Role.SERVER, Role.NODE)
    hit = {(f.kind, f.role) for f in faults() if f.kind in SIGNALS}
    assert hit == set(itertools.product(SIGNALS, programs))
    assert {f.where for f in faults() if f.role is Role.ENGINE} == {"a", "b"}
    assert {f.where for f in faults() if f.role is Role.REPLICA} == set(CAST.nodes)


def test_one_deck_holds_every_kind() -> None:
    for seed in range(20):
        begun = {episode.faults[0].kind for episode in some(seed, len(DECK))}
        assert begun >= set(Kind) - set(SIGNALS)


def test_links_are_cut_between_nodes_to_the_server_and_from_all() -> None:
    cut = [f for f in faults() if f.kind is Kind.CUT]
    assert {f.other for f in cut} == {*CAST.nodes, "server", "all"}
    one_way = {(f.where, f.other) for f in faults() if f.kind is Kind.ONE_WAY}
    assert one_way == set(itertools.permutations((*CAST.nodes, "server"), 2))
    assert all(f.where != f.other for f in cut)


def test_only_movable_volumes_move() -> None:
    moved = [f for f in faults() if f.kind in (Kind.MOVE, Kind.FENCE)]
    assert {f.where for f in moved} == {"b"}
    assert {f.other for f in moved} == set(CAST.nodes)
    late = [f for f in moved if f.kind is Kind.FENCE and f.for_s >= LATE_S[0]]
    assert len(late) > 20


def test_what_can_tear_every_copy_happens_alone_and_is_healed() -> None:
    for episode in some(1, 1500):
        if any(f.kind in ALONE for f in episode.faults):
            assert len(episode.faults) == 1
            assert episode.heal


def test_a_machine_without_namespaces_has_no_cuts() -> None:
    assert not {f.kind for f in faults(CAST._replace(without=NEEDS_CUTS))} & NEEDS_CUTS
    assert len({f.kind for f in faults(CAST._replace(without=NEEDS_CUTS))}) == len(Kind) - len(NEEDS_CUTS)


def test_evictions_are_cancelled_half_way() -> None:
    cancelled = [f.for_s for f in faults() if f.kind is Kind.EVICT_CANCELLED]
    assert cancelled
    assert all(HALF_WAY_S[0] <= s <= HALF_WAY_S[1] for s in cancelled)


def test_stops_are_short_and_long() -> None:
    stops = [f.for_s for f in faults() if f.kind is Kind.STOP]
    assert all(STOP_S[0] <= s <= STOP_S[1] for s in stops)
    assert sum(s < 1 for s in stops) > 100
    assert sum(s > 5 for s in stops) > 50
    assert all(f.for_s == 0 for f in faults() if f.kind is Kind.RESTART)
    assert all(0 <= f.after_s <= GAP_S for f in faults())


def test_the_cluster_may_heal_now_and_then() -> None:
    assert sum(episode.heal for episode in some(1, 100)) >= 25


def test_a_fault_is_told_in_words() -> None:
    said = {str(f).partition(" for ")[0] for f in faults()}
    assert {
        "kill -9 server",
        "restart engine a",
        "cut link n1 server",
        "full disk n2",
        "move volume b n3",
    } <= said


def outcome(**fields: object) -> Outcome:
    figures = {
        "events": {},
        "fio": {"rounds": 1, "written": 2, "verified": 3},
        "clients": {"writes": 50_000},
        "evictions": {},
    }
    whole = Outcome(1.0, {"kill -9 engine": 60, "cut link": 40}, {}, 30, 50_000, 5, 2.0, figures)
    return whole._replace(**fields)  # type: ignore[arg-type]


def test_a_run_has_to_reach_every_bound() -> None:
    assert outcome().reached(Bounds())
    assert not outcome(sessions=29).reached(Bounds())
    assert not outcome(writes=49_999).reached(Bounds())
    assert not outcome(faults={"cut link": 99}).reached(Bounds())


def test_the_summary_says_what_was_wrong() -> None:
    assert "100 faults: 40 cut link, 60 kill -9 engine" in summary(outcome())
    assert "all copies are equal" in summary(outcome())
    assert "WRONG: a read" in summary(outcome(wrong="a read"))
    assert "all copies are equal" not in summary(outcome(wrong="a read"))
