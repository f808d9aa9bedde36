"""A refusal of the law as an error for whoever asked."""

from typing import Final, NoReturn

from shorthorn.core.lifecycle.outcome import RefusalKind, Refused
from shorthorn.errors import AlreadyExists, Conflict, Invalid, NoCapacity, NotFound, NotNow, RequestError

_KINDS: Final[dict[RefusalKind, type[RequestError]]] = {
    RefusalKind.INVALID: Invalid,
    RefusalKind.NOT_FOUND: NotFound,
    RefusalKind.ALREADY_EXISTS: AlreadyExists,
    RefusalKind.NO_CAPACITY: NoCapacity,
    RefusalKind.NOT_NOW: NotNow,
    RefusalKind.STALE: Conflict,
}


def raise_refusal(refused: Refused) -> NoReturn:
    """Raise it, in the law's own words."""
    raise _KINDS[refused.kind](refused.why)
