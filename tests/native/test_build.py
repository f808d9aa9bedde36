"""Which build of the native module a process uses is chosen before anything imports it, or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from shorthorn.errors import Invalid, NotFound
from shorthorn.native import _native, build

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / ".cache/mutants/_native.abi3.so"


def apart(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_too_late_is_an_error_of_who_calls() -> None:
    assert _native.versions()
    with pytest.raises(RuntimeError, match="imported already"):
        build.use_build(MUTANTS)


def test_what_is_no_build_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, build.NAME)
    with pytest.raises(NotFound, match="make build-mutants"):
        build.use_build(tmp_path / "nothing")
    (tmp_path / "text").write_text("no library")
    with pytest.raises(Invalid, match="no native module"):
        build.use_build(tmp_path / "text")


def test_the_packages_own_build_has_no_rule_to_take_out() -> None:
    ran = apart(
        "from pathlib import Path\n"
        "from shorthorn.native.build import use_build\n"
        f"use_build(Path({_native.__file__!r}), 'no-grants')"
    )
    assert "a build without mutants" in ran.stderr


@pytest.mark.skipif(not MUTANTS.is_file(), reason="no build with mutants: make build-mutants")
def test_the_build_with_mutants_takes_the_place_of_the_package() -> None:
    code = (
        "from pathlib import Path\n"
        "from shorthorn.native.build import use_build\n"
        f"use_build(Path({str(MUTANTS)!r}), RULE)\n"
        "from shorthorn.native import _native\n"
        "from shorthorn.native._native import Engine\n"
        "print(_native.__file__, hasattr(_native, 'choose_mutant'), Engine.__module__)"
    )
    ran = apart(code.replace("RULE", "'no-grants'"))
    assert ran.stdout.split() == [str(MUTANTS), "True", build.NAME]
    assert "no rule has the name" in apart(code.replace("RULE", "'no-such-rule'")).stderr
