"""The calls about the cluster as a whole."""

from collections import Counter

from shorthorn.control.control import Control
from shorthorn.core.invariants.audit import compare
from shorthorn.core.invariants.world import check_world
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.views import CheckView, StatusView
from shorthorn.faces.api.volume_view import volume_view
from shorthorn.version import VERSION


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

    async def check(self, _call: Call) -> CheckView:
        """Invariants of every record, and records against what runs."""
        world = self._control.loop.world()
        audit = compare(world)
        findings = tuple(str(finding) for finding in check_world(world))
        return CheckView(findings=findings + audit.differences, unknown=audit.unknown)

    async def healthz(self, _call: Call) -> None:
        """The server answers."""
