"""Hunts every mutant of the catalogue and prints the table: python -m tests.mutants [--only NAME…] [--kind KIND] [--output json]

Ends with 1 when one survives that should be caught. As JSON: {"mutants": [{name, rule, source, kind, ok, by, fast, what}]}.
A row that several nets catch names all of them, the fastest first.
"""

import argparse
import json
import sys
import time

from tests.mutants.catalogue import Entry, catalogue
from tests.mutants.nets import catch_all


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.mutants")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--kind", default="")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    given = parser.parse_args()
    chosen = [e for e in catalogue() if not given.only or e.name in given.only]
    rows = [_row(entry) for entry in chosen if not given.kind or entry.kind == given.kind]
    if given.output == "json":
        print(json.dumps({"mutants": rows}))
    survivors = [str(row["name"]) for row in rows if not row["ok"]]
    print(f"{len(rows) - len(survivors)} of {len(rows)} are as they should be; {survivors}", file=sys.stderr)
    return 1 if survivors or not rows else 0


def _row(entry: Entry) -> dict[str, object]:
    began = time.monotonic()
    caught = catch_all(entry)
    row: dict[str, object] = {
        "name": entry.name,
        "rule": entry.rule,
        "source": entry.source,
        "kind": entry.kind,
        "ok": not caught if entry.allowed else bool(caught),
        "by": "; ".join(c.by for c in caught)
        or (entry.allowed and f"nothing, as it should be: {entry.allowed}"),
        "fast": "; ".join(c.fast for c in caught),
        "what": caught[0].what[:200] if caught else "",
        "seconds": round(time.monotonic() - began, 2),
    }
    print(f"{entry.name}: {row['by'] or 'SURVIVES'} ({row['fast']}): {row['what']}", file=sys.stderr)
    return row


if __name__ == "__main__":
    sys.exit(main())
