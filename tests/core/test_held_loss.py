"""A volume that somebody still holds on to is not settled over a loss that only an open would tell of (A2, S3).

Found by the explorer's rules for who may lose what: the holder's node was declared dead, both copies lost power, the volume
was settled, the death was taken back, and the same hold went on without a word.
"""

from shorthorn.core.lifecycle import nodes
from shorthorn.core.lifecycle.events import DeclaredDead
from shorthorn.core.model.ids import Attempt, ClusterUid, NodeName, ReplicaId
from shorthorn.core.model.sighting import DiskSighting, NodeSighting, Reach, ReplicaSighting
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import Seen, Settings, World
from shorthorn.core.planning.plan import Plan
from shorthorn.core.planning.planner import plan
from tests.core import examples as ex


def planned(volume: Volume, *, torn: bool) -> Plan:
    """With the consumer's node declared dead, and both copies there."""
    records = {name: ex.node(name) for name in (ex.N1, ex.N2, ex.N3)}
    records[ex.N3] = ex.accepted(nodes.apply_node(records[ex.N3], DeclaredDead(who="ann", why="burnt")))
    seen = {
        ex.N1: _seen(volume, ex.N1, ex.R1, torn=torn),
        ex.N2: _seen(volume, ex.N2, ex.R2, torn=torn),
        ex.N3: Seen(reach=Reach.UNREACHABLE),
    }
    settings = Settings(cluster=ClusterUid("c"))
    world = World(settings=settings, volumes={volume.uid: volume}, nodes=records, seen=seen)
    return plan(world, lambda kind: f"{kind}9")


def _seen(volume: Volume, node: NodeName, replica: ReplicaId, *, torn: bool) -> Seen:
    folder = ReplicaSighting(
        replica=replica,
        volume=volume.uid,
        attempt=Attempt(1),
        empty=False,
        sealed=(volume.epoch, Attempt(1)),
        m=volume.m,
        torn=torn,
    )
    disk = DiskSighting(
        uid=ex.disk_of(node), size=ex.GIB, free=ex.GIB, address="a:1", complete=True, replicas=(folder,)
    )
    sighting = NodeSighting(node=node, machine_id=f"m-{node}", boot_id=f"b-{node}", disks=(disk,))
    return Seen(reach=Reach.REACHABLE, sighting=sighting)


def test_torn_copies_of_a_hold_that_goes_on_are_not_settled() -> None:
    held = planned(ex.died(ex.serving(ex.formed(2), node=ex.N3)), torn=True)
    assert held.intents == ()
    assert any("still holds it from before" in wait.reason for wait in held.waits)


def test_they_are_once_it_has_let_go_and_where_nothing_is_lost() -> None:
    died = ex.died(ex.serving(ex.formed(2), node=ex.N3))
    assert planned(ex.after(died, ex.detach()), torn=True).intents != ()
    assert planned(died, torn=False).intents != ()
