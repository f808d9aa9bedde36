"""Who holds the volumes: attaches them, moves them from node to node, and lets go of one that was opened as broken.

Its clients follow it, or some stay for a while at an engine whose session is over, as a program does that was forgotten
on a node that nobody reaches.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.nbd import socket_of
from tests.support.register_clients import RegisterClients
from tests.support.spaced import CallRefused, SpacedCluster

HOLDER = "chaos"
REQUEST_S = 120.0
"""Bound on a request's effect while programs come and go: a detach may need a fence, an attach a grace time."""

EVICT_S = 40.0
"""So long an eviction may take; then it is cancelled."""

AGAIN = frozenset({409, 503})
"""Refusals that may be over a moment later: not now, and no store."""


class Consumer:
    """Of all volumes."""

    def __init__(self, cluster: SpacedCluster) -> None:
        self.where: dict[str, str] = {}
        self.clients: dict[str, RegisterClients] = {}
        self.evictions: Counter[str] = Counter()
        self._cluster = cluster

    def attach(self, volume: str, node: str) -> str:
        """The path of its socket, once it is served."""
        self._ask("PUT", f"/v1/volumes/{volume}/attachments/{HOLDER}", {"node": node})
        self._wait(lambda: self._is(volume, "attached"), f"{volume} is attached at {node}")
        self.where[volume] = node
        return socket_of(self._cluster.endpoint(volume))

    def detach(self, volume: str) -> None:
        """Once it is confirmed."""
        self._ask("DELETE", f"/v1/volumes/{volume}/attachments/{HOLDER}")
        self._wait(lambda: self._is(volume, "detached"), f"{volume} is detached")

    def move(self, volume: str, node: str, stay: int = 0) -> None:
        """To another node, with its clients; `stay` of them remain where they are."""
        self.detach(volume)
        self.clients[volume].move(self.attach(volume, node), stay)

    def let_go_of_broken(self) -> None:
        """A session that is broken serves nobody until its clients from before have let go (A2)."""
        for volume in self.clients:
            if self._cluster.volume(volume)["broken"]:
                self.move(volume, self.where[volume])

    def evict(self, node: str, cancel_after_s: float | None) -> None:
        """Empty a node, or cancel that half-way; it is in use again afterwards. `evictions` counts what came of it.

        While faults last there may be no place, or no source: then it ends without effect, which must be harmless.
        """
        self._ask("PUT", f"/v1/nodes/{node}/eviction")
        began, said = time.monotonic(), ""
        if cancel_after_s is not None:
            time.sleep(cancel_after_s)
            said = self._eviction(node)
        while cancel_after_s is None and said != "done" and time.monotonic() - began < EVICT_S:
            time.sleep(0.2)
            said = self._eviction(node)
        self._ask("DELETE", f"/v1/nodes/{node}/eviction")
        self.evictions["emptied" if said == "done" else f"cancelled while {said or 'unheard'}"] += 1

    def _eviction(self, node: str) -> str:
        with contextlib.suppress(AssertionError):  # the server is away just now
            return str(self._cluster.node(node)["eviction"])
        return ""

    def _is(self, volume: str, state: str) -> bool:
        return bool(self._cluster.volume(volume)["state"] == state)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self._cluster.wait(condition, what, REQUEST_S)

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Until the server has taken it: it may be away just now. Requests are idempotent."""
        began = time.monotonic()
        while True:
            try:
                return self._cluster.call(method, path, body)
            except AssertionError as error:
                for_good = isinstance(error, CallRefused) and error.status not in AGAIN
                if for_good or time.monotonic() - began > REQUEST_S:
                    raise
            time.sleep(0.2)
