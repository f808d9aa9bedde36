"""The base of every record: frozen, keyword-only, refusing unknown fields when decoded.

Records hold tuples, never dicts or sets: so they are hashable (the explorer keeps them in a visited set) and their
order is part of their value. Source: docs/decisions/0003-tuples-in-records.md.
"""

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen fact. Its constructor does not validate: decode what comes from outside."""
