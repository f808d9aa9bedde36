"""The table: each rule, the switch that takes it out, and the test that fails then.

Python switches are in `switches` and are hunted by the ghost world; Rust switches are in
crates/shorthorn-core/src/mutants.rs (Cargo feature `mutants`) and each has a test in that crate that passes only when a
world without the rule shows a violation and the same world with it does not. `test_table` runs all of it.
"""

from typing import Literal, NamedTuple


class Row(NamedTuple):
    """`test`: for Rust the test's name; for Python what the ghost world's violation says."""

    rule: str
    source: str
    switch: str
    language: Literal["python", "rust"]
    test: str


TABLE = (
    # Required by issue 2.
    Row("epoch check", "A connection is a membership", "no-epoch-check", "rust", "no_epoch_check_is_caught"),
    Row("range lock", "Ranges, A4", "no-range-lock", "rust", "no_range_lock_is_caught"),
    Row("last-copy guard", "S5", "last-guard", "python", "no in-sync replica is left"),
    Row("epoch guard of the copy", "Move without attach", "offline-no-epoch", "python", "S3: in-sync"),
    Row("torn source", "Open, A1", "any-source", "rust", "any_source_is_caught"),
    Row("equalising", "Open", "no-equalise", "rust", "no_equalise_is_caught"),
    # And these.
    Row("epoch guard of the copy, at its target", "A8", "late-copier", "rust", "late_copier_is_caught"),
    Row("attempt guard of a rejoin", "A7", "no-attempt", "python", "S3: in-sync"),
    Row("members are in-sync", "SessionOpened", "any-member", "python", "no in-sync replica is left"),
    Row("only proven sources", "S6", "any-copy-source", "python", "S3: in-sync"),
    Row(
        "sessions are for attachments",
        "S10",
        "attach-for-maintenance",
        "python",
        "a session that nobody asked for",
    ),
    Row("all attachments on one node", "B8", "two-nodes", "python", "attached on two nodes"),
    # Required by issue 3.
    Row("a fence has a seal", "Fence, B9", "fence-no-seal", "python", "engine of an ended session"),
    Row("attempt of a broken resync", "A7", "resync-same-attempt", "python", "S3: in-sync"),
    # And these.
    Row(
        "a fence's replica is in-sync",
        "Fence, B12",
        "fence-not-in-sync",
        "python",
        "engine of an ended session",
    ),
    Row("a fence raises the epoch", "Fence", "fence-same-epoch", "python", "engine of an ended session"),
    Row("a fence waits", "Fence, B10", "fence-early", "python", "completed a read"),
    Row("settling takes all", "Settle, A10", "settle-partly", "python", "S4: in-sync"),
    # Required by issue 3: removal, resync, grants and space in a session.
    Row(
        "acknowledge after removal", "Write, A3", "ack-before-removal", "rust", "ack_before_removal_is_caught"
    ),
    Row("grants", "Read, B10", "no-grants", "rust", "no_grants_is_caught"),
    Row("take back for space", "No space, A12", "nospace-fails", "rust", "nospace_fails_is_caught"),
    Row(
        "need a joiner before it is asked for",
        "Resync, A7",
        "join-on-answer",
        "rust",
        "join_on_answer_is_caught",
    ),
    Row("flush a joiner", "Resync, A7", "join-no-flush", "rust", "join_no_flush_is_caught"),
    Row("compare after mirrored writes", "A9", "copy-overtakes", "rust", "copy_overtakes_is_caught"),
    Row(
        "reads wait for writes under way", "Ranges, A3", "read-in-flight", "rust", "read_in_flight_is_caught"
    ),
    Row("a seal syncs", "Seal, A13", "seal-no-sync", "rust", "seal_no_sync_is_caught"),
)
