"""Judges copies while nothing is under way: each holds, block by block, what a read may show (S3, S5, S6).

At rest every copy of every settled volume; all along those of one volume whenever its record says that they are equal.
"""

from collections.abc import Callable, Container, Iterable
from typing import Protocol

from shorthorn.core.model.volume import Replica, Volume
from shorthorn.native._native import CorruptError, DiskError
from shorthorn.sim.judges.histories import BLOCK, Histories, value_of
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
    volumes: Iterable[Volume],
    histories: Histories,
    content: Callable[[Replica], Content | None],
    rotten: Container[str] = (),
) -> int:
    """At rest, with every machine running. Raises `Violation`, also for a copy that can't be read. How many blocks were read.

    `rotten`: the uids of volumes of which bits of a copy flipped: only their blocks may not fit their checksums.
    """
    count = 0
    for volume in volumes:
        if not volume.settled or volume.session is not None or volume.deleting:
            continue
        copies = []
        for replica in volume.in_sync:
            if (files := content(replica)) is None:
                raise Violation(
                    f"S3: {volume.name} is at rest, and {replica.id} on {replica.node} can't be opened"
                )
            copies.append((replica, files))
        for replica, files in copies:
            if files.marks():
                raise Violation(f"S3: {volume.name} is settled, and {replica.id} on {replica.node} has marks")
        count += judge_equal(volume, copies, histories, "settled", resting=True, rotten=volume.uid in rotten)
    return count


def judge_equal(
    volume: Volume,
    copies: Iterable[tuple[Replica, Content]],
    histories: Histories,
    why: str,
    *,
    resting: bool = False,
    rotten: bool = True,
) -> int:
    """These copies are equal, and hold what a read may show. Raises `Violation`. How many blocks were read.

    `rotten`: blocks may not fit their checksums. `resting`: no disk is failing, so every other block can be read.
    """
    count = 0
    known = list(copies)
    for block in histories.blocks(volume.uid):
        if (block + 1) * BLOCK > volume.size:
            continue
        contents = []
        for replica, files in known:
            try:
                data = files.read(block * BLOCK, BLOCK)
            except CorruptError as error:
                if not rotten:
                    raise Violation(
                        f"S3: {_where(volume, replica, block)} is corrupt, and no bit flipped"
                    ) from error
                continue  # a bad block of one copy is repaired when it is read
            except DiskError as error:
                if resting:
                    raise Violation(f"S3: {_where(volume, replica, block)} can't be read: {error}") from error
                continue  # its disk failed: it is lost as soon as somebody notices
            count += 1
            contents.append((replica, data))
        if len({data for _, data in contents}) > 1:
            places = ", ".join(f"{value_of(data)} on {replica.node}" for replica, data in contents)
            raise Violation(f"S3: copies of {why} {volume.name} differ in block {block}: {places}")
        for replica, data in contents[:1]:
            histories.judge_copy(volume.uid, f"{replica.id} of {volume.name} on {replica.node}", block, data)
    return count


def _where(volume: Volume, replica: Replica, block: int) -> str:
    return f"block {block} of {replica.id} of {volume.name} on {replica.node}"
