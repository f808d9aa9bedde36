"""The one version, as Python states it, with the versions of what is spoken and kept.

The Cargo workspace states the same; a test compares all that state one.
"""

VERSION = "0.1.0"

WIRE_VERSION = 1
"""Of the messages between engines, replicas and agents (docs/formats/wire.md)."""

FORMAT_VERSION = 1
"""Of replica folders (docs/formats/disk.md)."""


def version_line(program: str) -> str:
    """What `--version` prints, for every program alike."""
    return f"{program} {VERSION} (wire {WIRE_VERSION}, format {FORMAT_VERSION})"
