"""Small parts of how a process ends: its exit code, whoever waits for it, and what is left of its coroutines."""

import asyncio
from contextlib import suppress
from typing import Any, Final

CLOSES_MAX: Final = 1000
"""A coroutine that goes on waiting when it is closed at the end of the world is closed again so many times."""


def run_out(coroutine: Any) -> None:
    """Close a coroutine of a process that is no more, whatever its `finally` does."""
    for _ in range(CLOSES_MAX):
        try:
            coroutine.close()
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001, S112 - it waits again, or its end fails in a world that is no more
            continue
        return


def resolve(future: "asyncio.Future[None]") -> None:
    """Tell who waits, if anybody still does."""
    with suppress(asyncio.InvalidStateError):  # who waited was cancelled
        future.set_result(None)


def code_of(request: SystemExit) -> int:
    """The exit code, as the interpreter has it."""
    if request.code is None:
        return 0
    return request.code if isinstance(request.code, int) else 1
