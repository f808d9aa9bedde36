"""Where a task waits, in words for people."""

import asyncio
from typing import Any


def where_it_waits(task: "asyncio.Task[Any]") -> str:
    """The chain of what awaits what, outermost first, such as "run (run.py:80) < sleep (tasks.py:639)"."""
    steps: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None and len(steps) < 50:
        frame = (
            getattr(waiting, "cr_frame", None)
            or getattr(waiting, "ag_frame", None)
            or getattr(waiting, "gi_frame", None)
        )
        if frame is None:
            break
        steps.append(
            f"{frame.f_code.co_name} ({frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno})"
        )
        waiting = (
            getattr(waiting, "cr_await", None)
            or getattr(waiting, "ag_await", None)
            or getattr(waiting, "gi_yieldfrom", None)
        )
    return " > ".join(steps) or "has not begun"
