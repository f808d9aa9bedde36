"""Fixtures: the wheel, and an environment in which nothing but the wheel is installed."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL_S_MAX = 120


@dataclass(frozen=True, slots=True)
class Installation:
    """An empty virtual environment with the wheel in it, and a PATH that leads nowhere else."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        """No compiler, no checkout, no other Python, no settings of this user."""
        return {"PATH": str(self.folder / "bin"), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The one wheel in dist/."""
    (found,) = (ROOT / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel with its pinned dependencies, installed apart from everything here."""
    place = Installation(tmp_path_factory.mktemp("installed") / "venv")
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    uv = Path(sys.prefix) / "bin" / "uv"
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1"}
    for arguments in (
        ["venv", "--python", str(base), str(place.folder)],
        ["pip", "install", "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt")],
        ["pip", "install", "--no-deps", "--offline", str(wheel)],
    ):
        where = ["--python", str(place.python)] if arguments[0] == "pip" else []
        subprocess.run(
            [str(uv), *arguments[:2], *where, *arguments[2:]],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INSTALL_S_MAX,
            check=True,
        )
    return place
