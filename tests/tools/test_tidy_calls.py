"""Calls that let two runs differ are found where they are not allowed, and only there."""

from pathlib import Path

import pytest

from tools.tidy.calls import check


def messages(path: str, source: str) -> list[str]:
    return [str(finding) for finding in check(Path(path), source)]


@pytest.mark.parametrize(
    "call",
    [
        "time.time()",
        "time.monotonic_ns()",
        "datetime.now()",
        "datetime.datetime.now(tz)",
        "uuid.uuid4()",
        "uuid4()",
        "random.random()",
        "random.Random().choice([1])",
        "secrets.token_hex()",
        "os.urandom(4)",
    ],
)
def test_clock_and_chance_are_found_and_the_replacement_named(call: str) -> None:
    for layer in ("core/model", "control", "agent", "store", "faces/cli"):
        (message,) = messages(f"src/shorthorn/{layer}/x.py", f"a = 1\nb = {call}\n")
        assert message.startswith(f"src/shorthorn/{layer}/x.py:2: ")
        assert "shorthorn.ports" in message


def test_ports_are_where_they_live() -> None:
    assert messages("src/shorthorn/ports/clock.py", "now = time.time()") == []


def test_tests_and_tools_are_not_the_package() -> None:
    assert messages("tests/core/test_x.py", "now = time.time()") == []


@pytest.mark.parametrize("call", ["open('f')", "print(1)", "hash(x)", "id(x)"])
def test_builtins_that_reach_outside_are_banned_in_core_only(call: str) -> None:
    assert len(messages("src/shorthorn/core/model/x.py", call)) == 1
    assert messages("src/shorthorn/control/x.py", call) == []


@pytest.mark.parametrize("call", ["open('f')", "Path('f').exists()", "asyncio.to_thread(work)"])
def test_files_are_given_to_the_agent(call: str) -> None:
    (message,) = messages("src/shorthorn/agent/x.py", call)
    assert "Files of shorthorn.ports" in message
    assert messages("src/shorthorn/links/x.py", call) == []


@pytest.mark.parametrize(
    "code",
    [
        "for x in {1, 2}: pass",
        "[x for x in set(y)]",
        "tuple(x for x in frozenset(y))",
        "[x for x in {a for a in b}]",
    ],
)
def test_iterating_a_set_in_core_is_found(code: str) -> None:
    (message,) = messages("src/shorthorn/core/planning/x.py", code)
    assert "iterates a set" in message


@pytest.mark.parametrize(
    "code", ["for x in sorted({1, 2}): pass", "x in {1, 2}", "a.time()", "clock.now()", "volume.open()"]
)
def test_what_is_harmless_passes(code: str) -> None:
    assert messages("src/shorthorn/core/planning/x.py", code) == []
