"""Schedules: a pure function of the seed, readable when written down, and any part of one is one."""

import itertools
import os
import subprocess
import sys

import msgspec
import pytest

from shorthorn.sim.cluster.truth import Truth
from shorthorn.sim.faults.act import FAULTS
from shorthorn.sim.faults.draw import SHORT, draw
from shorthorn.sim.faults.schedule import Schedule, Shape, Step, decode
from shorthorn.sim.judges.registers import Violation
from shorthorn.sim.runs.counts import Counts
from shorthorn.sim.runs.run import Run
from shorthorn.sim.runs.shrink import shrink

SEEDS = range(1, 6)

TOLD = """
import sys
from shorthorn.sim.faults.draw import SHORT, draw
from shorthorn.sim.runs.run import Run
outcome = Run(draw(11, 1, plan=SHORT)).execute()
print(outcome.digest, outcome.counts.total().answered, outcome.failure)
"""


def test_a_schedule_follows_from_its_seed() -> None:
    drawn = [draw(seed, 2) for seed in SEEDS]
    assert drawn == [draw(seed, 2) for seed in SEEDS]
    assert all(a.steps != b.steps for a, b in itertools.combinations(drawn, 2))


def test_an_hour_has_enough_of_everything() -> None:
    for seed in SEEDS:
        schedule = draw(seed, 1)
        asked = sum(step.do in ("attach", "detach") for step in schedule.steps)
        faults = [step for step in schedule.steps if step.do in FAULTS]
        assert asked >= 120
        assert len(faults) >= 12
        assert len({step.do for step in faults}) >= 5
        assert all(
            step.at_s + step.for_s <= schedule.calm_s[0] + 1 for step in faults if step.do != "clock-rate"
        )


def test_every_kind_of_fault_is_drawn_within_some_hours() -> None:
    drawn = {step.do for seed in range(1, 16) for step in draw(seed, 1).steps}
    assert drawn >= FAULTS


def test_it_is_written_and_read() -> None:
    schedule = draw(3, 1)
    assert decode(schedule.encode()) == schedule


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"\xff", b'{"shape":{"seed":1},"steps":[],"calm_s":[],"format":9}']
)
def test_what_is_no_schedule_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(ValueError, match="schedule") as caught:
        decode(text)
    assert "\n" not in str(caught.value)


def test_an_hour_with_too_little_is_not_counted_and_says_so() -> None:
    counts = Counts()
    hour = counts.at(10.0)
    hour.requests.update({"attach": 40, "detach": 20})
    hour.faults.update({"cut": 3, "power": 2, "fill": 1})
    hour.ios.update({"read": 3599})
    assert counts.counted == 0
    assert any("3599 block I/Os of 3600" in line for line in counts.lines())
    hour.ios["write"] += 1
    assert counts.counted == 1
    hour.faults.clear()
    hour.faults["cut"] = 9
    assert counts.counted == 0


def apart(seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    ran = subprocess.run(
        [sys.executable, "-c", TOLD],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_seed_repeats_under_any_hash_seed() -> None:
    first = apart("0")
    assert first == apart("4711")
    assert first.rstrip().endswith("None")


def one_fault(step: Step, store: str = "memory") -> Schedule:
    """A volume in use, one fault, and calm."""
    of: dict[str, tuple[str, ...]] = {"cut": ("n1", "n2"), "cut-one-way": ("n1", "n2"), "reset": ("n1", "n2")}
    of |= {
        "slow-link": ("n1", "n2"),
        "clock-rate": ("n1", "9000"),
        "clock-jump": ("n1", "-86400"),
        "rot": ("v1", "n1"),
    }
    of |= {
        "isolate-engine": ("v1",),
        "kill-engine": ("v1",),
        "pause-engine": ("v1",),
        "lose-commits": ("store",),
    }
    of |= dict.fromkeys(("kill-control", "pause-control", "lead"), ("c1",))
    steps = [
        Step(at_s=5.0, do="create", of=("v1", "2", "granted")),
        Step(at_s=10.0, do="attach", of=("v1", "n1", "h", "rw")),
        Step(at_s=11.0, do="io", of=("v1", "burst"), for_s=90.0),
        *(Step(at_s=20.0 + 0.01 * i, do="io", of=("v1", "rush"), for_s=2.0) for i in range(2)),
        msgspec.structs.replace(step, at_s=20.015, of=of.get(step.do, ("n1",)), for_s=12.0),
        Step(at_s=110.0, do="detach", of=("v1", "h")),
    ]
    shape = Shape(seed=5, nodes=3, controls=1 if store == "sqlite" else 2, store=store)
    return Schedule(shape=shape, steps=tuple(steps), calm_s=(60.0,), period_s=700.0, work_s=60.0)


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_each_fault_alone_is_survived(kind: str) -> None:
    outcome = Run(one_fault(Step(at_s=0, do=kind))).execute()
    assert outcome.failure is None
    assert outcome.counts.total().answered >= 50
    expected = 0 if kind == "rot" and not outcome.counts.total().faults else 1
    assert outcome.counts.total().faults[kind] == expected


def test_a_cluster_over_a_real_database() -> None:
    outcome = Run(one_fault(Step(at_s=0, do="kill-control"), store="sqlite")).execute()
    assert outcome.failure is None
    assert outcome.counts.total().faults["kill-control"] == 1
    assert outcome.counts.total().sessions["opened"] >= 1


def test_a_failing_schedule_shrinks_to_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a loss of power is called wrong, it alone is left of many steps."""

    def wrong(_truth: Truth, node: str) -> None:
        raise Violation(f"S3: planted at {node}")

    monkeypatch.setattr(Truth, "power_lost", wrong)
    schedule = draw(1, 1, plan=SHORT)
    failure = Run(schedule).execute().failure
    assert failure is not None
    assert failure.rule == "S3"
    assert failure.story
    small, again, runs = shrink(schedule, failure, limit_s=60)
    assert again.rule == failure.rule
    assert runs > 3
    assert [step.do for step in small.steps] == ["power"]
    assert decode(small.encode()) == small


def test_a_short_period_is_a_whole_run() -> None:
    outcome = Run(draw(2, 1, plan=SHORT)).execute()
    assert outcome.failure is None
    assert outcome.virtual_s >= SHORT.period_s
