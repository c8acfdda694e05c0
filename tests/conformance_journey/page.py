"""docs/conformance.md: each behaviour with its verdict in both columns."""

from collections.abc import Mapping
from pathlib import Path

from conformance_journey.behaviours import AREAS, BEHAVIOURS, sentence
from conformance_journey.world import COLUMNS

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
HEAD = """# The same on one machine and on many

{count} behaviours, one project, one code. Each was tried in two environments that differ in five lines of slipway.toml:

- **embedded**: the ledger in SQLite, blobs and tables in a folder, the embedded online store, steps in processes of this
  machine;
- **scaled**: the ledger in PostgreSQL, blobs and tables in S3, the online store in Redis, steps on a Ray cluster. S3 was
  moto's server, the cluster had one node; all of it ran on one machine, so nothing here is said of the network between them.

{held} How to move from one to the other: [growing](growing.md).

The behaviours and the project are in `tests/conformance_journey`. `make conformance` goes through both columns and
writes this page; `tests/postgres_here.py`, `redis_here.py` and `s3_here.py` say how the servers are started.
"""


def written(failed: Mapping[str, Mapping[str, str]], name_of: Mapping[str, str]) -> str:
    """The page.

    Args:
        failed: What failed, by column and the behaviour's name.
        name_of: The behaviour's name by its sentence.
    """
    held = [sum(name_of[sentence(one)] not in failed[column] for one in BEHAVIOURS) for column in COLUMNS]
    told = f"Of {len(BEHAVIOURS)}, {held[0]} hold embedded and {held[1]} scaled."
    lines = [HEAD.format(count=len(BEHAVIOURS), held=told)]
    for area, behaviours in AREAS.items():
        lines += [f"## {area}\n", "| behaviour | embedded | scaled |", "|---|---|---|"]
        for one in behaviours:
            words = ["fails" if name_of[sentence(one)] in failed[column] else "holds" for column in COLUMNS]
            lines.append(f"| {sentence(one)} | {' | '.join(words)} |")
        lines.append("")
    return "\n".join(lines)


def sentences(text: str) -> list[str]:
    """The behaviours that a page lists, in its order."""
    rows = [line[2:].partition(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    return [one for one in rows if one != "behaviour"]
