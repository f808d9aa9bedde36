"""Engines' asks, passed on to the server and answered when it has answered.

While the server is away the ask waits here and is sent again: a commit's outcome that is not known is never told, so
the engine simply waits, as the protocol has it (docs/protocol.md, Write and B2). An ask ends with its engine's link:
the engine asks again on the next one, and a repeat is answered as the first was.
"""

import asyncio
import logging
from typing import Final

from shorthorn.agent.backoff import Backoff
from shorthorn.agent.lines import document_of
from shorthorn.agent.outside import Link, Server
from shorthorn.core.lifecycle.events import Base, ReplicaLost, ReplicaSynced, SessionClosed, SessionOpened
from shorthorn.core.model.ids import Attempt, Epoch, LayerId, ReplicaId, VolumeUid
from shorthorn.errors import ShorthornError
from shorthorn.links import program_lines as wire
from shorthorn.links.messages import EngineAnswer, EngineEvent, EngineOutcome

log = logging.getLogger(__name__)

ASKS_MAX: Final = 64
"""Of one link at a time; an engine has a few replicas, and asks one thing about each at a time."""


class Asks:
    """All asks under way, by link."""

    def __init__(self, server: Server, group: asyncio.TaskGroup) -> None:
        self._server = server
        self._group = group
        self._tasks: dict[Link, dict[asyncio.Task[None], None]] = {}

    def begin(self, link: Link, volume: VolumeUid, ask: wire.Ask) -> None:
        """Pass an ask on. Raises `ValueError` when the program has too many under way."""
        tasks = self._tasks.setdefault(link, {})
        if len(tasks) >= ASKS_MAX:
            raise ValueError(f"it has {ASKS_MAX} asks under way")
        task = self._group.create_task(self._pass_on(link, volume, ask))
        tasks[task] = None  # a dict keeps its order
        task.add_done_callback(lambda task: tasks.pop(task, None))

    def end(self, link: Link) -> None:
        """A link ended: nobody waits for its answers."""
        for task in self._tasks.pop(link, {}):
            task.cancel()

    async def _pass_on(self, link: Link, volume: VolumeUid, ask: wire.Ask) -> None:
        event = EngineEvent(volume=volume, event=_event(ask.ask))
        answer = await self._answer(event)
        outcome = type(event.event).__name__
        if answer.outcome is EngineOutcome.COMMITTED and answer.volume is not None:
            log.info("%s of %s, epoch %d: committed", outcome, volume, ask.ask.epoch)
            session = answer.volume.session
            broken = session is not None and session.epoch == ask.ask.epoch and session.broken
            committed = wire.Committed(document=document_of(answer.volume), broken=broken)
            link.send(wire.Answer(id=ask.id, answer=committed))
        else:
            log.info("%s of %s, epoch %d: refused: %s", outcome, volume, ask.ask.epoch, answer.why)
            link.send(wire.Answer(id=ask.id, answer=wire.Refused(why=answer.why)))

    async def _answer(self, event: EngineEvent) -> EngineAnswer:
        """The server's answer, however long it takes to get one that is known."""
        backoff = Backoff()
        while True:
            try:
                answer = await self._server.ask(event)
            except ShorthornError as error:
                why = error.message
            else:
                if answer.outcome is EngineOutcome.REFUSED or (
                    answer.outcome is EngineOutcome.COMMITTED and answer.volume is not None
                ):
                    return answer
                why = answer.why or "the outcome is unknown"
            if not backoff.failing:
                log.warning("an ask of an engine of %s waits: %s", event.volume, why)
            await backoff.pause()


def _event(
    ask: wire.AskOpened | wire.AskLost | wire.AskSynced | wire.AskClosed,
) -> SessionOpened | ReplicaLost | ReplicaSynced | SessionClosed:
    epoch = Epoch(ask.epoch)
    match ask:
        case wire.AskOpened():
            members = tuple(ReplicaId(m) for m in ask.members)
            return SessionOpened(epoch=epoch, members=members, broken=ask.broken, endpoint=ask.endpoint)
        case wire.AskLost():
            return ReplicaLost(
                epoch=epoch,
                replica=ReplicaId(ask.replica),
                attempt=Attempt(ask.attempt),
                witness=ReplicaId(ask.witness),
                why=ask.why,
            )
        case wire.AskSynced():
            return ReplicaSynced(
                epoch=epoch,
                replica=ReplicaId(ask.replica),
                attempt=Attempt(ask.attempt),
                base=Base(chain=tuple(LayerId(layer) for layer in ask.base.chain), size=ask.base.size),
            )
        case wire.AskClosed():
            evidence = f"the engine's own word{': ' + ask.why if ask.why else ''}"
            return SessionClosed(epoch=epoch, clean=ask.clean, evidence=evidence)
