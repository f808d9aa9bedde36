"""How long a disk has been away: from when this server knew, never from a guess, and never after a restart of an agent."""

from shorthorn.control.away import Away
from shorthorn.control.sightings import Sightings
from shorthorn.core.model.ids import DiskUid, NodeName
from shorthorn.core.model.node import Disk, Node
from shorthorn.core.model.sighting import DiskSighting, NodeSighting, Reach
from shorthorn.links.messages import Beat
from tests.control.clocks import HandClock

N1 = NodeName("n1")
D1, D2 = DiskUid("d1"), DiskUid("d2")
NODES = {N1: Node(name=N1, machine_id="m", boot_id="b1", disks=(Disk(uid=D1, size=1), Disk(uid=D2, size=1)))}


class Bench:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.sightings = Sightings(self.clock, 5)
        self.away = Away(self.clock)
        self.sequence = 0

    def see(self, **addresses: str) -> None:
        self.sequence += 1
        disks = tuple(DiskSighting(uid=DiskUid(uid), size=1, address=a) for uid, a in addresses.items())
        sighting = NodeSighting(node=N1, machine_id="m", boot_id="b1", sequence=self.sequence, disks=disks)
        assert self.sightings.take(sighting)

    def after(self, seconds: float, *, beat: bool = False) -> dict[DiskUid, float]:
        self.clock.now_s += seconds
        if beat:
            assert self.sightings.beat(Beat(node=N1, boot_id="b1", sequence=self.sequence))
        away = self.away.note(NODES, self.sightings.seen(NODES), self.sightings.silent_s)
        return {disk: s for (_, disk), s in away.items()}


def test_a_node_that_was_never_heard_is_away_since_the_servers_start() -> None:
    bench = Bench()
    assert bench.after(4) == {}, "not known yet"
    assert bench.after(3) == {D1: 7, D2: 7}


def test_a_node_that_falls_silent_is_away_since_it_was_heard_last() -> None:
    bench = Bench()
    bench.clock.now_s += 100
    bench.see(d1="a:1", d2="a:2")
    assert bench.after(4) == {}
    assert bench.after(2) == {D1: 6, D2: 6}
    assert bench.after(10) == {D1: 16, D2: 16}
    bench.see(d1="a:1", d2="a:2")
    assert bench.after(0) == {}
    assert bench.after(5) == {D1: 5, D2: 5}, "it counts anew"


def test_a_disk_whose_program_does_not_run_is_away_although_its_node_is_heard() -> None:
    bench = Bench()
    bench.see(d1="a:1", d2="")
    assert bench.after(0) == {D2: 0}
    assert bench.after(4, beat=True) == {D2: 4}
    assert bench.after(6) == {D1: 6, D2: 10}, "the node falls silent: d2 has been away longer"
    bench.see(d1="a:1")
    assert bench.after(0) == {D2: 10}, "a disk that the node does not speak of is not heard either"


def test_a_restarted_agent_makes_nothing_old() -> None:
    """Between its registration and its first sighting a node is unknown, not unreachable since the server's start."""
    bench = Bench()
    bench.clock.now_s += 1000
    bench.see(d1="a:1", d2="a:2")
    assert bench.after(1) == {}
    bench.sightings.forget(N1)
    assert bench.sightings.reach(N1) is Reach.UNKNOWN
    assert bench.after(1) == {}
    assert bench.sightings.next_change_s([N1]) == 4
    assert bench.after(4) == {D1: 5, D2: 5}, "it registered and then said nothing"


def test_a_registration_alone_ends_no_absence() -> None:
    bench = Bench()
    assert bench.after(60) == {D1: 60, D2: 60}
    bench.sightings.forget(N1)
    assert bench.after(1) == {}
    assert bench.after(5) == {D1: 66, D2: 66}
    bench.see(d1="a:1", d2="")
    assert bench.after(1) == {D2: 67}
