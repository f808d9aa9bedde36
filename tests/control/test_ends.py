"""An engine that always dies must not fill the journal: the next session waits longer each time (L8)."""

import msgspec

from shorthorn.control.ends import FORGET_S, LASTING_S, Ends
from shorthorn.core.lifecycle.events import SessionStarted
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import Ended
from shorthorn.core.planning.planner import plan
from tests.control.clocks import HandClock
from tests.core.cluster import Cluster
from tests.core.examples import after, detached_clean, died, formed, opened, serving, start


def test_each_end_of_a_held_session_soon_after_another_counts_until_it_is_long_ago() -> None:
    clock, volume = HandClock(), serving(formed())
    ends = Ends(clock)
    for count in (1, 2, 3):
        ends.note({volume.uid: volume})
        volume = died(volume)
        ends.note({volume.uid: volume})
        assert ends.ended()[volume.uid] == Ended(count=count, ago_s=0)
        volume = _again(volume)
        clock.now_s += 3
    clock.now_s += FORGET_S
    assert ends.ended() == {}


def test_a_session_that_served_for_a_while_begins_a_new_row() -> None:
    """Its end has a cause of its own, and a client waits (L2)."""
    clock, volume = HandClock(), serving(formed())
    ends = Ends(clock)
    for served_s, count in ((0, 1), (1, 2), (LASTING_S - 1, 3), (LASTING_S, 1), (0, 2)):
        ends.note({volume.uid: volume})
        clock.now_s += served_s
        ends.note({volume.uid: volume})
        volume = died(volume)
        ends.note({volume.uid: volume})
        assert ends.ended()[volume.uid].count == count, served_s
        volume = _again(volume)


def test_a_session_that_takes_long_to_open_has_not_served() -> None:
    clock, volume = HandClock(), serving(formed())
    ends = Ends(clock)
    ends.note({volume.uid: volume})
    volume = died(volume)
    ends.note({volume.uid: volume})
    volume = _start(volume)
    ends.note({volume.uid: volume})
    clock.now_s += LASTING_S
    ends.note({volume.uid: volume})
    ends.note({volume.uid: msgspec.structs.replace(volume, session=None)})
    assert ends.ended()[volume.uid].count == 2


def test_a_session_that_never_opened_counts_too() -> None:
    volume = serving(formed())
    ends = Ends(HandClock())
    ends.note({volume.uid: volume})
    volume = died(volume)
    ends.note({volume.uid: volume})
    volume = _start(volume)
    ends.note({volume.uid: volume})
    volume = msgspec.structs.replace(volume, session=None)
    ends.note({volume.uid: volume})
    assert ends.ended()[volume.uid].count == 2


def test_the_first_new_session_is_at_once_the_next_ones_wait() -> None:
    cluster = Cluster(3)
    cluster.create("v1")
    cluster.rest()
    volume = cluster.volume("v1")
    cluster.attach("v1", "n1")
    world = cluster.world()
    for count, ago_s, starts in ((1, 0, True), (2, 0, False), (2, 1, True), (5, 4, False), (5, 8, True)):
        seen = msgspec.structs.replace(world, ended={volume.uid: Ended(count=count, ago_s=ago_s)})
        made = plan(seen, lambda kind: f"{kind}-new")
        assert any(isinstance(i.event, SessionStarted) for i in made.intents) == starts, (count, ago_s)
        assert bool(made.waits and made.look_again_s) != starts


def _start(volume: Volume) -> Volume:
    return after(volume, start(volume))


def _again(volume: Volume) -> Volume:
    volume = after(volume, start(volume))
    return after(volume, opened(volume))


def test_the_row_is_over_when_nobody_holds_the_volume() -> None:
    volume = serving(formed())
    ends = Ends(HandClock())
    ends.note({volume.uid: volume})
    ends.note({volume.uid: died(volume)})
    assert ends.ended()
    volume = serving(formed())
    ends.note({volume.uid: volume})
    ends.note({volume.uid: detached_clean(volume)})
    assert not ends.ended()
