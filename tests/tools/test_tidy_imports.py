"""A module that nothing in the package imports is found."""

from pathlib import Path

import pytest

from tools.tidy.imports import check


def unreached(**modules: str) -> list[str]:
    sources = {Path("src/shorthorn/__init__.py"): ""}
    for name, text in modules.items():
        sources[Path("src/shorthorn", name.replace("main_", "__main__")).with_suffix(".py")] = text
    return [finding.path.stem for finding in check(sources)]


def test_a_module_without_importer_is_found() -> None:
    assert unreached(store="") == ["store"]


def test_a_module_that_imports_itself_only_is_found() -> None:
    assert unreached(store="import shorthorn.store") == ["store"]


@pytest.mark.parametrize(
    "line",
    ["import shorthorn.store", "from shorthorn import store", "from shorthorn.store import open_store"],
)
def test_every_way_of_importing_counts_also_inside_a_function(line: str) -> None:
    assert unreached(store="", main_=f"def main():\n    {line}\n") == []


def test_what_is_started_by_name_needs_no_importer() -> None:
    assert unreached(main_="") == []
