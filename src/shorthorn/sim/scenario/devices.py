"""Clients in scenarios: one device for each volume and node, opened when it is first used, and kept until it is gone."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shorthorn.core.model.ids import VolumeUid
from shorthorn.core.model.volume import SessionPhase, Volume
from shorthorn.sim.cluster.clients import Client
from shorthorn.sim.cluster.cluster import Cluster
from shorthorn.sim.judges.histories import value_of

GONE = "cut"
"""What `Client` says when its connection ended before an answer."""


@dataclass(slots=True)
class Told:
    """A request; `answer` is empty until there is one."""

    answer: str = ""


@dataclass(slots=True)
class Devices:
    """All of them, by volume and node. A volume's name may come back with another uid."""

    cluster: Cluster
    _open: dict[tuple[VolumeUid, str], Client] = field(default_factory=dict)
    _dialling: set[tuple[VolumeUid, str, int]] = field(default_factory=set)
    _last: dict[tuple[str, str], Client] = field(default_factory=dict)

    def ready(self, name: str, node: str) -> bool:
        """Whether there is a device to ask; begins to open it if there is not. One that is gone counts, if named by node."""
        volume = self.cluster.volume(name)
        if node and (name, node) in self._last and (volume is None or volume.held_at != node):
            return True
        if volume is None or volume.session is None or volume.session.phase is not SessionPhase.OPEN:
            return False
        at, epoch = volume.session.node, volume.session.epoch
        if node and node != at:
            return (name, node) in self._last
        client = self._open.get((volume.uid, at))
        if client is not None and client.epoch == epoch and not client.device.gone:
            return True
        if (volume.uid, at, epoch) not in self._dialling:
            self._dial(name, volume, at)
        return False

    def of(self, name: str, node: str) -> Client:
        """The device. Raises KeyError: none was opened there."""
        if not node:
            volume = self.cluster.volume(name)
            node = (volume.held_at if volume else None) or ""
        client = self._last.get((name, node))
        if client is None:
            raise KeyError(f"nobody opened a device of {name} at {node or 'any node'}")
        return client

    def ask(self, client: Client, work: Callable[[Client], object]) -> Told:
        """Begin a request in the clients' process of that machine."""
        told = Told()

        async def run() -> None:
            told.answer = _words(await work(client))  # type: ignore[misc]

        if client.process.ended:
            told.answer = "no answer: its machine is off"
        else:
            client.process.deliver(lambda _: client.process.loop.create_task(run()), None)
            client.process.when_ended(lambda _: _off(told))
        return told

    def _dial(self, name: str, volume: Volume, node: str) -> None:
        process = self.cluster.clients.process(node)
        assert volume.session is not None
        key = (volume.uid, node, int(volume.session.epoch))
        if process is None:
            return
        self._dialling.add(key)

        async def run() -> None:
            try:
                client = await self.cluster.clients.connect(process, volume)
            except OSError:
                client = None
            if client is not None:
                self._open[volume.uid, node] = self._last[name, node] = client
            self._dialling.discard(key)

        process.deliver(lambda _: process.loop.create_task(run()), None)
        process.when_ended(lambda _: self._dialling.discard(key))


def _off(told: Told) -> None:
    told.answer = told.answer or "no answer: its machine is off"


def _words(result: object) -> str:
    """`done`, the number that was read, or what went wrong."""
    if isinstance(result, bytes):
        value = value_of(result)
        return str(value) if isinstance(value, int) else "parts of " + ", ".join(map(str, sorted(set(value))))
    if result == GONE:
        return "no answer: the device is gone"
    return f"error: {result}" if result else "done"
