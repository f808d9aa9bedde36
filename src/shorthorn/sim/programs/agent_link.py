"""A program's link to the agent of its node: dialled again for as long as the program lives. Nothing waits for it.

One JSON line is one message of the simulated connection. What a program says while the link is away is dropped, and said
anew after the next hello. Source: crates/shorthorn-engine/src/agent_link.rs, crates/shorthorn-replica/src/agent_link.rs.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.sim.machine.network import Endpoint
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.surroundings import Log, Surroundings

PAUSE_FIRST_S: Final = 0.1
PAUSE_LAST_S: Final = 1.0

_to_program: msgspec.json.Decoder[lines.ToProgram] = msgspec.json.Decoder(lines.ToProgram)
_encode: Final = msgspec.json.Encoder().encode


class Owner(NamedTuple):
    """Whom a link tells: that it stands, what came, that it has ended."""

    up: Callable[[], object]
    taken: Callable[[lines.ToProgram], object]
    down: Callable[[], object]


class AgentLink:
    """The link, standing or not."""

    def __init__(
        self, process: Process, around: Surroundings, log: Log, path: str, hello: lines.Hello, owner: Owner
    ) -> None:
        self._process = process
        self._network = around.network
        self._log = log
        self._address = f"{process.machine.name}/{path}"
        self._hello = _encode(hello) + b"\n"
        self._up, self._taken, self._down = owner
        self._endpoint: Endpoint | None = None
        self._pause_s = PAUSE_FIRST_S
        self._missed = False

    @property
    def is_up(self) -> bool:
        """Whether something said now may arrive."""
        return self._endpoint is not None

    def dial(self) -> None:
        """Dial for the first time, now."""
        self._network.dial(self._process, self._address, self._dialled)

    def say(self, line: lines.FromProgram) -> None:
        """Say it, if anybody is there."""
        if self._endpoint is not None:
            data = _encode(line) + b"\n"
            self._endpoint.send(data, len(data))

    def hang_up(self) -> None:
        """The program ends: what was said still arrives."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    def _dialled(self, found: Endpoint | OSError) -> None:
        if isinstance(found, OSError):
            if not self._missed:
                self._log.warn("agent is away", why=found)
            self._missed = True
            self._dial_later()
            return
        self._missed = False
        self._log.info("agent connected")
        self._endpoint = found
        found.send(self._hello, len(self._hello))
        self._up()
        # Only now: what comes at once is about a link that its owner knows of.
        found.on_end = lambda why: self._ended(found, why)
        found.on_message = self._take

    def _take(self, data: bytes) -> None:
        self._pause_s = PAUSE_FIRST_S
        self._taken(_to_program.decode(data))

    def _ended(self, endpoint: Endpoint, why: str) -> None:
        if self._endpoint is not endpoint:
            return
        self._log.warn("agent link ended", why=why)
        self._endpoint, self._missed = None, True
        self._down()
        self._dial_later()

    def _dial_later(self) -> None:
        self._process.loop.call_later(self._pause_s, self.dial)
        self._pause_s = min(2 * self._pause_s, PAUSE_LAST_S)
