"""Plans may be cut after any intent, made of an old view, and carried out late: the cluster still comes to rest.

Every change of a record is checked against the invariants on the way (tests/core/cluster.py). At the end faults stop:
then what is held is attached, what is not is detached, nothing flaps and nothing is left over.
"""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from shorthorn.core.invariants.world import check_world
from shorthorn.core.lifecycle.events import (
    Cordoned,
    DeathWithdrawn,
    DeclaredDead,
    DeleteRequested,
    EvictCancelled,
    EvictRequested,
    SpecChanged,
    Uncordoned,
)
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.lifecycle.state import State, state_of, wanted
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.volume import Spec, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.eviction import eviction_report
from shorthorn.core.planning.plan import Plan
from shorthorn.core.planning.planner import plan
from tests.core.cluster import GIB, Cluster

EXAMPLES = max(150, settings().max_examples)
"""More in the profile `long`."""

NODES = ("n1", "n2", "n3", "n4")
VOLUMES = ("v1", "v2")
nodes = st.sampled_from(NODES)
volumes = st.sampled_from(VOLUMES)


class Run:
    """A cluster with messages that wait: orders under way to agents, and a plan made of an older view."""

    def __init__(self, draw: Callable[..., object]) -> None:
        self.draw = draw
        self.cluster = Cluster(3)
        self.cluster.add_node("n4", disk_bytes=15 * GIB)  # room for one volume only
        for name in VOLUMES:
            self.cluster.create(name, 2 if name == "v2" else 3)
        self.received: dict[str, NodeOrders] = {}
        self.older: tuple[Plan, World] | None = None
        self.attaches = 0
        if draw(st.integers(0, 3)):
            self.cluster.rest()

    def step(self) -> None:
        step = self.draw(st.sampled_from(STEPS))
        step(self)  # type: ignore[operator]

    def node(self) -> str:
        return str(self.draw(nodes))

    def volume(self) -> str | None:
        name = str(self.draw(volumes))
        return name if any(v.name == name for v in self.cluster.volumes.values()) else None

    # Programs

    def orders_arrive(self) -> None:
        name = self.node()
        self.received[name] = self.cluster.orders(name)

    def agent_acts(self) -> None:
        name = self.node()
        if name in self.received:
            self.cluster.act(name, self.received[name])

    def all_act(self) -> None:
        for name in NODES:
            self.received[name] = self.cluster.orders(name)
            self.cluster.act(name, self.received[name])

    def sighting_arrives(self) -> None:
        self.cluster.report(self.node())

    def all_report(self) -> None:
        self.cluster.report_all()

    def control_plans(self) -> None:
        world = self.cluster.world()
        made = self.cluster.plan()
        self.cluster.carry_out(made, limit=self.draw(st.sampled_from([None, None, 0, 1, 2])), world=world)  # type: ignore[arg-type]

    def control_plans_and_pauses(self) -> None:
        self.older = (self.cluster.plan(), self.cluster.world())

    def control_goes_on(self) -> None:
        if self.older is not None:
            self.cluster.carry_out(self.older[0], world=self.older[1])

    def server_restarts(self) -> None:
        self.cluster.forget_seen()
        self.received.clear()

    # Faults

    def power_fails(self) -> None:
        name = self.node()
        if sum(m.there for m in self.cluster.machines.values()) > 2:
            self.cluster.down(name)

    def network_is_cut(self) -> None:
        name = self.node()
        if sum(m.there for m in self.cluster.machines.values()) > 2:
            self.cluster.cut(name)

    def network_returns(self) -> None:
        name = self.node()
        if self.cluster.machines[NodeName(name)].cut:
            self.received.pop(name, None)
            self.cluster.join(name)

    def time_passes(self) -> None:
        self.cluster.passes(self.draw(st.sampled_from([5.0, 400.0, 700.0])))  # type: ignore[arg-type]

    def resyncs_pause(self) -> None:
        self.cluster.resyncs_take = not self.cluster.resyncs_take

    def power_returns(self) -> None:
        name = self.node()
        if not self.cluster.machines[NodeName(name)].up:
            self.received.pop(name, None)
            self.cluster.up(name)

    def engines_die(self) -> None:
        self.cluster.kill_engines(self.node())

    # People

    def attach(self) -> None:
        if name := self.volume():
            self.attaches += not self.cluster.attach(name, self.node())

    def detach(self) -> None:
        if name := self.volume():
            self.cluster.detach(name)

    def evict(self) -> None:
        self.cluster.node_event(self.node(), EvictRequested())

    def cancel(self) -> None:
        self.cluster.node_event(self.node(), EvictCancelled())

    def cordon(self) -> None:
        self.cluster.node_event(self.node(), Cordoned())

    def uncordon(self) -> None:
        self.cluster.node_event(self.node(), Uncordoned())

    def declare_dead(self) -> None:
        """Also one that is not: a person may be wrong."""
        if not any(n.dead for n in self.cluster.nodes.values()):
            self.cluster.node_event(self.node(), DeclaredDead(who="operator", why="burnt"))

    def withdraw_death(self) -> None:
        self.cluster.node_event(self.node(), DeathWithdrawn(who="operator"))

    def scale(self) -> None:
        if name := self.volume():
            self.cluster.apply(name, SpecChanged(spec=Spec(replicas=self.draw(st.integers(1, 3)))))  # type: ignore[arg-type]

    def delete(self) -> None:
        if self.draw(st.integers(0, 5)) == 0 and (name := self.volume()):
            self.cluster.apply(name, DeleteRequested())


