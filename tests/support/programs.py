"""Start outside programs: the one way for tests and demo.

A used machine hides missing installs: what a test calls may be there only because somebody once wanted it.
So a program must belong to a Debian package that `debian-packages.txt` lists, or to one that every Debian
has (essential, or of priority required or important). Never used for Shorthorn's own programs.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tools.packages import LIST, listed

# mkfs and e2fsck lie where the PATH of a user who is not root does not look.
_SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_ALWAYS_THERE = ("required", "important")


class NotListed(Exception):
    """A program that a fresh machine would not have."""


@cache
def program(name: str) -> str:
    """The path of an outside program, for an argument list.

    Raises `NotListed` when it is missing or of a package that `debian-packages.txt` does not list.
    """
    path = shutil.which(name, path=_SEARCH)
    if path is None:
        raise NotListed(
            f"program {name} is not installed: list its package in {LIST.name}, then make packages"
        )
    package = _owner(Path(path))
    if package is None:
        raise NotListed(f"program {name} ({path}) belongs to no Debian package: a fresh machine will lack it")
    if package not in _listed() and not _always_there(package):
        raise NotListed(f"program {name} is of package {package}, which {LIST.name} does not list")
    return path


def run(
    name: str,
    *arguments: str | Path,
    timeout_s: float,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run an outside program to its end, without standard input; both outputs as text.

    Raises `AssertionError` with both outputs when it fails (unless `check` is false), and
    `subprocess.TimeoutExpired` after `timeout_s`; it is ended then.
    """
    done = subprocess.run(
        [program(name), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=env,
        cwd=cwd,
    )
    if check and done.returncode != 0:
        command = " ".join([name, *map(str, arguments)])
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@cache
def _listed() -> frozenset[str]:
    install, build = listed(LIST.read_text())
    return frozenset(install + build)


def _owner(path: Path) -> str | None:
    """The package that owns a file. /bin is /usr/bin now, and dpkg knows some files by the older name only."""
    for candidate in dict.fromkeys((path, path.resolve())):
        tail = (
            candidate.relative_to("/usr") if candidate.is_relative_to("/usr") else candidate.relative_to("/")
        )
        for spelling in (Path("/", tail), Path("/usr", tail)):
            answer = _ask("dpkg", "-S", str(spelling))
            if answer is not None and not answer.startswith("diversion by"):
                return answer.partition(":")[0].split(",")[0]
    return None


def _always_there(package: str) -> bool:
    answer = _ask("dpkg-query", "-W", "-f", "${Essential} ${Priority}\n", package)
    fields = answer.split() if answer is not None else []
    return "yes" in fields or any(priority in fields for priority in _ALWAYS_THERE)


def _ask(*command: str) -> str | None:
    """The first line of an answer of dpkg, or None when it has none."""
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return answer.stdout.splitlines()[0] if answer.returncode == 0 and answer.stdout else None
