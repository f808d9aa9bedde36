"""All requests of people and consumers, as one value for whoever brings them."""

from shorthorn.control.control import Control
from shorthorn.core.model.world import Settings
from shorthorn.requests.nodes import NodeRequests
from shorthorn.requests.volumes import VolumeRequests


class Requests:
    """Over one control plane."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.volumes = VolumeRequests(control)
        self.nodes = NodeRequests(control)

    async def change_setting(self, name: str, value: float | None) -> Settings:
        """Another value, at once. Engines that run keep those that they were started with. Raises as the others do."""
        self._control.check_leading()
        return await self._control.change_setting(name, value, cause="a person")