# Work is more frequent than trouble, or nothing would ever get far.
STEPS = [
    *[Run.all_act, Run.all_report, Run.control_plans] * 6,
    *[Run.orders_arrive, Run.agent_acts, Run.sighting_arrives] * 2,
    *[Run.control_plans_and_pauses, Run.control_goes_on] * 2,
    *[Run.attach, Run.detach, Run.evict, Run.cancel] * 2,
    *[Run.power_fails, Run.power_returns, Run.power_returns, Run.engines_die, Run.server_restarts],
    *[Run.network_is_cut, Run.network_returns, Run.network_returns, Run.time_passes, Run.resyncs_pause],
    *[Run.cordon, Run.uncordon, Run.uncordon, Run.scale, Run.delete, Run.declare_dead, Run.withdraw_death],
]


def quiet_down(run: Run) -> Cluster:
    """Faults stop: everybody is up and heard. Who was declared dead stays away for good, or is not dead at all."""
    cluster = run.cluster
    cluster.resyncs_take = False
    for machine in cluster.machines.values():
        if cluster.nodes[machine.name].dead and run.draw(st.booleans()):
            cluster.down(machine.name)
            continue
        if not machine.up:
            cluster.up(machine.name)
        if machine.cut:
            cluster.join(machine.name)
    cluster.report_all()
    cluster.rest(rounds=200)
    cluster.passes(cluster.settings.replace_after_s)
    cluster.rest(rounds=200)
    return cluster


def check_volume_at_rest(cluster: Cluster, volume: Volume, dead: set[str]) -> None:
    state = state_of(volume)
    gone = all(r.node in dead for r in volume.in_sync)
    assert state is not State.DELETING or all(t.node in dead for t in volume.tombstones), "L6, L7"
    if state is State.DELETING or (volume.m and gone):
        assert cluster.explain(volume.name).reasons, "only the dead can help, and that is said"
        return
    if volume.attachments and volume.m:
        at_rest = State.ATTACHING if volume.held_at in dead else State.ATTACHED
        assert state is at_rest, "L2"
    elif volume.m:
        assert state is State.DETACHED, "L1"
    if volume.m:
        assert volume.session or volume.settled
        assert volume.tasks == (), "L5"
        assert all(t.node in dead for t in volume.tombstones), "L6, L7"
        assert not [r for r in volume.replicas if r.leaving], "L5"
        living = [r for r in volume.in_sync if r.node not in dead]
        enough = len(living) >= wanted(cluster.world(), volume)
        assert not enough or len(volume.in_sync) == len(living), "L7: the dead go when enough are whole"
    in_records = {r.id for r in volume.replicas if r.node not in dead}
    assert folders_of(cluster, volume, dead) == in_records, "L5, L6"


def folders_of(cluster: Cluster, volume: Volume, dead: set[str]) -> set[str]:
    return {
        f
        for m in cluster.machines.values()
        if m.name not in dead
        for f, s in m.folders.items()
        if s.volume == volume.uid
    }


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_any_run_comes_to_the_right_rest(data: st.DataObject) -> None:
    run = Run(data.draw)
    for _ in range(data.draw(st.integers(10, 120))):
        run.step()
    cluster = quiet_down(run)
    dead = {str(n.name) for n in cluster.nodes.values() if n.dead}
    for volume in cluster.volumes.values():
        check_volume_at_rest(cluster, volume, dead)
    assert check_world(cluster.world()) == []
    for name in NODES:
        report = eviction_report(cluster.world(), NodeName(name))
        assert report.state != "moving", "L4"
        assert report.state != "blocked" or report.lines
    before = list(cluster.journal)
    cluster.rest()
    assert cluster.journal == before, "L8"
    world, count = cluster.world(), cluster.new_id("x")
    assert plan(world, lambda kind: f"{kind}{count}") == plan(world, lambda kind: f"{kind}{count}")


@settings(max_examples=EXAMPLES // 2)
@given(st.data())
def test_detached_stays_detached_whatever_maintenance_does(data: st.DataObject) -> None:
    """S10: no consumer asks, so no session ever starts."""
    run = Run(data.draw)
    run.cluster.rest()
    quiet = [s for s in STEPS if s is not Run.attach]
    for _ in range(data.draw(st.integers(10, 60))):
        data.draw(st.sampled_from(quiet))(run)
    quiet_down(run)
    assert run.cluster.sessions_started() == 0


def test_planning_cannot_name_what_attaches() -> None:
    """No intent is a consumer's request, by the type of what planning may propose."""
    from shorthorn.core.planning.plan import PlannedEvent  # noqa: PLC0415

    kinds = PlannedEvent.__args__
    assert AttachRequested not in kinds
    assert DetachRequested not in kinds
