"""The catalogue: every wrong version of a rule, where it lives, and which proof has to miss the right one.

`python -m tests.mutants` hunts them and prints the table. An entry names the nets in which it is hunted, in order:

- `walk`: random walks of the real law with late, repeated and false messages (`ghost`, `falsehoods`), judged by what was written,
  by `core.invariants` and by what the law answers;
- `harm`: the same walks, judged by what was written alone;
- `explore:WORLD`: the explorer, with the rule taken out of the real core or of its abstract engines, replicas and agents;
- `abstract:WORLD`: the explorer, with the same rule taken out of its own engines and replicas (`/NAME`: as it is called there);
- `cores`: the simulator of the real Rust cores (crates/shorthorn-core/tests/world), by seed;
- `scenario:FILE`: a scenario whose answers change;
- `sim:SEED`: `shorthorn sim`, whole clusters with the real cores, by seed: those that are named first, then others.

Each net first holds with all rules in, over the very worlds and seeds that catch the mutant.
"""

from typing import NamedTuple

from tests.mutants.rows import WORDS
from tests.mutants.switches import NODE_GUARDS, guards_of_rows


class Entry(NamedTuple):
    """`nets`: tried in order, the first that catches counts. `allowed`: why it need not be caught; it must not be then.

    `kind` is where the rule lives: `core` (Rust), `law`, `planning`, `control`, `agent`, `abstract` (the explorer's own).
    """

    name: str
    rule: str
    source: str
    kind: str
    nets: tuple[str, ...]
    allowed: str = ""


def _core(name: str, rule: str, source: str, *nets: str) -> Entry:
    return Entry(name, rule, source, "core", ("cores", *nets))


def _law(name: str, rule: str, source: str, *nets: str) -> Entry:
    return Entry(name, rule, source, "law", nets or ("walk",))


CORE = (
    _core(
        "no-epoch-check", "a connection is a membership", "write row; section 1", "abstract:CRASH", "sim:3"
    ),
    _core("no-range-lock", "overlapping requests wait for each other", "Ranges, A4", "sim:2"),
    _core(
        "any-source", "a torn replica is no source while one is whole", "Open, A1", "abstract:POWER", "sim:1"
    ),
    _core("no-equalise", "marked regions are made equal at open", "Open", "abstract:CRASH", "sim:1"),
    _core("late-copier", "a target takes nothing of an older epoch", "copy row; A8", "abstract:USED"),
    _core("seal-no-sync", "a seal syncs what earlier programs left", "seal row; A13", "abstract:POWER"),
    _core(
        "ack-before-removal",
        "acknowledge after the removal is committed and stored",
        "Write, A3",
        "abstract:LOST",
        "sim:3",
    ),
    _core("no-grants", "no read without grants", "Read, B10", "abstract:FENCE", "sim:3"),
    _core("nospace-fails", "what others applied is taken back", "No space, A12", "abstract:SPACE", "sim:3"),
    _core(
        "join-on-answer", "a joiner is needed before it is asked for", "Resync, A7", "abstract:LOST", "sim:6"
    ),
    _core("join-no-flush", "a joiner is flushed before it is asked for", "Resync, A7"),
    _core("copy-overtakes", "compare after mirrored writes were answered", "A9", "abstract:LOST"),
    _core("read-in-flight", "reads wait for writes under way", "Ranges, A3", "abstract:CRASH", "sim:2"),
    _core("early-synced", "ReplicaSynced after the copy", "Resync, A7", "abstract:LOST", "sim:1"),
    _core("join-unfinished", "ReplicaSynced after the last range", "Resync"),
    _core("no-mirror", "changes go to syncing replicas, too", "Write, Resync", "sim:1"),
    _core("copy-unlocked", "a range is locked while it is copied", "Ranges, A9"),
    _core("own-clear", "only the engine clears marks", "Marks, A5", "abstract:CRASH", "sim:3"),
    _core("clear-unordered", "a clear leaves the mark of a later write", "clear row; A5", "abstract:CRASH"),
    _core(
        "clear-unflushed",
        "a clear follows a flush of every member",
        "clear row; Marks, Close",
        "abstract:OFF/close-unflushed",
        "sim:3",
    ),
    _core("mark-after-write", "mark, then write", "Marks"),
    _core("reconnect", "an older attempt's connection is over", "write row; A7", "abstract:LOST"),
    _core(
        "serve-uncommitted", "serve after SessionOpened was answered", "Open, B2", "abstract:CRASH", "sim:1"
    ),
    _core(
        "silent-restart", "an open after a loss of all copies is broken", "Open, A2", "abstract:DARK", "sim:2"
    ),
    _core("ack-one", "all needed replicas have applied it", "Write", "sim:3"),
    _core("flush-one", "all needed replicas have synced", "Flush"),
    _core("sync-retried", "a failed sync is never tried again into a success", "Flush, A13"),
    _core("seal-undrained", "a seal waits for what is being applied", "seal row"),
    _core("seal-any-epoch", "a seal is greater than the last", "seal row"),
    _core("seal-again", "what was opened is never sealed again as the same", "seal row; B15"),
    _core("seal-old-document", "no order with a document older than the replica's", "seal row; A15"),
    _core("epoch-not-durable", "an epoch is on disk before its seal is answered", "seal row"),
    _core("torn-forgotten", "a seal does not end torn", "Open, A1", "sim:3"),
    _core("open-unrecorded", "a session's boot is on disk before its first write", "A1", "sim:3"),
    _core("open-unsealed", "an open is of exactly what is sealed", "open row"),
    _core("member-older", "a membership never goes back", "member row"),
    _core("member-not-durable", "a membership is on disk before its answer", "member row"),
    _core("read-syncing", "a syncing replica is not read", "write row"),
    _core("beyond-size", "nothing beyond the volume's end", "write row"),
    _core("seq-unordered", "changes in the order of their numbers", "write row"),
    _core("clear-syncing", "marks are cleared on members only", "clear row"),
    _core("clear-beyond", "no stamp of a membership that was not told", "clear row; A6"),
    _core("copy-to-member", "no copies to a member that serves", "copy row"),
    _core("close-marked", "a close with marks clear", "close row"),
    _core("past-unasked", "a replica is judged by its own past before it is sealed", "probe row; A17"),
    _core(
        "settle-unequal",
        "settling makes marked regions equal",
        "Settle, A10",
        "abstract:CRASH/settle-skips",
        "sim:3",
    ),
    _core("move-unsynced", "a copy is synced before it is ready", "Move"),
    _core("delete-newer", "no folder goes that stored a newer document", "C"),
)

