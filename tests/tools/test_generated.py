"""Drift of a generated file is noticed; writing it anew mends it."""

from pathlib import Path

from tools.generated import Generated, drifted, write


def text() -> str:
    return "made\n"


FILE = Generated("api/made.txt", f"{__name__}:text")


def test_a_missing_or_edited_file_has_drifted(tmp_path: Path) -> None:
    assert drifted(tmp_path, [FILE]) == [FILE]
    write(tmp_path, [FILE])
    assert drifted(tmp_path, [FILE]) == []
    (tmp_path / FILE.path).write_text("edited\n")
    assert drifted(tmp_path, [FILE]) == [FILE]
