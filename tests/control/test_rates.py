"""How long a resync will still take: told only when it is known, and forgotten with the attempt."""

import pytest

from shorthorn.control.sightings import Sightings
from shorthorn.core.model.ids import Attempt, Epoch, NodeName, ReplicaId, VolumeUid
from shorthorn.core.model.sighting import EngineSighting, EngineState, NodeSighting, ResyncSighting
from tests.control.clocks import HandClock

N1, VOLUME = NodeName("n1"), VolumeUid("v")


class Bench:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.sightings = Sightings(self.clock, 5)
        self.sequence = 0

    def see(self, done: int, *, attempt: int = 1, waits_for: str = "", after_s: float = 0) -> float | None:
        self.clock.now_s += after_s
        self.sequence += 1
        resync = ResyncSighting(
            replica=ReplicaId("r"), attempt=Attempt(attempt), done=done, total=1000, waits_for=waits_for
        )
        engine = EngineSighting(volume=VOLUME, epoch=Epoch(1), state=EngineState.SERVING, resyncs=(resync,))
        assert self.sightings.take(
            NodeSighting(node=N1, machine_id="m", boot_id="b", sequence=self.sequence, engines=(engine,))
        )
        return self.sightings.left_s(N1, VOLUME, resync)


def test_two_looks_make_a_rate() -> None:
    bench = Bench()
    assert bench.see(100) is None
    assert bench.see(110, after_s=0.5) is None, "too close together to say anything"
    assert bench.see(200, after_s=0.5) == pytest.approx(8)
    assert bench.see(400, after_s=1) == pytest.approx(600 / 150)


def test_old_progress_is_forgotten() -> None:
    bench = Bench()
    bench.see(0)
    for second in range(1, 41):
        bench.see(second, after_s=1)
    assert bench.see(140, after_s=10) == pytest.approx(860 / (120 / 30), rel=0.05)


def test_time_goes_on_between_two_looks_and_never_below_nothing() -> None:
    bench = Bench()
    bench.see(0)
    assert bench.see(500, after_s=5) == pytest.approx(5)
    resync = ResyncSighting(replica=ReplicaId("r"), attempt=Attempt(1), done=500, total=1000)
    bench.clock.now_s += 2
    assert bench.sightings.left_s(N1, VOLUME, resync) == pytest.approx(3)
    bench.clock.now_s += 20
    assert bench.sightings.left_s(N1, VOLUME, resync) == 0
    bench.clock.now_s += 20
    assert bench.sightings.left_s(N1, VOLUME, resync) is None, "nobody can tell any more"


def test_nobody_can_tell_while_it_waits_or_stands_still_or_has_begun_anew() -> None:
    bench = Bench()
    bench.see(0)
    assert bench.see(500, after_s=5) is not None
    assert bench.see(500, waits_for="space on n2", after_s=1) is None
    assert bench.see(0, attempt=2, after_s=1) is None
    assert bench.see(0, attempt=2, after_s=5) is None
    assert bench.see(10, attempt=2, after_s=5) is not None
    assert bench.see(5, attempt=2, after_s=5) is None, "the same attempt of another engine"
