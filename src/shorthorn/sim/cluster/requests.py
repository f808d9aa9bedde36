"""People and consumers: what they ask, repeated until a server answers, as a client of the API would."""

import asyncio
from collections.abc import Callable
from typing import Final

from shorthorn.errors import AlreadyExists, OutcomeUnknown, RequestError, ShorthornError, Unavailable
from shorthorn.sim.cluster.calls import Caller
from shorthorn.sim.machine.machine import Machine
from shorthorn.sim.machine.network import Network
from shorthorn.sim.machine.process import Process

PATIENCE_S: Final = 30.0
"""So long somebody goes on asking while no server answers."""

PAUSE_S: Final = 0.5

NO_ANSWER: Final = "no server answers"


class Office:
    """A machine without faults, where requests come from."""

    def __init__(self, machine: Machine, network: Network) -> None:
        self._machine = machine
        self._network = network
        self._callers: list[Caller] = []
        self._at = 0
        self._process = machine.spawn("people", self._main)
        self.under_way = 0

    async def _main(self, process: Process) -> None:
        await process.loop.create_future()

    def knows(self, address: str) -> None:
        """Another server."""
        self._callers.append(Caller(self._process, self._network, address))

    def ask(self, then: Callable[[str], None], name: str, *arguments: object) -> None:
        """Ask for something; `then` gets the refusal's words, empty when it was done."""
        self.under_way += 1
        self._process.deliver(lambda _: self._begin(then, name, arguments), None)

    def _begin(self, then: Callable[[str], None], name: str, arguments: tuple[object, ...]) -> None:
        self._process.loop.create_task(self._ask(then, name, arguments))

    async def _ask(self, then: Callable[[str], None], name: str, arguments: tuple[object, ...]) -> None:
        loop = self._process.loop
        end_s, unsure = loop.time() + PATIENCE_S, False
        words = NO_ANSWER
        while loop.time() < end_s:
            at = self._at
            try:
                await self._callers[at].call(name, *arguments)
                words = ""
                break
            except AlreadyExists as error:
                words = "" if unsure else error.message
                break
            except RequestError as error:
                words = error.message
                break
            except (Unavailable, OutcomeUnknown):
                unsure = True
                if self._at == at:
                    self._at = (at + 1) % len(self._callers)
                await asyncio.sleep(PAUSE_S)
            except ShorthornError as error:
                words = error.message
                break
        self.under_way -= 1
        then(words)
