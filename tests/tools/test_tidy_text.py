"""Marks, machine paths, registries, blobs and impure Rust are found in any tracked file."""

from pathlib import Path

import pytest

from tools.tidy.text import SIZE_BYTES_MAX, check


def lines(path: str, text: str) -> list[int]:
    return [finding.line for finding in check(Path(path), text.encode())]


# Joined at run time, so that tidy does not find them here.
@pytest.mark.parametrize(
    "bad",
    [
        "# TO" + "DO later",
        "# FIX" + "ME",
        "break" + "point()",
        "to" + "do!()",
        "d" + "bg!(x)",
        "/ho" + "me/somebody/x",
        'open("/wo' + 'rk/main")',
        "../sha" + "red/DESIGN.md",
        "https://pypi." + "org/simple",
    ],
)
def test_a_bad_line_is_found_with_its_number(bad: str) -> None:
    assert lines("docs/x.md", f"fine\n{bad}\n") == [2]


@pytest.mark.parametrize(
    "good", ["a method", "net/home/x", "<data>/home/x", "homework", "the framework/x", "../shared_memory"]
)
def test_words_that_only_look_alike_pass(good: str) -> None:
    assert lines("docs/x.md", good) == []


def test_a_large_file_is_found_once() -> None:
    (finding,) = check(Path("data.bin"), b"\0" * (SIZE_BYTES_MAX + 1))
    assert finding.line == 0
    assert "1 MiB" in finding.message
    assert not list(check(Path("data.bin"), b"\0" * SIZE_BYTES_MAX))


def test_a_pure_crate_reads_no_clock_and_no_file() -> None:
    code = "let now = Instant::now();\nuse std::fs;\n// std::net is not used\n"
    assert lines("crates/shorthorn-core/src/engine.rs", code) == [1, 2]
    assert lines("crates/shorthorn-core/tests/engine.rs", code) == []
    assert lines("crates/shorthorn-engine/src/main.rs", code) == []
