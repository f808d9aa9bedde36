"""What both programs do first: read their command line, take their lock, read a file. Errors are one line and exit code 1."""

import signal
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final

from shorthorn.ports.files import Lock
from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.process import Process

START_FAILED: Final = 1
USAGE: Final = 2


class StartError(Exception):
    """The program could not start; nothing was changed, nobody was asked anything."""


class UsageError(Exception):
    """A wrong command line."""


def options(arguments: Sequence[str], names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, str]:
    """`--name value` pairs, each at most once. Raises `UsageError`."""
    given: dict[str, str] = {}
    pairs = iter(arguments)
    for name in pairs:
        value = next(pairs, None)
        if name not in (*names, *optional):
            raise UsageError(f"unknown argument {name}")
        if value is None:
            raise UsageError(f"{name} needs a value")
        if name in given:
            raise UsageError(f"{name} is given twice")
        given[name] = value
    for name in names:
        if name not in given:
            raise UsageError(f"{name} is missing")
    return given


def take_lock(files: ProcessFiles, path: PurePosixPath) -> Lock:
    """Take a lock for the whole life of the process. Raises `StartError`."""
    try:
        lock = files.take_lock(path)
    except OSError as error:
        raise StartError(f"lock {path}: {error}") from error
    if lock is None:
        raise StartError(f"another program holds the lock {path}")
    return lock


def on_sigterm(process: Process, callback: Callable[[], object]) -> None:
    """SIGTERM asks for an orderly end; SIGINT and SIGHUP are meant for whoever started the program in a terminal."""
    loop = process.loop
    loop.add_signal_handler(signal.SIGTERM, callback)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(ignored, _nothing)


def _nothing() -> None:
    pass
