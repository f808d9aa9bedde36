"""The import contracts fail when they should: each with one bad import in a small package of the same shape."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# Every module that a contract names; the contracts refuse to run without them.
MODULES = [
    "faces.api",
    "faces.cli",
    "sim",
    "requests",
    "control",
    "agent",
    "store",
    "links.local_files",
    "links.local_processes",
    "links.program_socket",
    "links.server_link",
    "native",
    "ports",
    "errors",
    "version",
    "core.planning",
    "core.invariants",
    "core.model",
    "core.lifecycle.requests",
    "core.lifecycle.guards",
    "core.lifecycle.law",
    "core.lifecycle.transition",
]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An empty package with the modules that the contracts name."""
    for dotted in MODULES:
        folder = tmp_path / "shorthorn"
        for part in ("", *dotted.split(".")):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
    (tmp_path / ".importlinter").write_text((ROOT / ".importlinter").read_text())
    return tmp_path


def lint(package: Path) -> tuple[int, str]:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_package_without_imports_keeps_all_contracts(package: Path) -> None:
    code, output = lint(package)
    assert code == 0, output


@pytest.mark.parametrize(
    ("importer", "imported", "broken"),
    [
        ("store", "shorthorn.control", "Imports go down only"),
        ("ports", "shorthorn.links", "Imports go down only"),
        ("agent", "shorthorn.control", "Imports go down only"),
        ("core.model", "shorthorn.core.lifecycle", "Inside core"),
        ("core.invariants", "shorthorn.core.planning", "Inside core"),
        ("core.planning", "time", "The core has no clock"),
        ("core.model", "asyncio", "The core has no clock"),
        ("core.lifecycle", "msgspec, random", "The core has no clock"),
        ("core.planning", "shorthorn.core.lifecycle.requests", "Maintenance cannot attach"),
        ("control", "shorthorn.core.lifecycle.requests", "Maintenance cannot attach"),
        ("agent", "shorthorn.core.lifecycle.requests", "Maintenance cannot attach"),
        ("core.invariants", "shorthorn.core.lifecycle.law", "Invariants do not grade"),
        ("faces.cli", "shorthorn.faces.api", "Faces do not know each other"),
    ],
)
def test_one_bad_import_breaks_its_contract(package: Path, importer: str, imported: str, broken: str) -> None:
    module = package / "shorthorn" / Path(*importer.split(".")) / "__init__.py"
    module.write_text(f"import {imported}\n")
    code, output = lint(package)
    assert code == 1, output
    assert [line for line in output.splitlines() if broken in line and "BROKEN" in line], output
