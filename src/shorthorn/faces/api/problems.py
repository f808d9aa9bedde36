"""Errors and refusals as problem details (RFC 9457). What an operator's log says never reaches the caller."""

import logging

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shorthorn.errors import (
    AlreadyExists,
    Conflict,
    Damaged,
    Fenced,
    Forbidden,
    Invalid,
    NoCapacity,
    NotFound,
    NotNow,
    OutcomeUnknown,
    ShorthornError,
    Unavailable,
)

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[ShorthornError], int], ...] = (
    (Invalid, 400),
    (Forbidden, 403),
    (NotFound, 404),
    (AlreadyExists, 409),
    (Conflict, 409),
    (NotNow, 409),
    (NoCapacity, 507),
    (Unavailable, 503),
    (OutcomeUnknown, 503),
    (Fenced, 503),
    (Damaged, 500),
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is no success. `code` is for programs, `detail` one line for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The answer for one problem."""
    body = Problem(
        type=f"urn:shorthorn:problem:{code}",
        title=code.replace("_", " "),
        status=status,
        detail=detail,
        code=code,
    )
    return Response(msgspec.json.encode(body), status, headers, media_type="application/problem+json")


async def on_error(_request: Request, error: Exception) -> Response:
    """Every `ShorthornError`."""
    assert isinstance(error, ShorthornError)
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    if error.context:
        log.warning("%s: %s", error.message, error.context)
    headers = (
        {"Retry-After": str(max(1, round(error.retry_after_s)))} if isinstance(error, Unavailable) else None
    )
    return problem(status, error.code, error.message, headers)


async def on_http(_request: Request, error: Exception) -> Response:
    """What the framework refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "request")
    return problem(error.status_code, code, error.detail, dict(error.headers or {}))


async def on_bug(_request: Request, error: Exception) -> Response:
    """Our mistake: logged whole, told as such."""
    log.error("bug: %s", error, exc_info=error)
    return problem(500, "bug", "a mistake of Shorthorn itself; the server's log says more")
