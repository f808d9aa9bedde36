"""The calls about the cluster's settings."""

from shorthorn.control import settings
from shorthorn.control.control import Control
from shorthorn.core.model.world import Settings
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.views import ChangeSetting, SettingsView, SettingView
from shorthorn.requests import Requests


class SettingCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control, requests: Requests) -> None:
        self._control = control
        self._requests = requests

    async def list(self, _call: Call) -> SettingsView:
        """All settings."""
        now = self._control.settings
        return SettingsView(settings=tuple(_view(now, setting) for setting in settings.ALL))

    async def change(self, call: Call) -> SettingView:
        """Another value, at once. Engines that run keep those that they were started with."""
        body = await call.body(ChangeSetting)
        name = call.path("name")
        now = await self._requests.change_setting(name, body.value)
        return _view(now, settings.checked(name, body.value))


def _view(now: Settings, setting: settings.Setting) -> SettingView:
    return SettingView(
        name=setting.name,
        value=getattr(now, setting.name),
        default=getattr(Settings(cluster=now.cluster), setting.name),
        least=setting.least,
        most=setting.most,
        meaning=setting.meaning,
        fixed=setting.fixed,
    )
