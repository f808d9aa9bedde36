"""What every store refuses before it looks at its documents. Pure; the same for all.

Keys and bodies may come from a user's request, so each check has a limit, and a message
never repeats more of the input than a line can hold.
"""

from collections.abc import Mapping, Sequence

from shorthorn.errors import Invalid
from shorthorn.ports.store import (
    ABSENT,
    COMMIT_BYTES_MAX,
    COMMIT_KEYS_MAX,
    JOURNAL_PAGE_MAX,
    KEY_CHARS_MAX,
    NewEntry,
    Write,
)


def check_key(key: str, what: str = "key") -> None:
    """Raises `Invalid` unless `key` is 1 to KEY_CHARS_MAX printable ASCII characters."""
    if not key:
        raise Invalid(f"a {what} may not be empty")
    check_prefix(key, what)


def check_prefix(prefix: str, what: str = "prefix") -> None:
    """As `check_key`, but may be empty."""
    if len(prefix) > KEY_CHARS_MAX:
        raise Invalid(f"a {what} has at most {KEY_CHARS_MAX} characters, not {len(prefix)}")
    if not all("!" <= char <= "~" for char in prefix):
        raise Invalid(f"a {what} is printable ASCII without space, not {prefix[:80]!a}")


def check_page(after: int, subject: str | None, limit: int) -> None:
    """Raises `Invalid` for arguments of `Store.journal` that make no sense."""
    if after < 0:
        raise Invalid(f"journal numbers begin at 1; after={after}")
    if not 1 <= limit <= JOURNAL_PAGE_MAX:
        raise Invalid(f"limit is 1 to {JOURNAL_PAGE_MAX}, not {limit}")
    if subject is not None:
        check_key(subject, "subject")


def check_commit(
    writes: Mapping[str, Write], unchanged: Mapping[str, int], journal: Sequence[NewEntry]
) -> int:
    """Raises `Invalid` for a commit that no state could accept. Returns its size in bytes."""
    if len(writes) + len(unchanged) > COMMIT_KEYS_MAX:
        named = len(writes) + len(unchanged)
        raise Invalid(f"a commit names at most {COMMIT_KEYS_MAX} documents, not {named}")
    size = sum(_checked_write(key, write) for key, write in writes.items())
    for key, version in unchanged.items():
        check_key(key)
        _check_version(key, version)
        if key in writes:
            raise Invalid(f"{key} is both written and demanded unchanged")
        size += len(key)
    for entry in journal:
        check_key(entry.subject, "subject")
        size += len(entry.subject) + len(entry.body)
    if size > COMMIT_BYTES_MAX:
        raise Invalid(f"a commit has at most {COMMIT_BYTES_MAX} bytes, not {size}")
    return size


def _checked_write(key: str, write: Write) -> int:
    check_key(key)
    _check_version(key, write.expected_version)
    if write.value is None and write.expected_version == ABSENT:
        raise Invalid(f"{key}: deleting needs the version to delete")
    return len(key) + len(write.value or b"")


def _check_version(key: str, version: int) -> None:
    # The upper bound is SQLite's integer; a larger one would be an error of another kind there.
    if not 0 <= version < 1 << 63:
        raise Invalid(f"{key}: {version} is not a version")
