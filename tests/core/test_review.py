"""Holes that a hostile reading of the protocol found in the law, told as tests."""

import msgspec

from shorthorn.core.lifecycle import law
from shorthorn.core.lifecycle.requests import AttachRequested
from shorthorn.core.model.ids import Holder
from shorthorn.core.model.volume import Mode
from tests.core.examples import (
    N1,
    POD,
    after,
    detach,
    detached_clean,
    formed,
    opened,
    refused,
    serving,
    start,
)

READS = AttachRequested(holder=POD, node=N1, mode=Mode.READ_ONLY)
WRITES = AttachRequested(holder=Holder("writer"), node=N1)


def test_a_writer_does_not_join_a_session_that_is_served_read_only() -> None:
    """An engine is told once whether it serves writes: the writer was attached, and every write was refused."""
    volume = after(formed(), READS)
    volume = after(volume, start(volume))
    volume = after(volume, opened(volume))
    assert "read-only" in refused(law.apply(volume, WRITES))
    assert after(volume, msgspec.structs.replace(READS, holder=Holder("other"))).attachments
    assert after(volume, detach(), WRITES).attachments, "it is taken for the session that follows"


def test_a_clean_close_says_what_every_member_has_stored() -> None:
    """A disk that went back to before the session's open is no source later: its own m is too low (A17)."""
    volume = detached_clean(serving(formed()))
    assert {replica.stored_m for replica in volume.in_sync} == {volume.m}
