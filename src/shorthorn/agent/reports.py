"""Sightings to the server: whole on change, a beat every 2 s otherwise.

Changes that come together are told together; mere progress is told once a second. Whether a sighting is news is judged
without what only ages.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from shorthorn.agent.backoff import Backoff
from shorthorn.agent.outside import Server
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import RequestError, ShorthornError
from shorthorn.links.messages import Beat

log = logging.getLogger(__name__)

replace = msgspec.structs.replace

BEAT_S: Final = 2.0
"""A node counts as unreachable after 5 s of silence (a setting): two beats may be lost."""

TOGETHER_S: Final = 0.05
"""How long the first change waits for others: unseen by a person, enough for a burst of lines."""

PROGRESS_S: Final = 1.0
"""Between two sightings that differ in nothing but progress: people read it, nothing is decided on it."""

PAUSE_S: Final = 0.05
"""After a sighting, so that there are at most about ten a second."""


class Reports:
    """Sends what `look` returns. `refused` is called when the server will not hear this node as it is."""

    def __init__(
        self,
        server: Server,
        look: Callable[[], NodeSighting],
        refused: Callable[[], Awaitable[None]],
    ) -> None:
        self._server = server
        self._look = look
        self._refused = refused
        self._changed = asyncio.Event()
        self._sequence = 0
        self._told: NodeSighting | None = None

    def changed(self) -> None:
        """Something may be news."""
        self._changed.set()

    async def send(self) -> None:
        """Report for ever."""
        backoff = Backoff()
        while True:
            try:
                await self._send_once()
            except ShorthornError as error:
                if not backoff.failing:
                    log.warning("sightings do not reach the server: %s", error.message)
                self._told = None
                await backoff.pause()
                if isinstance(error, RequestError):
                    await self._refused()
                continue
            if backoff.failing:
                log.info("sightings reach the server again")
            backoff.succeeded()
            await self._news_or_beat()

    async def _send_once(self) -> None:
        """Tell what is news, or that nothing is."""
        self._changed.clear()
        sighting = self._look()
        if self._told is not None and not _news(self._told, sighting):
            beat = Beat(node=sighting.node, boot_id=sighting.boot_id, sequence=self._sequence)
            if await self._server.send_beat(beat):
                return
        self._sequence += 1
        sighting = msgspec.structs.replace(sighting, sequence=self._sequence)
        self._told = None
        await self._server.send_sighting(sighting)
        self._told = sighting

    async def _news_or_beat(self) -> None:
        await asyncio.sleep(PAUSE_S)
        loop = asyncio.get_running_loop()
        progress_at = loop.time() + PROGRESS_S - PAUSE_S
        beat_at = loop.time() + BEAT_S - PAUSE_S
        while True:
            try:
                async with asyncio.timeout_at(beat_at):
                    await self._changed.wait()
            except TimeoutError:
                return
            await asyncio.sleep(TOGETHER_S)
            self._changed.clear()
            sighting = self._look()
            if self._told is None or _without_progress(self._told) != _without_progress(sighting):
                return
            if _news(self._told, sighting):
                beat_at = min(beat_at, progress_at)


def _news(told: NodeSighting, seen: NodeSighting) -> bool:
    """Whether the server should hear it. It carries on the ages of tasks by itself."""
    return _ageless(told) != _ageless(seen)


def _without_progress(sighting: NodeSighting) -> NodeSighting:
    tasks = tuple(replace(task, for_s=0.0, done=0) for task in sighting.tasks)
    engines = tuple(
        replace(engine, resyncs=tuple(replace(resync, done=0) for resync in engine.resyncs))
        for engine in sighting.engines
    )
    return replace(sighting, sequence=0, tasks=tasks, engines=engines)


def _ageless(sighting: NodeSighting) -> NodeSighting:
    tasks = tuple(replace(task, for_s=0.0) for task in sighting.tasks)
    return replace(sighting, sequence=0, tasks=tasks)
