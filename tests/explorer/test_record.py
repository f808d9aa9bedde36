"""Without a rule of the record, or with a planner that is wrong, some small world shows what goes wrong."""

from collections.abc import Callable

import msgspec
import pytest

from shorthorn.core.lifecycle.events import ReplicaLeaving
from shorthorn.core.lifecycle.requests import AttachRequested
from shorthorn.core.model.ids import Holder, ReplicaId
from shorthorn.core.model.volume import Task, Volume
from shorthorn.core.model.world import World as View
from shorthorn.core.planning import leaving, looking, placement, planner, repair, sessions, tasks
from shorthorn.core.planning.plan import Intent, Plan
from shorthorn.sim.explorer.worlds import World
from tests.explorer import small
from tests.mutants.switches import out

LOSES_TWO = small.LOST._replace(budgets={**small.LOST.budgets, "lost": 2})

CAUGHT = [
    ("last-guard", LOSES_TWO, "S5"),
    ("offline-no-epoch", small.LOST, "A7"),
    ("no-attempt", LOSES_TWO, "A7"),
    ("resync-same-attempt", LOSES_TWO, "A7"),
    ("two-nodes", small.SITES, "S1"),
    ("attach-for-maintenance", small.careless(small.EVICT), "S1"),
    ("fence-early", small.careless(small.FENCE), "S2/S7"),
    ("fence-no-seal", small.FENCE, "S7"),
    ("fence-same-epoch", small.FENCE, "S8"),
]


@pytest.mark.parametrize(("switch", "world", "broken"), CAUGHT, ids=[switch for switch, _, _ in CAUGHT])
def test_a_guard_taken_out_of_the_law_is_noticed(switch: str, world: World, broken: str) -> None:
    with out(switch):
        result = small.hunt(small.stale(world))
    assert result.broken.startswith(f"{broken}:"), result


def no_space(*args: object) -> Plan:
    plan = PLACES(*args)  # type: ignore[arg-type]  # passed on as it came
    return msgspec.structs.replace(
        plan, intents=tuple(msgspec.structs.replace(intent, space=None) for intent in plan.intents)
    )


PLACES = placement.plan_places


def test_a_planner_that_reserves_no_place_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "plan_places", no_space)
    assert small.hunt(small.EVICT).broken.startswith("S9:")


def test_an_eviction_that_removes_before_the_replacement_is_in_sync_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def may_go(view: View, volume: Volume, _want: int) -> dict[str, str]:
        return {r.id: why for r in volume.in_sync if (why := looking.why_must_go(view, r))}

    def impatient(view: View, volume: Volume, want: int, _new: object) -> Plan:
        return leaving.plan_leaving(view, volume, want)

    monkeypatch.setattr(leaving, "_may_go", may_go)
    monkeypatch.setattr(planner, "plan_repair", impatient)
    assert small.hunt(small.EVICT).broken.startswith("S5:")


def test_an_eviction_that_attaches_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[..., Plan] = repair.plan_repair

    def attaches(view: View, volume: Volume, want: int, new_id: looking.NewId) -> Plan:
        event = AttachRequested(holder=Holder("eviction"), node=volume.replicas[0].node)
        intent = Intent(volume=volume.uid, name=volume.name, event=event, cause="to move it")  # type: ignore[arg-type]
        return Plan(intents=(intent,)) + honest(view, volume, want, new_id)

    monkeypatch.setattr(planner, "plan_repair", attaches)
    assert small.hunt(small.EVICT).broken.startswith("S1:")


def test_a_planner_that_counts_unreachable_copies_as_healthy_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looking, "overdue", lambda _view, _replica: False)
    assert small.hunt(small.AWAY, live=True).broken.startswith("L3:")


def test_a_planner_that_starts_no_session_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "plan_start", lambda _view, _volume: Plan())
    assert small.hunt(small.CRASH, live=True).broken.startswith("L2:")


def test_a_planner_that_fences_nobody_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "plan_fence", lambda _view, _volume, _session: Plan())
    assert small.hunt(small.FENCE, live=True).broken.startswith("L1:")


def test_a_planner_that_forgets_a_task_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tasks.follow

    def forgetful(view: View, volume: Volume, task: Task, void: str, again: Callable[[], Plan]) -> Plan:
        return Plan() if task.committed else honest(view, volume, task, void, again)

    monkeypatch.setattr(tasks, "follow", forgetful)
    assert small.hunt(small.EVICT, live=True).broken.startswith("L5:")


def test_a_mark_that_stays_when_its_reason_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = leaving._marks

    def only_more(volume: Volume, going: dict[ReplicaId, str]) -> list[Intent]:
        return [i for i in honest(volume, going) if isinstance(i.event, ReplicaLeaving) and i.event.why]

    monkeypatch.setattr(leaving, "_marks", only_more)
    world = small.EVICT._replace(budgets={"evicts": 1, "deaths": 1}, victims=(0, 1))
    assert small.hunt(world, live=True).broken.startswith("S5:")


def test_a_planner_that_flaps_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def flaps(_view: View, volume: Volume, _want: int) -> Plan:
        replica = volume.replicas[0]
        event = ReplicaLeaving(replica=replica.id, why="" if replica.leaving else "a whim")
        return Plan(intents=(Intent(volume=volume.uid, name=volume.name, event=event, cause="a whim"),))

    monkeypatch.setattr(planner, "plan_leaving", flaps)
    result = small.hunt(small.AWAY, live=True)
    assert result.broken.startswith("L8:")
    assert "keep replica r1" in " ".join(result.story)
