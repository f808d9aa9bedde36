"""An order that comes late, to another boot than the one that its session was started for.

The record ends that session on the ground that its machine booted again (S7). An engine of it that lived after that would
serve a volume that is said to be detached (B2).
"""

import msgspec

from shorthorn.agent.reconcile import StartEngine, reconcile
from shorthorn.agent.sighting import sighting_of
from shorthorn.core.model.order import RunEngine
from shorthorn.core.model.sighting import EngineState
from tests.agent import records
from tests.agent.test_reconcile import orders, running


def test_an_engine_is_started_only_in_the_boot_of_its_session() -> None:
    order = records.run_engine(5)
    assert isinstance(order, RunEngine)
    now = running()
    assert reconcile(orders(order), now) == [StartEngine(order=order)]
    rebooted = msgspec.structs.replace(now, boot_id="b2")
    assert reconcile(orders(order), rebooted) == []
    # Nor is an end made up: the record has its own evidence.
    (seen,) = sighting_of(orders(order), rebooted).engines
    assert seen.state is EngineState.STARTING
    assert seen.evidence == ""
