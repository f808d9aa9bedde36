"""What every part of a running agent needs: its folder, machine, programs, the owner of its tasks, one way to say that
something changed.
"""

import asyncio
from collections.abc import Callable

import msgspec

from shorthorn.agent.node_folder import NodeFolder
from shorthorn.agent.options import Programs
from shorthorn.core.model.ids import NodeName
from shorthorn.ports.clock import Clock
from shorthorn.ports.machine import Machine


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Given to engines, disks and links. `changed` makes the agent look again, soon; it may be called at any time."""

    node: NodeName
    folder: NodeFolder
    machine: Machine
    programs: Programs
    listen: str
    clock: Clock
    group: asyncio.TaskGroup
    changed: Callable[[], None]
