"""The truth of a small world, in parts: machines with their folders, engines, and work without a session.

Plain tuples that are never changed: a state of the search is a tuple of the numbers of such parts. Replicas are named by
bits (`Names`), so that a set of them is an int. Knows no rule.
"""

from typing import NamedTuple

SEALING, ASKED, SERVING = 0, 1, 2
"""Phases of an engine: it seals and makes equal; the record has it open, which it has not told its replicas; it serves."""


class Rep(NamedTuple):
    """A replica's folder with its program.

    `epoch`, `attempt`: sealed at. `conn`: the epoch of the engine that has the connection, minus the epoch of the task that
    has it, 0 when nobody has. `opened`: something may have been written since the last seal or close, so a power loss
    makes it torn. `cache` and `disk` are the content of the one block. `over`: the greatest epoch at which it was sealed
    for a fence and 1.1 T have passed since: no engine below counts on its grant any more. `probe` names the removal that
    it was asked for.
    """

    bit: int
    epoch: int = 0
    attempt: int = 1
    conn: int = 0
    opened: bool = False
    cache: int = 0
    disk: int = 0
    dirty: bool = False
    torn: bool = False
    over: int = 0
    m: int = 0
    probe: str = ""


class Machine(NamedTuple):
    """A node. `heard`: its agent and the servers hear each other. `away`: 0 here, 1 away, 2 away for too long.

    `last` is the greatest epoch of an engine that its agent started or refused.
    """

    up: bool = True
    boot: int = 1
    heard: bool = True
    away: int = 0
    last: int = 0
    folders: tuple[Rep, ...] = ()


class Op(NamedTuple):
    """What an engine has under way. `kind`: w write, f flush, u a write that is being taken back.

    `done`: the replicas that have answered. `late`: it began when the record's session was over. `refuser`: who has no
    space.
    """

    kind: str
    value: int
    done: int = 0
    late: bool = False
    refuser: int = -1


class Engine(NamedTuple):
    """An engine program. `volume` numbers the document that it was started with.

    `need`: the replicas that every acknowledgement needs; `sealed` and `equal` those sealed and made equal while opening;
    `source` whom it makes equal from; `gone` those whose removal it asked for; `attempts` by bit; `joiner` whom it
    resyncs; `asking`: its ReplicaSynced is not answered; `quiet`: clients from before a loss hold on, so it serves nobody.
    """

    epoch: int
    node: int
    volume: int
    attempts: tuple[int, ...]
    need: int
    phase: int = SEALING
    sealed: int = 0
    equal: int = 0
    source: int = -1
    gone: int = 0
    op: Op | None = None
    joiner: int = -1
    asking: int = 0
    closing: bool = False
    leave: int = 0
    quiet: bool = False


class Run(NamedTuple):
    """A task in the replica program of a node. `stage`: 0 sealing, 1 copying, 2 waits for the target, 3 ready, 4 finished, 5 failed."""

    task: str
    epoch: int
    node: int
    settle: bool
    members: int
    target: int = -1
    source: int = -1
    attempts: tuple[int, ...] = ()
    stage: int = 0
    sealed: int = 0
    equal: int = 0
    removes: bool = False


def bits(mask: int) -> list[int]:
    """The members of a set."""
    found, bit = [], 0
    while mask:
        if mask & 1:
            found.append(bit)
        mask >>= 1
        bit += 1
    return found


def put(items: tuple, at: int, item: object) -> tuple:  # type: ignore[type-arg]  # any of the parts
    """The tuple with another item at this place."""
    return (*items[:at], item, *items[at + 1 :])
