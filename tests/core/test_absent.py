"""Why a replica can't be counted on: what its node says goes into the reason."""

import msgspec

from shorthorn.core.lifecycle.state import why_absent
from tests.core.cluster import Cluster


def test_a_folder_that_cannot_be_made_says_why() -> None:
    """Only what its program said of this replica: another one's trouble is no reason."""
    cluster = Cluster(2)
    cluster.create("v", replicas=2)
    cluster.carry_out(cluster.plan())
    cluster.report_all()
    replica = cluster.volume("v").replicas[0]
    assert why_absent(cluster.world(), replica) == f"its folder is not seen on disk {replica.disk} of n1"
    _says(cluster, f"create {replica.id}: no space is left")
    assert str(why_absent(cluster.world(), replica)).endswith(f"of n1: create {replica.id}: no space is left")
    _says(cluster, "create other: no space is left")
    assert str(why_absent(cluster.world(), replica)).endswith("of n1")


def _says(cluster: Cluster, trouble: str) -> None:
    node = cluster.volume("v").replicas[0].node
    seen = cluster.seen[node]
    assert seen.sighting is not None
    disks = tuple(msgspec.structs.replace(disk, trouble=trouble) for disk in seen.sighting.disks)
    sighting = msgspec.structs.replace(seen.sighting, disks=disks)
    cluster.seen[node] = msgspec.structs.replace(seen, sighting=sighting)
