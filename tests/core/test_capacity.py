"""A volume that no disk could ever take is refused at once; one that may be placed later is a wish that waits."""

import pytest

from shorthorn.core.planning.capacity import why_no_capacity
from tests.core.cluster import Cluster
from tests.core.examples import GIB


@pytest.mark.parametrize(
    ("size", "replicas", "fits"),
    [
        (100 * GIB, 3, True),
        (101 * GIB, 3, False),
        (101 * GIB, None, False),
        (100 * GIB, 5, True),  # more nodes may join
    ],
)
def test_what_the_disks_may_commit_is_the_limit(size: int, replicas: int | None, fits: bool) -> None:
    why = why_no_capacity(Cluster(3).world(), size, replicas)
    assert bool(why) != fits
    assert fits or "n2 may commit 100 GiB more" in why


def test_what_is_promised_already_counts() -> None:
    cluster = Cluster(3)
    cluster.create("v1", size=60 * GIB)
    cluster.rest()
    assert why_no_capacity(cluster.world(), 60 * GIB, 1)
    assert not why_no_capacity(cluster.world(), 40 * GIB, 3)


def test_an_empty_cluster_refuses_nothing() -> None:
    assert not why_no_capacity(Cluster(0).world(), GIB, 3)
