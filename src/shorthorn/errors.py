"""The errors that cross a border between layers: one tree, and nothing beside it.

    ShorthornError             code, message for the user, context for the operator
    ├── RequestError           the caller can fix it; never retried by us
    │   ├── Invalid            the request itself makes no sense
    │   ├── NotFound           it names something that is not there
    │   ├── AlreadyExists      it creates something that is there
    │   ├── Forbidden          it may not be done, by this caller or at all
    │   ├── NoCapacity         there is no room for it
    │   ├── Conflict           based on an old version; carries the current one
    │   └── NotNow             legal, but not in this phase; says what it waits for
    ├── Unavailable            nothing happened, try again later; carries retry_after_s
    ├── OutcomeUnknown         it may have happened; read before you retry
    ├── Fenced                 somebody newer is in charge: stop, do not retry
    └── Damaged                checksum, format or version wrong: never retried, always shown to a person

Every layer but `core` may raise these; in `core` a refusal is a value and an
exception is a bug. What an error becomes outside (HTTP status, exit code) is
chosen by the faces, never here. `message` is one line that a user may read;
`context` is for the operator's log and never reaches the user.
"""

from typing import ClassVar


class ShorthornError(Exception):
    """Root of the tree. Raise a leaf, catch a branch."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, context: str = "") -> None:
        # One line is a promise to whoever prints it; text of others (an SQLite
        # message, a peer's answer) may carry line breaks.
        self.message = " ".join(message.split())
        self.context = context
        super().__init__(self.message)


class RequestError(ShorthornError):
    """The caller can fix it; we never retry it."""

    code = "request"


class Invalid(RequestError):
    """The request itself makes no sense, whatever the state of the system."""

    code = "invalid"


class NotFound(RequestError):
    """The request names something that is not there."""

    code = "not_found"


class AlreadyExists(RequestError):
    """The request creates something that is already there."""

    code = "already_exists"


class Forbidden(RequestError):
    """The request may not be done, by this caller or at all."""

    code = "forbidden"


class NoCapacity(RequestError):
    """There is no room for it."""

    code = "no_capacity"


class Conflict(RequestError):
    """The request was based on an old version.

    `current_version` is the version now, 0 when the thing is gone, None when unknown.
    """

    code = "conflict"

    def __init__(self, message: str, *, current_version: int | None = None, context: str = "") -> None:
        super().__init__(message, context=context)
        self.current_version = current_version


class NotNow(RequestError):
    """Legal, but not in this phase. `waits_for` says, in plain words, what would free it."""

    code = "not_now"

    def __init__(self, message: str, *, waits_for: str = "", context: str = "") -> None:
        super().__init__(message, context=context)
        self.waits_for = waits_for


class Unavailable(ShorthornError):
    """Nothing happened and nothing is wrong with the request: try again after `retry_after_s`."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, context: str = "") -> None:
        super().__init__(message, context=context)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(ShorthornError):
    """It may have happened, now or later or never. Read before you retry."""

    code = "outcome_unknown"


class Fenced(ShorthornError):
    """Somebody newer is in charge. Stop; do not retry."""

    code = "fenced"


class Damaged(ShorthornError):
    """Checksum, format or version wrong. Never retried, always shown to a person."""

    code = "damaged"
