"""The rules that can be taken out of the abstract engines, replicas, agents and copiers, each by its name.

Those of the record are taken out of the law's table itself (tests/mutants), where the search uses it.
"""

from typing import Final

RULES: Final[dict[str, str]] = {
    "ack-before-removal": "acknowledge as soon as the removal is asked for",
    "ack-ungranted": "acknowledge without grants",
    "no-grants": "read without grants",
    "read-in-flight": "reads do not wait for a write under way",
    "no-epoch-check": "replicas take writes of any epoch and connection",
    "reconnect": "a connection is known by its epoch only",
    "no-equalise": "marked regions are not made equal at open",
    "any-source": "equalise from any sealed replica, also one that lost power",
    "serve-uncommitted": "an engine serves before SessionOpened is committed",
    "silent-restart": "all lost power, and the clients from before are not told",
    "seal-no-sync": "a seal does not write out the page cache",
    "own-clear": "a replica clears its mark after its own flush",
    "clear-unordered": "a clear also hits a mark set by a later write",
    "close-unflushed": "a clean close clears marks without a flush",
    "nospace-fails": "a write refused for space by one replica just fails",
    "early-synced": "ReplicaSynced is sent before the copy is done",
    "join-on-answer": "the joiner is needed only once the answer came",
    "join-no-flush": "the joiner is not flushed before ReplicaSynced",
    "copy-overtakes": "a resync copy passes mirrored writes",
    "late-copier": "a target takes copy writes of an older epoch",
    "copy-early": "a copy is ready before its target has everything",
    "settle-any-source": "settle from any replica, also one that lost power",
    "settle-skips": "settle clears marks without making equal",
    "start-again": "an agent starts an engine of an epoch that it started or refused before",
    "start-any-boot": "an agent starts an engine whose session is of another boot",
    "fence-no-wait": "a fence does not wait for T after its seal",
}
"""Rule to what is done without it."""
