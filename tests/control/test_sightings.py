"""What is seen: old sightings are refused, silence is not absence, and a new server knows nothing yet."""

from shorthorn.control.sightings import Sightings
from shorthorn.core.model.ids import Epoch, NodeName, TaskId, VolumeUid
from shorthorn.core.model.sighting import NodeSighting, Reach, TaskSighting, TaskState
from shorthorn.links.messages import Beat
from tests.control.clocks import HandClock

N1 = NodeName("n1")
TASK = TaskSighting(task=TaskId("t1"), volume=VolumeUid("v"), epoch=Epoch(1), state=TaskState.FAILED, for_s=2)


def sighting(sequence: int = 1, boot: str = "b1") -> NodeSighting:
    return NodeSighting(node=N1, machine_id="m", boot_id=boot, sequence=sequence, tasks=(TASK,))


def test_a_node_is_unknown_until_the_time_out_has_passed_since_the_start() -> None:
    clock = HandClock()
    sightings = Sightings(clock, 5)
    assert sightings.reach(N1) is Reach.UNKNOWN
    clock.now_s += 5
    assert sightings.reach(N1) is Reach.UNREACHABLE


def test_a_node_is_reachable_while_it_beats() -> None:
    clock = HandClock()
    sightings = Sightings(clock, 5)
    assert sightings.take(sighting())
    clock.now_s += 4
    assert sightings.beat(Beat(node=N1, boot_id="b1", sequence=1))
    clock.now_s += 4
    assert sightings.reach(N1) is Reach.REACHABLE
    clock.now_s += 1
    assert sightings.reach(N1) is Reach.UNREACHABLE
    assert sightings.seen([N1])[N1].sighting is not None, "what it last said is kept, as old"


def test_an_older_sighting_and_a_beat_for_another_one_are_refused() -> None:
    sightings = Sightings(HandClock(), 5)
    assert not sightings.beat(Beat(node=N1, boot_id="b1", sequence=1))
    assert sightings.take(sighting(3))
    assert not sightings.take(sighting(2))
    assert not sightings.beat(Beat(node=N1, boot_id="b1", sequence=2))
    assert not sightings.beat(Beat(node=N1, boot_id="b0", sequence=3))
    assert sightings.take(sighting(1, boot="b2")), "another boot counts anew"


def test_the_age_of_a_task_goes_on_while_nothing_is_sent() -> None:
    clock = HandClock()
    sightings = Sightings(clock, 5)
    sightings.take(sighting())
    clock.now_s += 3
    seen = sightings.seen([N1])[N1].sighting
    assert seen is not None
    assert seen.tasks[0].for_s == 5


def test_the_next_change_of_reach_is_told() -> None:
    clock = HandClock()
    sightings = Sightings(clock, 5)
    clock.now_s += 1
    assert sightings.next_change_s([N1]) == 4
    clock.now_s += 10
    assert sightings.next_change_s([N1]) is None
    sightings.take(sighting())
    assert sightings.next_change_s([N1]) == 5
