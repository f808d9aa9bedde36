"""The calls about the cluster as a whole."""

from collections import Counter

from shorthorn.control.control import Control
from shorthorn.core.invariants.audit import compare
from shorthorn.core.invariants.world import check_world
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.views import CheckView, StatusView
from shorthorn.faces.api.volume_view import volume_view
from shorthorn.version import VERSION

WAIT_S_MAX = 60.0
"""Bound on what a caller may ask to be waited for."""


class StatusCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control, *, insecure_network: bool) -> None:
        self._control = control
        self._insecure_network = insecure_network

    async def status(self, _call: Call) -> StatusView:
        """Counts, and all waits with their reasons."""
        control = self._control
        world = control.loop.world()
        views = [volume_view(world, volume, control.sightings.left_s) for volume in world.volumes.values()]
        return StatusView(
            cluster=control.settings.cluster,
            version=VERSION,
            insecure_network=self._insecure_network,
            journal_end=control.records.journal_end,
            nodes=dict(sorted(Counter(seen.reach.value for seen in world.seen.values()).items())),
            volumes=dict(sorted(Counter(view.state for view in views).items())),
            health=dict(sorted(Counter(view.health for view in views if view.health).items())),
            waits=tuple(wait.describe() for wait in control.loop.plan.waits),
        )

    async def check(self, call: Call) -> CheckView:
        """Invariants of every record, and records against what runs.

        What is under way looks like a difference for a moment: with `wait_s` it looks again whenever something changes,
        for so long, and tells only what every look has told.
        """
        wait_s = call.query_number("wait_s", 0, WAIT_S_MAX)
        view = self._compared()

        def equal() -> bool:
            nonlocal view
            now = self._compared()
            stays = tuple(line for line in now.findings if line in view.findings)
            view = CheckView(findings=stays, unknown=now.unknown)
            return not stays

        if view.findings and wait_s:
            await self._control.changes.until(equal, wait_s)
        return view

    def _compared(self) -> CheckView:
        loop = self._control.loop
        world = loop.world()
        audit = compare(world, {w.volume for w in loop.plan.waits if w.volume is not None})
        findings = tuple(str(finding) for finding in check_world(world))
        return CheckView(findings=findings + audit.differences, unknown=audit.unknown)

    async def healthz(self, _call: Call) -> None:
        """The server answers."""
