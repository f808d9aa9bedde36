"""What names, sizes and numbers may be. Each check answers a refusal with one clear line, or None."""

import re

from shorthorn.core.lifecycle.outcome import RefusalKind, Refused
from shorthorn.core.model.units import format_size
from shorthorn.core.model.volume import Spec

BLOCK = 4096
"""Checksums cover 4 KiB, so sizes are multiples of it (docs/design.md section 6)."""
SIZE_MAX = 64 * 1024**4
"""64 TiB: above it the region table of a replica (8 bytes a MiB) would outgrow the memory that a program may take."""
REPLICAS_MAX = 16
"""Every write goes to all of them; more cost bandwidth and add nothing that 16 nodes do not give."""
ATTACHMENTS_MAX = 128
"""All are on one node; the document must stay small enough to be written with each event."""
DISKS_MAX = 64
LABELS_MAX = 64
KEYS_MAX = 8
TEXT_MAX = 253
"""Longest free text of others in a record: a holder, a label, a reason. The longest name in Kubernetes, too."""
ENDPOINT_MAX = 1024

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def invalid(why: str) -> Refused:
    """A request that can never be right."""
    return Refused(kind=RefusalKind.INVALID, why=why)


def check_name(what: str, name: str) -> Refused | None:
    """Names are DNS labels: they end up in paths, URIs and Kubernetes objects."""
    if _NAME.fullmatch(name):
        return None
    return invalid(
        f"{name[:70]!r} is no name for a {what}; use 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"
    )


def check_text(what: str, text: str, longest: int = TEXT_MAX) -> Refused | None:
    """Free text is not empty, not endless and holds no control characters."""
    if not text:
        return invalid(f"the {what} is empty")
    if len(text) > longest:
        return invalid(f"the {what} is longer than {longest} characters")
    if not text.isprintable():
        return invalid(f"the {what} holds characters that cannot be printed")
    return None


def check_size(size: int) -> Refused | None:
    """Sizes are positive multiples of 4 KiB up to 64 TiB."""
    if size <= 0:
        return invalid(f"a volume of {size} bytes is not possible; the smallest is {format_size(BLOCK)}")
    if size % BLOCK:
        below = size - size % BLOCK
        return invalid(
            f"a size of {size} bytes is not a multiple of {format_size(BLOCK)}; the next that is: {below + BLOCK}"
        )
    if size > SIZE_MAX:
        return invalid(f"{format_size(size)} is more than a volume may have ({format_size(SIZE_MAX)})")
    return None


def check_labels(labels: tuple[tuple[str, str], ...], what: str, most: int) -> Refused | None:
    """A few keys, each once, all short."""
    if len(labels) > most:
        return invalid(f"{len(labels)} {what}s are more than the {most} that may be set")
    if len({key for key, _ in labels}) < len(labels):
        return invalid(f"a {what} is set twice")
    return next((r for key, _ in labels if (r := check_text(what, key))), None) or next(
        (r for key, value in labels if value and (r := check_text(f"{what} {key}", value))), None
    )


def check_spec(spec: Spec) -> Refused | None:
    """A number of replicas that makes sense, and a few label keys."""
    if spec.replicas is not None and not 1 <= spec.replicas <= REPLICAS_MAX:
        return invalid(f"{spec.replicas} replicas are not possible; choose 1 to {REPLICAS_MAX}, or auto")
    keys = tuple((key, "") for key in spec.domain_keys)
    return check_labels(keys, "failure domain", KEYS_MAX) or check_labels(
        spec.node_selector, "node selector", KEYS_MAX
    )