LAW = (
    _law("last-guard", "the last copy is never taken away", "S5", "harm"),
    _law("last-copy-outside", "the last copy is looked for in the commit", "S5", "harm"),
    _law("offline-no-epoch", "a copy is of the record's epoch", "ReplicaSynced row; Move", "harm"),
    _law("offline-unclean", "no copy and drop of what is not settled", "A10", "walk"),
    _law("no-attempt", "ReplicaSynced names its attempt", "ReplicaSynced row; A7", "harm"),
    _law("any-member", "members are in-sync", "SessionOpened row; S6", "harm"),
    _law("any-copy-source", "only proven sources", "S6", "harm"),
    _law("attach-for-maintenance", "sessions are for attachments", "S10", "harm"),
    _law("fence-not-in-sync", "a fence's replica is in-sync at the commit", "FenceHeld row; B12", "harm"),
    _law("fence-early", "a fence waits 1.1 T", "FenceHeld row; B10", "harm"),
    _law("settle-partly", "settling takes all", "Settled row; A10", "harm"),
    _law("two-nodes", "all attachments are on one node", "B8", "harm"),
    _law("fence-no-seal", "a fence has a seal", "Fence, B9", "harm"),
    _law("fence-same-epoch", "a fence raises the epoch", "FenceStarted row", "harm"),
    _law("resync-same-attempt", "a broken resync has another attempt", "ReplicaLost row; A7", "harm"),
    _law("lost-same-attempt", "who leaves the set has another attempt", "ReplicaLost row; S8", "walk"),
    _law("lost-in-fencing", "an engine does not chase its fence", "ReplicaLost row; B12, L1", "walk"),
    _law("reopen-closing", "a closing session does not open again", "SessionOpened row; S8", "walk"),
    _law("detached-at-once", "detached is said after the session's confirmed end", "S7", "walk"),
    _law("fence-same-hold", "a fence breaks the hold", "A16", "walk"),
    _law("stays-settled", "an open ends settled", "A10", "walk"),
    _law("open-same-m", "every change of the set counts on", "A6, S8", "walk"),
)


def _of_row(switch: str) -> Entry:
    _, event, guard = switch.split(":")
    return Entry(switch, WORDS[guard], f"{event} row", "law", ("walk",))


GUARDS = tuple(_of_row(switch) for switch in guards_of_rows())
"""One for each guard of each row of the law's table."""

