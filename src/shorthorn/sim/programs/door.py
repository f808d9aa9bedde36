"""The engine's clients: who waits at the door, who is in, and whose request is taken next.

Clients may come once the record is asked to open the session; nobody is let in before it has answered (docs/protocol.md,
B2). Source: crates/shorthorn-engine/src/{endpoint,clients,client}.rs.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from shorthorn.native._native import (
    ClientData,
    ClientFlush,
    ClientGone,
    ClientRead,
    ClientWrite,
    ClientZero,
)
from shorthorn.sim.machine.network import Endpoint
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.device import REQUEST_BYTES, Answer, Asked, Flush, Greeting, Read, Write, Zero
from shorthorn.sim.programs.surroundings import Log, Surroundings

CLIENTS_MAX: Final = 128
"""Most at once."""

ClientEvent = ClientRead | ClientWrite | ClientZero | ClientFlush | ClientGone


class Door:
    """`feed` gets the events; `can_take`: whether a request may be fed now; `changed`: somebody came or went."""

    def __init__(
        self,
        process: Process,
        around: Surroundings,
        log: Log,
        greeting: Greeting,
        *,
        feed: Callable[[ClientEvent], object],
        can_take: Callable[[], bool],
        changed: Callable[[], object],
    ) -> None:
        self._process = process
        self._network = around.network
        self._log = log
        self._greeting = greeting
        self._feed, self._can_take, self._changed = feed, can_take, changed
        self._address: str | None = None
        self._knocking: list[Endpoint] | None = []
        self._clients: dict[int, Endpoint] = {}
        self._serial = 0
        self._waiting: deque[tuple[int, Asked]] = deque()

    @property
    def count(self) -> int:
        """How many are in."""
        return len(self._clients)

    def listen(self, path: str) -> None:
        """Have those who come wait. May be called again. Raises `OSError`."""
        if self._address is None:
            self._address = self._network.listen(self._process, path, self._knock, local=True)

    def serve(self, path: str) -> None:
        """Let in who waits, and who comes. Raises `OSError`."""
        self.listen(path)
        knocking, self._knocking = self._knocking, None
        for endpoint in knocking or ():
            self._let_in(endpoint)

    def stop(self, *, break_clients: bool) -> None:
        """Let nobody in any more; with `break_clients` end every connection now."""
        if self._address is not None:
            self._network.unlisten(self._address)
            self._address = None
        for endpoint in self._knocking or ():
            endpoint.abort()
        self._knocking = []
        if break_clients:
            self._waiting.clear()
            clients, self._clients = self._clients, {}
            for endpoint in clients.values():
                endpoint.abort()

    def leave(self) -> None:
        """The program ends: what was answered still arrives."""
        for endpoint in self._clients.values():
            endpoint.close()
        self._clients.clear()

    def answer(self, effect: Answer) -> None:
        """Who has gone does not hear it."""
        endpoint = self._clients.get(effect.client)
        if endpoint is not None:
            size = len(effect.data) if isinstance(effect, ClientData) else 0
            endpoint.send(effect, REQUEST_BYTES + size)

    def go_on(self) -> None:
        """Feed requests that found no room before."""
        while self._waiting and self._can_take():
            client, asked = self._waiting.popleft()
            if client in self._clients:
                self._feed(_event(client, asked))

    def _knock(self, endpoint: Endpoint) -> None:
        if self._knocking is None:
            self._let_in(endpoint)
        else:
            self._knocking.append(endpoint)

    def _let_in(self, endpoint: Endpoint) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            self._log.warn("client refused", why=f"{CLIENTS_MAX} clients are connected")
            endpoint.close()
            return
        self._serial += 1
        client = self._serial
        self._clients[client] = endpoint
        self._log.info("client connected", client=client)
        endpoint.send(self._greeting, REQUEST_BYTES)
        endpoint.on_end = lambda why: self._gone(client, why)
        endpoint.on_message = lambda asked: self._take(client, asked)
        self._changed()

    def _take(self, client: int, asked: Asked) -> None:
        if client not in self._clients:
            return
        if self._waiting or not self._can_take():
            self._waiting.append((client, asked))
        else:
            self._feed(_event(client, asked))

    def _gone(self, client: int, why: str) -> None:
        if self._clients.pop(client, None) is None:
            return
        self._log.info("client gone", client=client, why=why)
        self._feed(ClientGone(client))
        self._changed()


def _event(client: int, asked: Asked) -> ClientEvent:
    match asked:
        case Write(cookie, offset, data, fua):
            return ClientWrite(client, cookie, offset, data, fua)
        case Read(cookie, offset, length):
            return ClientRead(client, cookie, offset, length)
        case Flush(cookie):
            return ClientFlush(client, cookie)
        case Zero(cookie, offset, length, punch, fua):
            return ClientZero(client, cookie, offset, length, punch, fua)
