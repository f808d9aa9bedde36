"""List the licences of the Python dependencies and refuse what we may not ship: part of `make check`.

Reads what is installed, for the names in the pinned requirement files. The Rust side is cargo deny's
(deny.toml, the same list). Why two: docs/decisions/0005-licences-check.md.
"""

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# May be shipped with an Apache-2.0 program: they ask for their text to be kept, not for our sources.
ALLOWED = frozenset(
    {
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "MIT",
        "PSF-2.0",
        "Unicode-3.0",
        "Zlib",
    }
)
# Only used while working here and never shipped: a licence that covers its own files is fine too.
ALLOWED_DEV = ALLOWED | {"MPL-2.0"}

# What older metadata says in its own words.
_SPELLINGS = {
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    # apsw: "any OSI approved licence" may be chosen.
    "any-osi": "MIT",
}
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==")


def pinned(text: str) -> list[str]:
    """Names in a pinned requirement file, in its order."""
    return [found.group(1) for line in text.splitlines() if (found := _PINNED.match(line))]


def licence(package: Distribution) -> str:
    """The licence as an SPDX expression, from the newest kind of metadata that is there; '' when none is."""
    said = package.metadata
    if expressions := said.get_all("License-Expression"):
        return str(expressions[0])
    words = [str(word) for word in said.get_all("License") or []]
    classifiers = [str(line) for line in said.get_all("Classifier") or []]
    words += [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    for word in words:
        name = _SPELLINGS.get(word.strip().lower(), word.strip())
        if name in ALLOWED_DEV:
            return name
    return ""


def is_allowed(expression: str, allowed: Iterable[str]) -> bool:
    """Whether every AND part of an SPDX expression (without brackets) has an OR part that is allowed."""
    allowed = frozenset(allowed)
    return all(
        any(one.strip() in allowed for one in part.split(" OR ")) for part in expression.split(" AND ")
    )


def main() -> int:
    """Print licence: packages; exit 1 when one may not be used."""
    runtime = set(pinned((ROOT / "requirements/runtime.txt").read_text()))
    groups: dict[str, list[str]] = {}
    refused = 0
    for name in pinned((ROOT / "requirements/dev.txt").read_text()):
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform or another Python
        expression = licence(package)
        groups.setdefault(expression or "unknown", []).append(name)
        if not is_allowed(expression, ALLOWED if name in runtime else ALLOWED_DEV):
            place = "shipped" if name in runtime else "used"
            print(f"{name}: licence {expression or 'unknown'} may not be {place}; see tools/licences.py")
            refused += 1
    for expression, names in sorted(groups.items()):
        print(f"{expression}: {', '.join(names)}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
