"""The cluster's settings: which of them people may change, within which bounds, and how a change is recorded.

They are one document of the store, changed with an entry of the journal. A change takes effect at once in this server
and with the next orders at the agents; an engine that runs keeps those that it was started with.
"""

import math
from typing import Final

import msgspec

from shorthorn.control.records import SETTINGS, Records
from shorthorn.core.model.journal import JournalLine
from shorthorn.core.model.world import Settings
from shorthorn.errors import Forbidden, Invalid, NotFound, OutcomeUnknown, Unavailable
from shorthorn.ports.clock import Clock
from shorthorn.ports.store import Done, NewEntry, Store, Unknown

DAY_S: Final = 86400.0
TRIES_MAX: Final = 16
SUBJECT: Final = "cluster"
"""Subject of the journal's entries about settings."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. `whole`: a count. `endless`: may be None, for as long as it takes. `fixed`: why nobody may change it."""

    name: str
    meaning: str
    least: float = 0
    most: float = DAY_S
    whole: bool = False
    endless: bool = False
    fixed: str = ""


ALL: Final = (
    Setting(name="replicas_auto_max", meaning="replicas of a volume with `replicas auto`", least=1, most=16, whole=True),
    Setting(name="rebuilds_per_node_max", meaning="replicas copied to one node at a time", least=1, most=64, whole=True),
    Setting(name="rebuilds_max", meaning="replicas copied in the cluster at a time", least=1, most=1024, whole=True),
    Setting(
        name="unreachable_after_s", least=3, most=3600,
        meaning="seconds of silence after which a node is unreachable; agents speak every 2 s",
    ),
    Setting(
        name="grant_s", meaning="seconds for which a replica's answer lets others be read (T)",
        fixed="a fence waits for 1.1 times the value that the session's engine was started with",
    ),
    Setting(name="silence_s", meaning="seconds without an answer after which an engine counts a replica as lost", least=3, most=600),
    Setting(name="open_grace_s", meaning="seconds that an open waits for missing replicas", most=3600),
    Setting(name="open_grace_torn_s", meaning="the same while all that answered lost power", most=3600),
    Setting(name="close_s", meaning="seconds that the close of a session may take", least=1, most=600),
    Setting(
        name="replace_after_s", most=30 * DAY_S,
        meaning="seconds that a replica may be away before another one is placed",
    ),
    Setting(
        name="space_wait_s", most=30 * DAY_S, endless=True,
        meaning="seconds that a write waits for space before it fails; forever: as long as it takes",
    ),
)  # fmt: skip
"""Every setting but the cluster's uid, which is no setting."""

_BY_NAME: Final = {setting.name: setting for setting in ALL}


def checked(name: str, value: float | None) -> Setting:
    """The setting, if `value` is possible for it. Raises `NotFound`, `Forbidden` or `Invalid` in one line otherwise."""
    setting = _BY_NAME.get(name)
    if setting is None:
        raise NotFound(f"there is no setting {name[:70]!r}; `shorthorn setting list` names them all")
    if setting.fixed:
        raise Forbidden(f"{name} can't be changed: {setting.fixed}")
    if value is None:
        if not setting.endless:
            raise Invalid(f"{name} must be a number from {setting.least:.10g} to {setting.most:.10g}")
        return setting
    if not math.isfinite(value) or not setting.least <= value <= setting.most:
        raise Invalid(f"{name} must be from {setting.least:.10g} to {setting.most:.10g}, not {value:.10g}")
    if setting.whole and value != int(value):
        raise Invalid(f"{name} must be a whole number, not {value:.10g}")
    return setting


class SettingsKeeper:
    """Changes settings."""

    def __init__(self, store: Store, records: Records, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._clock = clock

    async def change(self, name: str, value: float | None, cause: str) -> Settings:
        """Record another value; a repeat changes nothing. Raises what `checked` raises, `Unavailable`, `OutcomeUnknown`."""
        setting = checked(name, value)
        new = int(value) if setting.whole and value is not None else value
        for _ in range(TRIES_MAX):
            document = await SETTINGS.get(self._store, "")
            if document is None:
                raise Unavailable("the store holds no cluster")
            before = getattr(document.value, name)
            if before == new:
                return document.value
            after = msgspec.structs.replace(document.value, **{name: new})
            entry = self._entry(f"{name} set to {shown(new)}, was {shown(before)}", cause)
            result = await self._store.commit(
                {SETTINGS.key(""): SETTINGS.replace(document, after)}, journal=[entry]
            )
            if isinstance(result, Done):
                self._records.note_settings(result.revision, after)
                return after
            if isinstance(result, Unknown):
                raise OutcomeUnknown(f"{name} may have been changed", context=result.reason)
        raise Unavailable("the settings change faster than this request could follow; try again")

    def _entry(self, line: str, cause: str) -> NewEntry:
        body = JournalLine(
            at=self._clock.wall_s(),
            subject=SUBJECT,
            name=SUBJECT,
            event="setting_changed",
            line=line,
            cause=cause,
            version=0,
        )
        return NewEntry(SUBJECT, msgspec.json.encode(body))


def shown(value: float | None) -> str:
    """A value in words."""
    return "forever" if value is None else f"{value:.10g}"
