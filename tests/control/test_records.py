"""The documents in memory: what comes late must not bring anything back."""

from shorthorn.control.records import Records
from shorthorn.store import MemoryStore
from tests.core.examples import formed


def test_a_commit_that_is_answered_after_the_deletion_was_heard_brings_nothing_back() -> None:
    records, volume = Records(MemoryStore()), formed()
    records.note_volume(volume.uid, 5, volume)
    records.note_volume(volume.uid, 7, None)
    records.note_volume(volume.uid, 6, volume)
    assert records.volume(volume.uid) is None
    assert volume.uid not in records.volumes
