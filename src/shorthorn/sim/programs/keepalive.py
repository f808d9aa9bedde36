"""What the operating system's keepalive does for the programs' connections: a host that is gone without a word is noticed.

Source: `prepare` in crates/shorthorn-engine/src/peer.rs and crates/shorthorn-replica/src/listener.rs. A process that
stands still answers: its kernel does.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from shorthorn.sim.machine.network import Endpoint, Network

SILENT: Final = "keepalive: no answer"
RESET: Final = "keepalive: nobody there knows this connection"


class Patience(NamedTuple):
    """Seconds: how often it is asked, how often while there is no answer, and how long that may last."""

    idle_s: float
    again_s: float
    limit_s: float


class KeepAlive:
    """Of one connection. `lost` is called once, with why; nothing happens once the endpoint is closed."""

    def __init__(
        self, network: Network, endpoint: Endpoint, patience: Patience, lost: Callable[[str], object]
    ) -> None:
        self._network = network
        self._endpoint = endpoint
        self._patience = patience
        self._lost = lost
        self._silent_s: float | None = None
        endpoint.process.loop.call_later(patience.idle_s, self._ask)

    def _ask(self) -> None:
        endpoint, patience = self._endpoint, self._patience
        if endpoint.closed:
            return
        loop = endpoint.process.loop
        if not self._is_heard():
            now_s = loop.time()
            if self._silent_s is None:
                self._silent_s = now_s
            if now_s - self._silent_s >= patience.limit_s - patience.idle_s:
                self._give_up(SILENT)
            else:
                loop.call_later(patience.again_s, self._ask)
        elif endpoint.other.gone:
            self._give_up(RESET)
        else:
            self._silent_s = None
            loop.call_later(patience.idle_s, self._ask)

    def _is_heard(self) -> bool:
        """Whether the other machine's kernel answers."""
        here, there = self._endpoint.process.machine, self._endpoint.other.process.machine
        if here is there:
            return True
        cut = self._network.is_cut(here.name, there.name) or self._network.is_cut(there.name, here.name)
        return there.powered and not cut

    def _give_up(self, why: str) -> None:
        self._endpoint.abort()
        self._lost(why)
