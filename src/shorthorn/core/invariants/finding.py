"""One violation, said so that a person can act on it."""

from enum import StrEnum

from shorthorn.core.model.record import Record


class Severity(StrEnum):
    """Broken: must never be, our bug or a damaged store. Odd: not unsafe by itself, but nothing should leave it so."""

    BROKEN = "broken"
    ODD = "odd"


class Finding(Record):
    """`rule` names the invariant (docs/design.md section 4) or the finding of docs/protocol.md, `subject` the record."""

    severity: Severity
    rule: str
    subject: str
    what: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.subject}: {self.what} ({self.rule}, {self.severity})"


def broken(rule: str, subject: str, what: str) -> Finding:
    """Must never be."""
    return Finding(severity=Severity.BROKEN, rule=rule, subject=subject, what=what)


def odd(rule: str, subject: str, what: str) -> Finding:
    """Should not stay."""
    return Finding(severity=Severity.ODD, rule=rule, subject=subject, what=what)
