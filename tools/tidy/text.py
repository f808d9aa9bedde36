"""Rules about the text of any file: leftover marks, paths of one machine, addresses of registries."""

import re
from collections.abc import Iterator
from pathlib import Path

from tools.tidy.finding import Finding

SIZE_BYTES_MAX = 1 << 20  # reviews and clones are for people; data sets belong elsewhere

# Written so that this file does not find itself.
_MARKS = re.compile(
    r"\b(TO"
    r"DO|FIX"
    r"ME|X"
    r"XX|HA"
    r"CK)\b|\bbreak"
    r"point\(\)|\b(to"
    r"do|unimple"
    r"mented|d"
    r"bg)!\("
)
_MACHINE_PATHS = re.compile(r"(?<![\w.>])/(home|root|Users|wo" r"rk)/[\w.-]+|\.\./sha" r"red\b")
_REGISTRIES = re.compile(
    r"\b(pypi\."
    r"org|files\.python"
    r"hosted|index\.crates\."
    r"io|registry\.npm"
    r"js|proxy\.golang|deb\."
    r"debian\.org)"
)
# Pure crates: no clock, files, sockets, threads or chance (docs/design.md, section 6).
_PURE_CRATES = ("shorthorn-core", "shorthorn-wire", "shorthorn-nbd")
_RUST_OUTSIDE = re.compile(r"\b(Instant::now|SystemTime|std::(fs|net|thread|process)\b|std::env::|rand::)")

_LINE_RULES = (
    (_MARKS, "leftover mark: do it, or file an issue"),
    (_MACHINE_PATHS, "path of one machine: make it relative, or an argument"),
    (_REGISTRIES, "address of a registry: clients know it; name the package only"),
)


def check(path: Path, content: bytes) -> Iterator[Finding]:
    """Findings in one tracked file; binary files are only measured."""
    if len(content) > SIZE_BYTES_MAX:
        yield Finding(
            path, 0, f"larger than {SIZE_BYTES_MAX >> 20} MiB: make it when needed, do not commit it"
        )
        return
    if b"\0" in content[:8192]:
        return
    pure_rust = path.parts[0] == "crates" and path.parts[1] in _PURE_CRATES and _is_code(path)
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        for pattern, message in _LINE_RULES:
            if found := pattern.search(line):
                yield Finding(path, number, f"{found.group(0)}: {message}")
        if pure_rust and not line.lstrip().startswith("//") and (found := _RUST_OUTSIDE.search(line)):
            yield Finding(
                path, number, f"{found.group(0)}: a pure crate; take it as an argument, return an effect"
            )


def _is_code(path: Path) -> bool:
    return path.suffix == ".rs" and "tests" not in path.parts and not path.stem.endswith("tests")
