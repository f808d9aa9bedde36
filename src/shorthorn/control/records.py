"""The recorded documents in memory, following the store.

Readers get whole frozen documents with the version to expect. Nothing is changed here (`commit` does that), and what
stands here may be old by the time it is used: every commit names the versions that it was decided on.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType

from shorthorn.control.lease import LEASE
from shorthorn.core.model.ids import ClusterUid, NodeName, VolumeName, VolumeUid
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import Settings
from shorthorn.ports.ids import Ids
from shorthorn.ports.store import Batch, Compacted, Conflict, Done, Store, Stored, Unknown
from shorthorn.store import Collection, Document

log = logging.getLogger(__name__)

VOLUMES = Collection("volume/", Volume)
NODES = Collection("node/", Node)
SETTINGS = Collection("cluster", Settings)


async def found_cluster(store: Store, ids: Ids) -> Document[Settings]:
    """The cluster's settings; a store that has none becomes a new cluster."""
    while (document := await SETTINGS.get(store, "")) is None:
        settings = Settings(cluster=ClusterUid(ids.new("c")))
        match await store.commit({SETTINGS.key(""): SETTINGS.create(settings)}):
            case Done():
                log.info("new cluster %s", settings.cluster)
            case Conflict() | Unknown():
                pass  # read what became of it
    return document


class Records:
    """All volumes and nodes, and the settings, as last heard from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._volumes: dict[VolumeUid, Document[Volume]] = {}
        self._nodes: dict[NodeName, Document[Node]] = {}
        self._settings: Document[Settings] | None = None
        self._gone: set[VolumeUid] = set()
        self._listeners: list[Callable[[], None]] = []
        self.journal_end = 0

    def on_change(self, listener: Callable[[], None]) -> None:
        """`listener` is called after each change that was heard; it must not block."""
        self._listeners.append(listener)

    @property
    def volumes(self) -> Mapping[VolumeUid, Volume]:
        """Every volume, by uid."""
        return MappingProxyType({uid: self._volumes[uid].value for uid in sorted(self._volumes)})

    @property
    def nodes(self) -> Mapping[NodeName, Node]:
        """Every node, by name."""
        return MappingProxyType({name: self._nodes[name].value for name in sorted(self._nodes)})

    @property
    def settings(self) -> Settings:
        """The cluster's. Known once the cluster is found."""
        if self._settings is None:
            raise AssertionError("the settings are read before the cluster was found")
        return self._settings.value

    def volume(self, uid: VolumeUid) -> Document[Volume] | None:
        """One volume with its version."""
        return self._volumes.get(uid)

    def node(self, name: NodeName) -> Document[Node] | None:
        """One node with its version."""
        return self._nodes.get(name)

    def named(self, name: VolumeName) -> Volume | None:
        """The volume of this name; one that is being deleted only if no other has the name."""
        found = [v for v in self.volumes.values() if v.name == name]
        return min(found, key=lambda v: v.deleting, default=None)

    def note_volume(self, uid: VolumeUid, version: int, value: Volume | None) -> None:
        """Take in a document that was read or written, unless a newer one is known. A uid that is gone stays gone (S8)."""
        known = self._volumes.get(uid)
        if uid in self._gone or (known is not None and known.version >= version):
            return
        if value is None:
            self._volumes.pop(uid, None)
            self._gone.add(uid)
        else:
            self._volumes[uid] = Document(key=VOLUMES.key(uid), version=version, value=value)

    def note_settings(self, version: int, value: Settings) -> None:
        """Take in settings that were read or written, unless newer ones are known."""
        if self._settings is None or self._settings.version < version:
            self._settings = Document(key=SETTINGS.key(""), version=version, value=value)

    async def load(self) -> int:
        """List everything; returns the revision to watch from."""
        listing = await self._store.list("")
        self._volumes.clear()
        self._nodes.clear()
        for stored in listing.items:
            if stored.key.startswith(VOLUMES.prefix):
                volume = VOLUMES.decode(stored)
                self._volumes[volume.value.uid] = volume
            elif stored.key.startswith(NODES.prefix):
                node = NODES.decode(stored)
                self._nodes[node.value.name] = node
            elif stored.key == SETTINGS.key(""):
                self.note_settings(stored.version, SETTINGS.decode(stored).value)
        self.journal_end = listing.entries
        return listing.revision + 1

    async def follow(self, revision: int) -> None:
        """Take in every change from `revision` on, for ever; relists when the history is gone."""
        while True:
            try:
                async with aclosing(self._store.watch("", revision)) as watch:
                    async for batch in watch:
                        for change in batch.changes:
                            self._take(change.key, batch.revision, change.value)
                        for entry in batch.journal:
                            self.journal_end = max(self.journal_end, entry.number)
                        if not _is_renewal(batch):
                            self._tell()
            except Compacted:
                log.warning("the store's history was compacted before it was read; listing again")
                revision = await self.load()
                self._tell()
            else:
                return

    def _take(self, key: str, revision: int, value: bytes | None) -> None:
        if key.startswith(VOLUMES.prefix):
            uid = VolumeUid(VOLUMES.name(key))
            document = None if value is None else VOLUMES.decode(Stored(key, revision, value))
            self.note_volume(uid, revision, None if document is None else document.value)
        elif key.startswith(NODES.prefix):
            name = NodeName(NODES.name(key))
            if value is None:
                self._nodes.pop(name, None)
            else:
                self._nodes[name] = NODES.decode(Stored(key, revision, value))
        elif key == SETTINGS.key("") and value is not None:
            self.note_settings(revision, SETTINGS.decode(Stored(key, revision, value)).value)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _is_renewal(batch: Batch) -> bool:
    """Nothing but a renewed lease: nobody has to look at anything for it."""
    return not batch.journal and all(change.key == LEASE.prefix for change in batch.changes)
