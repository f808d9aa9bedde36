"""The only way to change a volume: `apply(volume, event)`, a table of guarded transitions.

Responsible for what may happen; never for what should (planning) nor for what is true outside (sightings). A refusal
changes nothing and says why. The rows are written by topic: `volumes`, `attachments`, `sessions`, `fencing`,
`replicas`, `membership`, `tasks`.
Source: docs/design.md section 3; docs/protocol.md section 3.
"""

from shorthorn.core.lifecycle import attachments, fencing, membership, replicas, sessions, tasks, volumes
from shorthorn.core.lifecycle.attachments import check_attach
from shorthorn.core.lifecycle.events import VolumeEvent
from shorthorn.core.lifecycle.grounds import NO_GROUNDS, Grounds
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested, UseConfirmed, UseStarted
from shorthorn.core.lifecycle.transition import Transition
from shorthorn.core.lifecycle.volumes import create
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import Volume

__all__ = ["TABLE", "AnyEvent", "apply", "attach", "check_attach", "create", "rests_on"]

AnyEvent = VolumeEvent | AttachRequested | DetachRequested | UseStarted | UseConfirmed
"""All that the law answers: for those who pass events on without knowing the consumers' requests."""

TABLE: dict[type, Transition] = {
    **volumes.ROWS,
    **attachments.ROWS,
    **sessions.ROWS,
    **fencing.ROWS,
    **replicas.ROWS,
    **membership.ROWS,
    **tasks.ROWS,
}
"""Event type to row: all that can ever happen to a volume."""


def rests_on(volume: Volume, event: AnyEvent) -> tuple[NodeName, ...]:
    """The nodes whose records the answer to `event` needs, beside the volume's."""
    return TABLE[type(event)].rests_on(volume, event)


def apply(volume: Volume, event: AnyEvent, grounds: Grounds = NO_GROUNDS) -> Accepted[Volume] | Refused:
    """What becomes of `volume` by `event`. `grounds` holds the nodes of `rests_on`, which the commit names as unchanged.

    Accepted: the version is one greater, `value` None removes the document; `changed` False: it was true before and
    nothing is to be committed. Refused: nothing changed.
    """
    return TABLE[type(event)].apply(volume, event, grounds)


def attach(volume: Volume, node: Node | None, event: AttachRequested) -> Accepted[Volume] | Refused:
    """`apply` for a new attachment with what the node's record says; commit it with that record unchanged.

    A repeat of an attachment that exists is accepted whatever became of the node.
    """
    outcome = apply(volume, event)
    if isinstance(outcome, Refused) or not outcome.changed:
        return outcome
    return check_attach(node, event) or outcome
