"""The licence check reads every kind of metadata and refuses what is not allowed."""

from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from tools import licences


class Described(Distribution):
    """A distribution that consists of its metadata."""

    def __init__(self, **fields: str) -> None:
        self._message = Message()
        for name, value in fields.items():
            self._message[name.replace("_", "-")] = value

    @property
    def metadata(self) -> Any:
        return self._message

    def read_text(self, filename: str) -> str | None:
        return None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "Apache-2.0 AND MIT"}, "Apache-2.0 AND MIT"),
        ({"License": "MIT License"}, "MIT"),
        ({"License": "see file", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"License": "any-OSI"}, "MIT"),
        ({"License": "Proprietary"}, ""),
        ({}, ""),
    ],
)
def test_a_licence_is_read_from_the_newest_metadata(fields: dict[str, str], expected: str) -> None:
    assert licences.licence(Described(**fields)) == expected


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("Apache-2.0 AND MIT", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("GPL-2.0-or-later", False),
        ("MPL-2.0", False),
        ("", False),
    ],
)
def test_every_part_must_be_allowed(expression: str, allowed: bool) -> None:
    assert licences.is_allowed(expression, licences.ALLOWED) is allowed


def test_pinned_names_are_read_without_their_hashes() -> None:
    assert licences.pinned(
        "rich==15.0 \\\n    --hash=sha256:00\n    # via x\nuvloop==0.22 ; sys_platform != 'win32'\n"
    ) == [
        "rich",
        "uvloop",
    ]
