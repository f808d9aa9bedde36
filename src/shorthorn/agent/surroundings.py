"""What every part of a running agent needs: its folder, machine, programs, the owner of its tasks, one way to say that
something changed.
"""

import asyncio
from collections.abc import Callable
from pathlib import PurePath

import msgspec

from shorthorn.agent.node_folder import NodeFolder
from shorthorn.agent.options import Programs
from shorthorn.core.model.ids import NodeName
from shorthorn.ports.clock import Clock
from shorthorn.ports.files import Files
from shorthorn.ports.machine import Machine
from shorthorn.ports.processes import Processes


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Given to engines, disks and links. `changed` makes the agent look again, soon; it may be called at any time."""

    node: NodeName
    folder: NodeFolder
    machine: Machine
    programs: Programs
    listen: str
    files: Files
    processes: Processes
    clock: Clock
    group: asyncio.TaskGroup
    changed: Callable[[], None]

    def last_complaint(self, log_file: PurePath) -> str:
        """The last line of one of our programs, unless it is routine: of the level info."""
        words = self.processes.last_words(log_file)
        return "" if words.startswith("info ") else words
