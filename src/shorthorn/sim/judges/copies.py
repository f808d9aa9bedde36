"""Judges copies while nothing is under way: each holds, block by block, what a read may show (S3, S5, S6).

At rest every copy of every settled volume; all along those of one volume whenever its record says that they are equal.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from shorthorn.core.model.volume import Replica, Volume
from shorthorn.native._native import CorruptError, DiskError
from shorthorn.sim.judges.histories import BLOCK, Histories
from shorthorn.sim.judges.registers import Violation


class Content(Protocol):
    """Reads a replica's durable content, past everything else."""

    def read(self, offset: int, length: int) -> bytes:
        """As it is on the disk."""
        ...

    def marks(self) -> list[tuple[int, int]]:
        """Dirty regions."""
        ...


def judge_copies(
    volumes: Iterable[Volume], histories: Histories, content: Callable[[Replica], Content | None]
) -> int:
    """Raises `Violation`. How many blocks were read; copies that can't be read now (None) are left out."""
    count = 0
    for volume in volumes:
        if not volume.settled or volume.session is not None or volume.deleting:
            continue
        copies = [(r, files) for r in volume.in_sync if (files := content(r)) is not None]
        for replica, files in copies:
            if files.marks():
                raise Violation(f"S3: {volume.name} is settled, and {replica.id} on {replica.node} has marks")
        count += judge_equal(volume, copies, histories, "settled")
    return count


def judge_equal(
    volume: Volume, copies: Iterable[tuple[Replica, Content]], histories: Histories, why: str
) -> int:
    """These copies are equal, and hold what a read may show. Raises `Violation`. How many blocks were read."""
    count = 0
    known = list(copies)
    for block in histories.blocks(volume.uid):
        if (block + 1) * BLOCK > volume.size:
            continue
        contents = []
        for replica, files in known:
            try:
                data = files.read(block * BLOCK, BLOCK)
            except CorruptError:
                continue  # a bad block of one copy is repaired when it is read
            except DiskError:
                continue  # its disk failed: it is lost as soon as somebody notices
            count += 1
            contents.append((replica, data))
            histories.judge_copy(volume.uid, f"{replica.id} of {volume.name} on {replica.node}", block, data)
        if len({data for _, data in contents}) > 1:
            places = ", ".join(replica.node for replica, _ in contents)
            raise Violation(f"S3: copies of {why} {volume.name} differ in block {block}: {places}")
    return count
