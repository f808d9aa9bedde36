"""Connections to replicas, as an engine or a copier has them: dialled, sent on, heard, hung up.

Source: crates/shorthorn-engine/src/peer.rs, crates/shorthorn-replica/src/task_peer.rs. Names need no resolver here.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from shorthorn.native._native import Connected, Disconnected, Replied, Reply, Request, Unreachable
from shorthorn.sim.machine.network import Endpoint
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.keepalive import KeepAlive, Patience
from shorthorn.sim.programs.surroundings import Surroundings

FRAME_BYTES: Final = 64
"""Of a message without data: what it takes on the network, about."""

News: TypeAlias = Connected | Unreachable | Disconnected | Replied


class Peer:
    """The connection to one replica. `dial` counts: what comes of an older one is of no interest."""

    __slots__ = ("dial", "endpoint", "limit")

    def __init__(self) -> None:
        self.dial = 0
        self.endpoint: Endpoint | None = None
        self.limit: asyncio.TimerHandle | None = None


class Peers:
    """All of them, by the machine's index. `feed` gets the events."""

    def __init__(
        self,
        process: Process,
        around: Surroundings,
        *,
        dial_limit_s: float,
        patience: Patience,
        feed: Callable[[News], object],
    ) -> None:
        self._process = process
        self._network = around.network
        self._coded = around.coded
        self._dial_limit_s = dial_limit_s
        self._patience = patience
        self._feed = feed
        self._peers: dict[int, Peer] = {}

    def dial(self, replica: int, address: str) -> None:
        """Connect; an event tells what came of it."""
        self.hang_up(replica)
        peer = self._peers[replica]
        dial = peer.dial
        peer.limit = self._process.loop.call_later(self._dial_limit_s, self._too_late, replica, dial)
        self._network.dial(self._process, address, lambda found: self._dialled(replica, dial, found))

    def hang_up(self, replica: int) -> None:
        """End the connection or the dial; nothing more of it is told."""
        peer = self._peers.setdefault(replica, Peer())
        peer.dial += 1
        if peer.limit is not None:
            peer.limit.cancel()
            peer.limit = None
        if peer.endpoint is not None:
            peer.endpoint.close()
            peer.endpoint = None

    def send(self, replica: int, tag: int, request: Request) -> None:
        """Send a request; nothing happens without a connection."""
        peer = self._peers.get(replica)
        if peer is None or peer.endpoint is None:
            return
        if self._coded:
            frame = request.encode(tag)
            peer.endpoint.send(frame, len(frame))
        else:
            peer.endpoint.send((tag, request), FRAME_BYTES + request.payload)

    def hang_up_all(self) -> None:
        """The program ends."""
        for replica in self._peers:
            self.hang_up(replica)

    def _dialled(self, replica: int, dial: int, found: Endpoint | OSError) -> None:
        peer = self._peers[replica]
        if peer.dial != dial:
            if not isinstance(found, OSError):
                found.close()
            return
        if peer.limit is not None:
            peer.limit.cancel()
            peer.limit = None
        if isinstance(found, OSError):
            self._feed(Unreachable(replica, str(found)))
            return
        peer.endpoint = found
        self._feed(Connected(replica))
        if peer.endpoint is found:
            found.on_end = lambda why: self._ended(replica, found, why)
            KeepAlive(self._network, found, self._patience, found.on_end)
            found.on_message = (
                self._coded_taker(replica, found) if self._coded else self._taker(replica, found)
            )

    def _taker(self, replica: int, endpoint: Endpoint) -> Callable[[tuple[int, Reply]], None]:
        peer, feed = self._peers[replica], self._feed

        def take(message: tuple[int, Reply]) -> None:
            if peer.endpoint is endpoint:
                feed(Replied(replica, message[0], message[1]))

        return take

    def _coded_taker(self, replica: int, endpoint: Endpoint) -> Callable[[bytes], None]:
        take = self._taker(replica, endpoint)

        def decode(frame: bytes) -> None:
            decoded = Reply.decode(frame)
            if decoded is None or decoded[2]:
                raise AssertionError("a frame is not one whole message")
            take((decoded[0], decoded[1]))

        return decode

    def _ended(self, replica: int, endpoint: Endpoint, why: str) -> None:
        peer = self._peers[replica]
        if peer.endpoint is endpoint:
            peer.dial += 1
            peer.endpoint = None
            self._feed(Disconnected(replica, why))

    def _too_late(self, replica: int, dial: int) -> None:
        peer = self._peers[replica]
        if peer.dial == dial and peer.endpoint is None:
            peer.dial += 1
            peer.limit = None
            self._feed(Unreachable(replica, "it did not answer in time"))
