"""One line of the journal: what changed, why, and on whose word. Append-only; committed with the change itself."""

from shorthorn.core.model.record import Record


class JournalLine(Record):
    """`at` is wall-clock time for people, in seconds since 1970; no decision reads it.

    `subject` is the uid of the volume or the name of the node, `name` what people call it. `event` names the event's
    kind, `cause` who asked: a holder, a person, a planner, an agent. `version` is the document's after the change.
    """

    at: float
    subject: str
    name: str
    event: str
    line: str
    cause: str
    version: int
