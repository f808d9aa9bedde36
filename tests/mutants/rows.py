"""What each guard of the law says, in words; and the rows of docs/protocol.md section 3, with the mutants of each."""

import re
from pathlib import Path

PROTOCOL = Path(__file__).parents[2] / "docs/protocol.md"

WORDS: dict[str, str] = {
    "_as_the_session_serves": "no writer while the session serves read-only",
    "_base_is": "a copy is of the volume's chain and size",
    "_being_formatted": "a file system that was made was announced",
    "_endpoint_valid": "an endpoint is a short text",
    "_expansion_exists": "no expansion before it is built",
    "_fresh_members": "a volume is formed of fresh, empty replicas, not of none",
    "_fs_valid": "a file system's name is a short text",
    "_has_source": "a session needs an in-sync replica",
    "_holder_valid": "a holder is a short text",
    "_holds_for_writing": "who makes a file system holds the volume for writing",
    "_holds_in_sync": "settling is done where an in-sync replica is",
    "_id_is_new": "identities are never used again",
    "_is_syncing": "only a syncing replica is given up",
    "_machine_named": "a session names machine and boot",
    "_never_used": "a file system is never made over another",
    "_not_fencing": "an engine does not chase its fence",
    "_not_in_sync": "who is in-sync does not become so",
    "_one_mode": "a holder has one mode",
    "_place_takes_part": "a copy runs at its source or target",
    "_reason_valid": "a reason is a short text",
    "_room_for_one": "no more holders than the document may hold",
    "_settle_under_way": "Settled ends the settling of this epoch",
    "_size_grows": "a volume never shrinks",
    "_spec_valid": "a spec makes sense",
    "_still_opening": "a session opens once, from opening",
    "_target_syncing": "a copy goes to a syncing replica",
    "_unsettled": "what is settled is not settled again",
    "_why_valid": "a fence says why",
    "_with_evidence": "an end has evidence",
    "all_sealed": "settling takes all",
    "attempt_is": "a late message about an older attempt is void",
    "epoch_is_next": "epochs grow by one",
    "epoch_is_records": "what was done at an older epoch is void",
    "formed_once": "formed once in a volume's life",
    "has_tombstone": "a folder is gone by order only",
    "held_there": "sessions are for attachments on their node",
    "in_sync_now": "a fence's replica is in-sync at the commit",
    "is_fence": "FenceHeld is about the fence under way",
    "is_leaving": "only a marked, in-sync replica is dropped",
    "is_settled": "nothing happens to what is not settled",
    "members_in_sync": "members are in-sync",
    "no_session": "no work beside a session",
    "no_task_on": "a copy's source and target stay",
    "node_alive": "no session on a dead node, nor of an older boot",
    "node_is_free": "no two replicas of a volume on one node",
    "not_deleting": "nothing but the deletion goes on",
    "not_fencing": "a new holder waits for the end of the fence",
    "not_held": "no deletion under a consumer",
    "not_the_last": "the last copy is never taken away",
    "one_node": "all attachments are on one node",
    "opens_on_some": "no open on no replica",
    "others_probed": "whoever is kept has answered a probe",
    "removed_are_dead": "settling leaves out only who was declared dead",
    "removed_in_sync": "only what is in the set leaves it",
    "replica_known": "the replica is in the record",
    "session_is": "the event is about the session that there is",
    "some_stay": "settling leaves somebody",
    "source_in_sync": "only proven sources",
    "synced_at_epoch": "a copy is of the record's epoch",
    "synced_by_whom": "in-sync by an open engine, or by the copy that the record has",
    "unheld_or_dead": "who holds a volume where nobody is dead keeps the session",
    "waited_long_enough": "a fence waits 1.1 T",
    "with_witness": "an isolated engine removes nobody",
    "without_some": "settling goes without members only, and not without its place",
}
"""Guard to rule."""

NOT_BUILT = "not built: snapshots and expansion come with later issues"

ROWS: dict[str, tuple[str, ...]] = {
    "seal": ("seal-any-epoch", "seal-again", "seal-old-document", "epoch-not-durable", "seal-no-sync"),
    "open": ("open-unsealed", "open-unrecorded"),
    "write/trim/zero": ("no-epoch-check", "reconnect", "read-syncing", "beyond-size", "seq-unordered"),
    "clear": ("clear-unordered", "clear-syncing", "clear-unflushed", "clear-beyond"),
    "copy": ("late-copier", "copy-to-member"),
    "member": ("member-older", "member-not-durable"),
    "freeze": (NOT_BUILT,),
    "close": ("close-marked",),
    "probe": ("past-unasked", "guard:ReplicaDropped:others_probed"),
    "Formed": ("guard:Formed:formed_once", "guard:Formed:_fresh_members"),
    "SessionOpened": (
        "guard:SessionOpened:session_is",
        "guard:SessionOpened:_still_opening",
        "guard:SessionOpened:members_in_sync",
        "guard:SessionOpened:opens_on_some",
    ),
    "ReplicaLost": (
        "guard:ReplicaLost:session_is",
        "guard:ReplicaLost:_not_fencing",
        "guard:ReplicaLost:attempt_is",
        "guard:ReplicaLost:with_witness",
    ),
    "ReplicaSynced": (
        "guard:ReplicaSynced:synced_at_epoch",
        "guard:ReplicaSynced:synced_by_whom",
        "guard:ReplicaSynced:attempt_is",
        "guard:ReplicaSynced:_base_is",
    ),
    "SnapshotTaken": (NOT_BUILT,),
    "SessionClosed": ("guard:SessionClosed:session_is", "guard:SessionClosed:_with_evidence"),
    "FenceStarted": ("guard:FenceStarted:session_is", "guard:FenceStarted:unheld_or_dead"),
    "FenceHeld": (
        "guard:FenceHeld:is_fence",
        "guard:FenceHeld:in_sync_now",
        "guard:FenceHeld:waited_long_enough",
    ),
    "SettleStarted / Settled": (
        "guard:SettleStarted:no_session",
        "guard:Settled:epoch_is_records",
        "guard:Settled:_unsettled",
        "guard:Settled:all_sealed",
    ),
    "ReplicaDropped": (
        "guard:ReplicaDropped:no_session",
        "guard:ReplicaDropped:is_settled",
        "guard:ReplicaDropped:epoch_is_records",
        "guard:ReplicaDropped:others_probed",
        "guard:ReplicaDropped:not_the_last",
    ),
    "Reverted, SnapshotTaken, Expanded": (NOT_BUILT, "guard:Expanded:_expansion_exists"),
}
"""Row of section 3, by its first words, to the mutants that take something out of it."""


def messages() -> list[str]:
    """The first column of section 3."""
    text = PROTOCOL.read_text()
    section = text[text.index("## 3. Messages") : text.index("## 4. Why")]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [row for row in rows if row not in ("message", "---")]
