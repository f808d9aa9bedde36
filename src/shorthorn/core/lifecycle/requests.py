"""The requests of consumers: the only events that add or remove an attachment (S1).

An import contract forbids planning, control and agents to import this module: no maintenance could attach anything,
because there is no code that could.
"""

from shorthorn.core.model.ids import Holder, NodeName
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Mode


class AttachRequested(Record, tag="attach_requested"):
    """A consumer wants to use the volume on a node. Idempotent for one holder, node and mode."""

    holder: Holder
    node: NodeName
    mode: Mode = Mode.READ_WRITE


class DetachRequested(Record, tag="detach_requested"):
    """A consumer lets go. Idempotent. Removing the last attachment closes the session in the same commit."""

    holder: Holder


class UseStarted(Record, tag="use_started"):
    """A holder is about to make a file system."""

    holder: Holder
    fs: str


class UseConfirmed(Record, tag="use_confirmed"):
    """The file system was made."""

    holder: Holder
    fs: str
