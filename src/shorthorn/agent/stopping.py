"""Ending the programs of a node: of a running agent's, or of a folder that no agent runs in. Bounded, each step.

Engines end first, then replica programs: a close needs the replicas. What does not end in time is killed, and a line
says so; the next session then makes its replicas equal first.
"""

import asyncio
import logging
import signal
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

from shorthorn.agent.disks import Disks
from shorthorn.agent.engines import Engines
from shorthorn.agent.node_folder import read_node, take_agent_lock
from shorthorn.ports.files import Files
from shorthorn.ports.processes import Process, Processes, end, ended_within

log = logging.getLogger(__name__)

TERM_S: Final = 5.0
"""From SIGTERM to SIGKILL."""


async def end_all_engines(engines: Engines, close_s: float) -> None:
    """Have every engine close its session; kill those that do not end in time."""
    await _end_in_time(engines.close_all(), close_s)


async def end_all_replica_programs(disks: Disks, close_s: float) -> None:
    """Have every replica program end once no replica is open; kill those that do not end in time."""
    live = [(f"replica program of {disk}", disk.process) for disk in disks.all if disk.process is not None]
    for disk in disks.all:
        disk.stop()
    await _end_in_time(live, close_s)


async def stop_programs(
    files: Files, processes: Processes, node_folder: PurePath, close_s: float = 30.0
) -> None:
    """End every program of a node whose agent does not run: engines first, then replica programs.

    Without agent and server no clean close can be recorded: engines get `close_s` to flush and end, and the sessions
    are recorded as unclean by the next agent. Raises `NotNow` while an agent runs, `Damaged` for a bad node.json.
    """
    lock = take_agent_lock(files, node_folder)
    try:
        node, engines = read_node(files, node_folder), node_folder / "engines"
        names = files.names(engines) if files.exists(engines) else []
        locks = [engines / name / "lock" for name in names]
        await _end_holders(files, processes, locks, close_s)
        disks = node.disks if node else ()
        locks = [PurePath(disk.path) / "replica.lock" for disk in disks]
        await _end_holders(files, processes, locks, TERM_S)
    finally:
        lock.release()


async def _end_holders(
    files: Files, processes: Processes, lock_files: Iterable[PurePath], grace_s: float
) -> None:
    holders = files.who_holds([path for path in lock_files if files.exists(path)])
    live = []
    for path in sorted(holders):
        try:
            live.append((f"the program of {path.parent}", processes.watch(holders[path])))
        except ProcessLookupError:
            continue  # ended meanwhile
    for _, process in live:
        process.signal(signal.SIGTERM)
    await _end_in_time(live, grace_s)


async def _end_in_time(live: list[tuple[str, Process]], bound_s: float) -> None:
    """Wait for all; SIGTERM what is late, SIGKILL what is later."""
    async with asyncio.TaskGroup() as group:
        for name, process in live:
            group.create_task(_end_one(name, process, bound_s))


async def _end_one(name: str, process: Process, bound_s: float) -> None:
    if await ended_within(process, bound_s):
        return
    log.warning("%s did not end within %.0f s: told to end by signal", name, bound_s)
    if not await end(process, TERM_S):
        log.warning("%s had to be killed", name)
