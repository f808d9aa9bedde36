"""Bad input: one clear line, and nothing changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import (
    Cordoned,
    Created,
    EvictCancelled,
    EvictRequested,
    Expanded,
    NodeRegistered,
    SpecChanged,
)
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.model.ids import DiskUid, LayerId, NodeName, VolumeName, VolumeUid
from shorthorn.core.model.node import Disk
from shorthorn.core.model.units import format_size, parse_size
from shorthorn.core.model.volume import Spec, Volume
from tests.core import examples as ex


def create(name: str = "v1", size: int = ex.GIB, replicas: int | None = 3) -> Accepted[Volume] | Refused:
    return law.create(
        Created(
            name=VolumeName(name),
            uid=VolumeUid("u1"),
            size=size,
            spec=Spec(replicas=replicas),
            head=LayerId("l1"),
        )
    )


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (0, "0 bytes"),
        (-4096, "-4096 bytes"),
        (4097, "multiple of 4 KiB"),
        (1 << 60, "more than a volume may have"),
    ],
)
def test_impossible_sizes(size: int, says: str) -> None:
    assert says in ex.refused(create(size=size))


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 64, "ä", "a\n"])
def test_bad_names(name: str) -> None:
    assert "no name for a volume" in ex.refused(create(name=name))


@pytest.mark.parametrize("name", ["a", "1", "a-b", "a" * 63])
def test_good_names(name: str) -> None:
    assert ex.accepted(create(name=name)).name == name


@pytest.mark.parametrize("replicas", [0, -1, 17])
def test_impossible_numbers_of_replicas(replicas: int) -> None:
    assert "choose 1 to 16" in ex.refused(create(replicas=replicas))
    assert "choose 1 to 16" in ex.refused(law.apply(ex.formed(), SpecChanged(spec=Spec(replicas=replicas))))


def test_a_volume_never_shrinks_and_says_that_it_cannot_grow_yet() -> None:
    volume = ex.formed()
    assert "never shrinks" in ex.refused(law.apply(volume, Expanded(size=volume.size - 4096)))
    assert "not built" in ex.refused(law.apply(volume, Expanded(size=volume.size + 4096)))
    same = law.apply(volume, Expanded(size=volume.size))
    assert isinstance(same, Accepted)
    assert not same.changed


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GiB", 10 * ex.GIB), ("4096", 4096), ("1.5 TiB", 1536 * ex.GIB), (" 8 kib ", 8192), ("0B", 0)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "-1GiB", "10GB", "1e3", "GiB", "1.0000001B", "0.3B", "9" * 30, "1 G iB"]
)
def test_what_is_no_size_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|whole"):
        parse_size(text)


@given(st.integers(0, 64 * 1024**4))
def test_printed_sizes_are_near(size: int) -> None:
    number, unit = format_size(size).split()
    assert abs(float(number) * parse_size(f"1{unit}") - size) <= size * 0.06


def test_a_node_is_one_machine_for_good() -> None:
    node = ex.node(ex.N1)
    disk = Disk(uid=ex.disk_of(ex.N1), size=100 * ex.GIB)
    other = NodeRegistered(name=ex.N1, machine_id="m-2", boot_id="b", disks=(disk,))
    assert "another machine" in ex.refused(nodes.apply_node(node, other))
    again = NodeRegistered(name=ex.N1, machine_id="m-n1", boot_id="b-n1", disks=(disk,))
    assert nodes.apply_node(node, again) == Accepted(value=node, lines=(), changed=False)
    booted = NodeRegistered(name=ex.N1, machine_id="m-n1", boot_id="b-2", disks=())
    after = ex.accepted(nodes.apply_node(node, booted))
    assert (after.boot_id, len(after.disks)) == ("b-2", 1), "a disk that is not named is not gone"


def test_bad_registrations() -> None:
    bad = NodeRegistered(name=NodeName("N 1"), machine_id="m", boot_id="b", disks=())
    assert "no name for a node" in ex.refused(nodes.register(bad))
    disk = Disk(uid=DiskUid("d"), size=1)
    twice = NodeRegistered(name=ex.N1, machine_id="m", boot_id="b", disks=(disk, disk))
    assert "twice" in ex.refused(nodes.register(twice))


def test_space_is_promised_once_and_never_beyond_the_disk() -> None:
    node = ex.node(ex.N1, size=15 * ex.GIB)
    disk = ex.disk_of(ex.N1)
    held = ex.accepted(nodes.commit_space(node, disk, ex.R1, 10 * ex.GIB))
    assert held.disks[0].free == 5 * ex.GIB
    again = nodes.commit_space(held, disk, ex.R1, 10 * ex.GIB)
    assert again == Accepted(value=held, lines=(), changed=False)
    outcome = nodes.commit_space(held, disk, ex.R2, 10 * ex.GIB)
    assert isinstance(outcome, Refused)
    assert outcome.kind is RefusalKind.NO_CAPACITY
    assert "5 GiB left" in outcome.why
    freed = ex.accepted(nodes.release_space(held, disk, ex.R1))
    assert freed == node
    over = nodes.release_space(freed, disk, ex.R1)
    assert isinstance(over, Accepted)
    assert not over.changed


def test_evicting_alone_keeps_new_replicas_away() -> None:
    node = ex.accepted(nodes.apply_node(ex.node(ex.N1), EvictRequested()))
    assert "evicted" in ex.refused(nodes.commit_space(node, ex.disk_of(ex.N1), ex.R1, 4096))
    node = ex.accepted(nodes.apply_node(node, EvictCancelled()))
    ex.accepted(nodes.commit_space(node, ex.disk_of(ex.N1), ex.R1, 4096))
    cordoned = ex.accepted(nodes.apply_node(node, Cordoned()))
    assert "cordoned" in ex.refused(nodes.commit_space(cordoned, ex.disk_of(ex.N1), ex.R1, 4096))
