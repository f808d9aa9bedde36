"""What is undone for too long is noticed, and what only takes its time is not."""

from types import MappingProxyType

import msgspec
import pytest

from shorthorn.core.model.ids import ClusterUid, DiskUid, Epoch, NodeName, ReplicaId
from shorthorn.core.model.node import Disk, Node
from shorthorn.core.model.volume import SessionPhase, Tombstone, Volume
from shorthorn.core.model.world import Settings, World
from shorthorn.sim.judges.liveness import Rule, Watch, bounds, undone
from shorthorn.sim.judges.registers import Violation
from tests.sim.cluster.test_records import UID, attached, created, formed, session


def world(volume: Volume, **node: object) -> World:
    names = ("n1", "n2")
    nodes = {
        NodeName(name): Node(
            name=NodeName(name),
            machine_id=name,
            boot_id="b",
            disks=(Disk(uid=DiskUid(f"d-{name}"), size=1 << 30),),
        )
        for name in names
    }
    nodes[NodeName("n1")] = msgspec.structs.replace(nodes[NodeName("n1")], **node)
    return World(
        settings=Settings(cluster=ClusterUid("c-1")),
        volumes=MappingProxyType({UID: volume}),
        nodes=MappingProxyType(nodes),
        seen=MappingProxyType({}),
    )


def rules(of: World, *, served: bool = True) -> list[Rule]:
    return [item.rule for item in undone(of, lambda _: served)]


def open_session(volume: Volume) -> Volume:
    return msgspec.structs.replace(
        volume,
        epoch=Epoch(1),
        opened_epoch=Epoch(1),
        attachments=attached("h"),
        session=session(SessionPhase.OPEN),
    )


def test_nothing_is_left_to_do_at_rest() -> None:
    assert rules(world(formed())) == []
    assert rules(world(open_session(formed()))) == []


def test_each_rule_sees_what_it_is_about() -> None:
    closing = msgspec.structs.replace(formed(), epoch=Epoch(1), session=session(SessionPhase.CLOSING))
    held = msgspec.structs.replace(formed(), attachments=attached("h"))
    poor = msgspec.structs.replace(formed(), spec=msgspec.structs.replace(formed().spec, replicas=2))
    unsettled = msgspec.structs.replace(formed(), settled=False)
    stone = Tombstone(replica=ReplicaId("r-9"), node=NodeName("n2"), disk=DiskUid("d-n2"), version=2)
    assert rules(world(closing)) == [Rule.DETACHED]
    assert rules(world(held)) == [Rule.ATTACHED]
    assert rules(world(open_session(formed())), served=False) == [Rule.ATTACHED]
    assert rules(world(poor)) == [Rule.REDUNDANT]
    assert rules(world(created())) == [Rule.REDUNDANT]
    assert rules(world(unsettled)) == [Rule.REDUNDANT]
    assert rules(world(msgspec.structs.replace(formed(), tombstones=(stone,)))) == [Rule.NO_TASK]
    assert rules(world(msgspec.structs.replace(formed(), deleting=True))) == [Rule.DELETED]
    assert Rule.EVICTED in rules(world(formed(), evicting=True))


def test_what_can_go_nowhere_is_no_delay() -> None:
    three = msgspec.structs.replace(formed(), spec=msgspec.structs.replace(formed().spec, replicas=3))
    two = msgspec.structs.replace(
        three,
        replicas=(
            *three.replicas,
            msgspec.structs.replace(three.replicas[0], id=ReplicaId("r-2"), node=NodeName("n2")),
        ),
    )
    assert rules(world(two)) == []


def test_a_watch_raises_only_after_the_bound_and_only_without_a_break() -> None:
    watch = Watch(bounds(Settings(cluster=ClusterUid("c-1"))), lambda _: "waits for Godot")
    left = list(undone(world(msgspec.structs.replace(formed(), attachments=attached("h"))), lambda _: True))
    bound = watch.bounds[Rule.ATTACHED]
    watch.look(0, left)
    watch.look(bound, left)
    watch.look(bound + 1, [])
    watch.look(bound + 2, left)
    watch.look(2 * bound, left)
    with pytest.raises(Violation, match=r"L2: v1: it is held .* waits for Godot"):
        watch.look(2 * bound + 3, left)
