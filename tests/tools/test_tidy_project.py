"""What stands in two places must agree; and the repository itself is tidy."""

from pathlib import Path

import pytest

from tools.tidy.__main__ import ROOT
from tools.tidy.project import check


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "Cargo.toml": '[workspace.package]\nversion = "1.2.3"\n',
        "pyproject.toml": '[project]\ndependencies = ["msgspec>=0.22"]\n',
        "requirements/runtime.in": "# reasons\n\nmsgspec>=0.22   # records\n",
        "requirements/runtime.txt": "msgspec==0.22.0 \\\n    --hash=sha256:00\n    # via -r runtime.in\n",
        "src/shorthorn/version.py": 'VERSION = "1.2.3"\n',
        "docs/design.md": "see docs/design.md\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def messages(root: Path) -> list[str]:
    return [str(finding) for finding in check(root, [Path("docs/design.md")])]


def test_a_project_that_agrees_has_no_findings(project: Path) -> None:
    assert messages(project) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("src/shorthorn/version.py", 'VERSION = "1.2.4"\n', "is what Cargo.toml says"),
        ("requirements/runtime.in", "msgspec>=0.22\nrich>=15  # tables\n", "rich>=15: stands only here"),
        ("requirements/runtime.txt", "msgspec==0.22.0\n", "no hash"),
        ("requirements/runtime.txt", "msgspec==0.22.0 --hash=sha256:00 # ftp://x\n", "an address"),
        ("docs/design.md", "see docs/no-such.md\n", "no such document"),
    ],
)
def test_a_project_that_disagrees_is_told_where(project: Path, name: str, text: str, expected: str) -> None:
    (project / name).write_text(text)
    found = messages(project)
    assert any(expected in message and message.startswith(name) for message in found), found


def test_the_repository_s_own_files_are_seen() -> None:
    assert (ROOT / "Cargo.toml").is_file()
