"""Identities that are never used twice (S8)."""

import secrets
from typing import Protocol


class Ids(Protocol):
    """Makes ids."""

    def new(self, kind: str) -> str:
        """A new id such as `r-1f0c9a…`; `kind` is one short lower-case word, its prefix."""
        ...


class RandomIds:
    """80 random bits: two equal ones among a billion are less likely than a broken disk by far."""

    def new(self, kind: str) -> str:
        """A prefix and 20 hexadecimal digits."""
        return f"{kind}-{secrets.token_hex(10)}"
