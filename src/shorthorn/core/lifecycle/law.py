"""The only way to change a volume: `apply(volume, event)`, a table of guarded transitions.

Responsible for what may happen; never for what should (planning) nor for what is true outside (sightings). A refusal
changes nothing and says why. The rows are written by topic: `volumes`, `attachments`, `sessions`, `replicas`,
`membership`, `tasks`.
Source: docs/design.md section 3; docs/protocol.md section 3.
"""

from shorthorn.core.lifecycle import attachments, membership, replicas, sessions, tasks, volumes
from shorthorn.core.lifecycle.attachments import check_attach
from shorthorn.core.lifecycle.events import VolumeEvent
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested, UseConfirmed, UseStarted
from shorthorn.core.lifecycle.transition import Transition
from shorthorn.core.lifecycle.volumes import create
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import Volume

__all__ = ["TABLE", "AnyEvent", "apply", "attach", "check_attach", "create"]

AnyEvent = VolumeEvent | AttachRequested | DetachRequested | UseStarted | UseConfirmed
"""All that the law answers: for those who pass events on without knowing the consumers' requests."""

TABLE: dict[type, Transition] = {
    **volumes.ROWS,
    **attachments.ROWS,
    **sessions.ROWS,
    **replicas.ROWS,
    **membership.ROWS,
    **tasks.ROWS,
}
"""Event type to row: all that can ever happen to a volume."""


def apply(volume: Volume, event: AnyEvent) -> Accepted[Volume] | Refused:
    """What becomes of `volume` by `event`.

    Accepted: the version is one greater, `value` None removes the document; `changed` False: it was true before and
    nothing is to be committed. Refused: nothing changed.
    """
    return TABLE[type(event)].apply(volume, event)


def attach(volume: Volume, node: Node | None, event: AttachRequested) -> Accepted[Volume] | Refused:
    """`apply` for a new attachment with what the node's record says; commit it with that record unchanged.

    A repeat of an attachment that exists is accepted whatever became of the node.
    """
    outcome = apply(volume, event)
    if isinstance(outcome, Refused) or not outcome.changed:
        return outcome
    return check_attach(node, event) or outcome