NODE_WORDS = {
    "registration": "an agent registers what can be",
    "who-and-why": "a death says who and why",
    "no-place": "nothing is placed on a cordoned, evicting or dead node",
    "no-room": "no disk is promised beyond its size",
    "one-machine": "a node's name stays with its machine",
    "attachable": "nobody attaches at a cordoned or dead node",
}

NODES = tuple(
    Entry(f"node:{name}", NODE_WORDS[name], "the law of nodes", "law", ("nodes",)) for name in NODE_GUARDS
)


def _planning(name: str, rule: str, source: str, *nets: str) -> Entry:
    return Entry(name, rule, source, "planning", nets)


PLANNING = (
    _planning("evict-early", "a replica moves after its replacement is in-sync", "S5", "explore:n3r2-evict"),
    _planning("evict-attaches", "an eviction attaches nothing", "S10", "explore:n3r2-evict"),
    _planning(
        "absent-counts",
        "a copy that is away for long does not count",
        "L3",
        "scenario:node-away-is-replaced-after-its-grace",
    ),
    _planning("dead-count", "copies that are lost do not count", "L3", "explore:dead"),
    _planning("drop-unprobed", "whoever is kept has answered a probe", "probe row; B5", "scenario:LH-10833"),
    _planning("no-place-reserved", "a place is promised in the commit", "S9", "explore:n3r2-evict"),
    _planning("placed-anywhere", "nothing is placed on an evicting node", "S9, L8", "explore:evict-two"),
    _planning("any-engine-report", "a report is of its epoch", "S7", "explore:late-end"),
    _planning(
        "fence-unwaited", "a seal ends a session after 1.1 T", "FenceHeld row; B10", "explore:n3r2-cut"
    ),
    _planning("fence-held", "no fence of a held session", "FenceStarted row; L8", "explore:n3r2-cut"),
    _planning(
        "old-boot-unseen", "another boot ends a session", "SessionClosed row; L1", "explore:n3r2-cycle"
    ),
    _planning("formed-unseen", "formed of folders that were seen", "Formed row", "explore:creating"),
    _planning("delete-unburied", "a folder goes for a tombstone only", "Leave; S5", "explore:n3r2-evict"),
)


OUTSIDE = (
    Entry(
        "lost-wakeup", "a change of the records wakes the loop", "L1, L2", "control", ("scenario:BLK-114",)
    ),
    Entry(
        "lease-early",
        "the lease is taken over from who is silent",
        "decisions/0013",
        "control",
        ("explore:two-servers",),
        allowed="two that both believe to lead are judged commit by commit",
    ),
    Entry(
        "blind-commit",
        "a commit is of the versions that were read",
        "ideas 1 and 5; S8",
        "control",
        ("scenario:K8S-65392",),
    ),
    Entry(
        "ungrounded-commit",
        "a commit names the nodes that its answer rests on",
        "FenceStarted row; idea 1",
        "control",
        ("scenario:LH-6552",),
    ),
    Entry("epoch-twice", "an epoch is started once", "B2, B15", "agent", ("scenario:LH-1922",)),
    Entry("start-twice", "one engine of an epoch", "B15", "agent", ("scenario:LH-9857",)),
    Entry("orders-twice", "an order is carried out once", "idea 5", "agent", ("scenario:LH-13058",)),
    Entry(
        "end-unconfirmed",
        "an engine's end is told once its lock was taken",
        "SessionClosed row; S7",
        "agent",
        ("scenario:LH-6552",),
    ),
)


def _abstract(name: str, rule: str, source: str, world: str) -> Entry:
    return Entry(name, rule, source, "abstract", (f"abstract:{world}",))


ABSTRACT = (
    _abstract("ack-ungranted", "no acknowledgement without grants", "Write, B10", "FENCE"),
    _abstract("copy-early", "a copy is ready when its target has everything", "Move", "LOST"),
    _abstract("settle-any-source", "settled from a replica that is whole", "Settle, A10", "OFF"),
    _abstract("start-again", "an epoch is started once, and not after it was refused", "B2, B15", "LATE"),
    _abstract("start-any-boot", "an engine starts in the boot that its session is of", "S7", "BOOT"),
    _abstract("fence-no-wait", "a fence waits 1.1 T after its seal", "Fence, B10", "FENCE"),
)
"""Rules of engines, replicas and agents of which there is no switch in what ships: the explorer's own do without them."""


def catalogue() -> tuple[Entry, ...]:
    """All of them."""
    return (*CORE, *LAW, *GUARDS, *NODES, *PLANNING, *OUTSIDE, *ABSTRACT)
