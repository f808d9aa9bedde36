"""The wheel holds what a user needs and none of the switches that take rules out."""

import re
import subprocess
import tomllib
from pathlib import Path
from zipfile import ZipFile

from tests.packaging.conftest import ROOT, Installation

PROGRAMS = ("shorthorn-engine", "shorthorn-replica")
MUTANT_BUILD = ROOT / ".cache" / "mutants"  # make build-mutants


def mutant_names() -> list[str]:
    """The names by which a build with the feature `mutants` takes a rule out."""
    source = (ROOT / "crates/shorthorn-core/src/mutants.rs").read_text()
    names = re.findall(r'^    \w+ = "([a-z-]+)",$', source, re.MULTILINE)
    assert len(names) >= 5
    return names


def switches(content: bytes) -> list[str]:
    """Names of switches that stand in a program: every one of them has a dash and is said nowhere else."""
    return [name for name in mutant_names() if name.encode() in content]


def test_one_wheel_for_every_python_from_3_11_on(wheel: Path) -> None:
    assert re.fullmatch(r"shorthorn-[\d.]+-cp311-abi3-\w+\.whl", wheel.name)


def test_package_native_module_and_programs_are_in_it(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for program in PROGRAMS:
            assert archive.getinfo(f"shorthorn/bin/{program}").external_attr >> 16 & 0o111, "not executable"
    assert {
        "shorthorn/native/_native.abi3.so",
        "shorthorn/py.typed",
        "shorthorn/faces/cli/__init__.py",
    } <= names


def test_every_module_of_the_package_is_in_it(wheel: Path) -> None:
    here = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "shorthorn").rglob("*.py")}
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
    assert packed == here


def test_nothing_of_the_tests_is_in_it(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"shorthorn"}
    assert not [name for name in names if "mutant" in name or "test" in name]


def test_no_program_in_it_knows_a_switch(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("shorthorn/bin/") or name.endswith(".so"):
                content = archive.read(name)
                assert b"SHORTHORN_MUTANT" not in content, name
                assert switches(content) == [], name


def test_the_build_with_mutants_does_know_them() -> None:
    """Without this the test above could look for the wrong thing. A compiler may turn a short name into numbers."""
    contents = [(MUTANT_BUILD / program).read_bytes() for program in PROGRAMS]
    assert all(b"SHORTHORN_MUTANT" in content for content in contents)
    assert any(switches(content) for content in contents)


def test_all_state_one_version(wheel: Path, installation: Installation) -> None:
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert wheel.name.split("-")[1] == version
    site = subprocess.run(
        [installation.python, "-c", "import shorthorn; print(shorthorn.__path__[0])"],
        env=installation.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    lines = {
        subprocess.run(
            [program, "--version"], env=installation.environment, capture_output=True, text=True, check=True
        )
        .stdout.strip()
        .partition(" ")[2]
        for program in (
            installation.folder / "bin" / "shorthorn",
            *(Path(site) / "bin" / name for name in PROGRAMS),
        )
    }
    (line,) = lines
    assert re.fullmatch(re.escape(version) + r" \(wire \d+, format \d+\)", line)
