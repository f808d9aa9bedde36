"""What a replica must have been sealed for to count as a source, after a settling (docs/protocol.md, A17)."""

from shorthorn.core.lifecycle.events import Settled, SettleStarted
from shorthorn.core.model.ids import Epoch, TaskId
from tests.core import examples as ex


def test_a_disk_from_before_the_settling_is_too_old() -> None:
    """Settling copied to it and cleared the marks: what it was before lacks writes, and no mark says so."""
    volume = ex.after(ex.died(ex.serving(ex.formed())), ex.detach())
    session = volume.epoch
    settle = SettleStarted(epoch=Epoch(volume.epoch + 1), task=TaskId("s1"), place=ex.N1)
    volume = ex.after(volume, settle)
    assert volume.opened_epoch == session, "not before it is settled: a try that fails proves nothing"
    volume = ex.after(volume, Settled(epoch=volume.epoch, sealed=tuple(r.id for r in volume.in_sync)))
    assert volume.opened_epoch == volume.epoch > session
