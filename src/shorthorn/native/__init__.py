"""The Rust side as seen from Python: where the two programs lie, and the native module.

`shorthorn.native._native` (typed by `_native.pyi`) is imported by those who need it, not from here: the
control plane finds its programs without loading a library.
"""

from pathlib import Path

__all__ = ["program_path"]

_PROGRAMS = Path(__file__).resolve().parent.parent / "bin"


def program_path(name: str) -> Path:
    """The installed program `shorthorn-engine` or `shorthorn-replica`.

    Raises `FileNotFoundError` with what to do about it.
    """
    path = _PROGRAMS / name
    if not path.is_file():
        raise FileNotFoundError(f"program {name} is not part of this installation; in a checkout: make build")
    return path
