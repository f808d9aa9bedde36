"""Features that scenarios may wait for, each with a probe that says whether the code has it yet.

A probe looks for what the feature cannot do without: a command, a module, a field, an event that the law accepts.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from cyclopts import App

from shorthorn.core.lifecycle import law
from shorthorn.core.lifecycle.events import Created, Expanded
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.outcome import Accepted
from shorthorn.core.model.ids import LayerId, VolumeName, VolumeUid
from shorthorn.core.model.volume import Spec
from shorthorn.faces.cli.app import build


@dataclass(frozen=True, slots=True)
class Feature:
    """`exists` is asked of the code as it is."""

    name: str
    exists: Callable[[], bool]


def command(*words: str) -> Callable[[], bool]:
    """The command line has this command."""

    def look() -> bool:
        app: App = build()
        for word in words:
            if word not in set(app):
                return False
            app = app[word]
        return True

    return look


def module(name: str) -> Callable[[], bool]:
    """This module or package is there."""
    return lambda: importlib.util.find_spec(f"shorthorn.{name}") is not None


def spec(word: str) -> Callable[[], bool]:
    """People can say this of a volume."""
    return lambda: any(word in name for name in Spec.__struct_fields__)


def expands() -> bool:
    """The law accepts that a volume grows."""
    created = Created(name=VolumeName("v1"), uid=VolumeUid("u1"), size=4096, spec=Spec(), head=LayerId("l1"))
    volume = law.create(created)
    assert isinstance(volume, Accepted)
    assert volume.value is not None
    return isinstance(law.apply(volume.value, Expanded(size=8192), Grounds(nodes={}, grant_s=2.0)), Accepted)


def upgrades() -> bool:
    """There is an older format that a store can be brought up from."""
    from shorthorn.store import _sqlite_open  # noqa: PLC0415 - a fact about the store, read here only

    return _sqlite_open.FORMAT_VERSION > 1


WAITED_FOR = (
    Feature("drain", command("node", "drain")),
    Feature("node removal", command("node", "remove")),
    Feature("snapshots", command("snapshot")),
    Feature("backups", command("backup")),
    Feature("clones", command("volume", "clone")),
    Feature("expansion", expands),
    Feature("CSI", module("faces.csi")),
    Feature("balance", module("core.planning.balance")),
    Feature("locality", spec("locality")),
    Feature("shared volumes", spec("access")),
    Feature("migration", command("volume", "migrate")),
    Feature("upgrade", upgrades),
)

THERE = (
    Feature("eviction", command("node", "evict")),
    Feature("repair", module("core.planning.repair")),
    Feature("replicas", spec("replicas")),
)
"""Probes of the same kinds that must say yes: one that looks in the wrong place would say no for ever."""
