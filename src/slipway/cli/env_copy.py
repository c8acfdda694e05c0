"""What `slipway env copy` says: sizes, how far it is, the verdict, and what to change in slipway.toml."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from slipway.cli.layout import columns, count
from slipway.records.copies import StoreCopy

__all__ = ["size_text", "speaker", "verdict_text"]

_EVERY_S = 2.0
_SHOWN = 40


def speaker() -> Callable[[str, int, int], None]:
    """Says on standard error how far a copying is: when something new begins, and every two seconds."""
    last, said_at = "", 0.0

    def say(what: str, done: int, of: int) -> None:
        nonlocal last, said_at
        now = time.monotonic()
        if what == last and now - said_at < _EVERY_S:
            return
        last, said_at = what, now
        figures = f" {done:,} of {of:,}" if of else ""
        click.echo(f"{what}{figures}", err=True)
        sys.stderr.flush()

    return say


def size_text(found: StoreCopy) -> str:
    """What would be copied, as a table."""
    rows = [("rows of the ledger", f"{sum(one.rows for one in found.ledger):,}", "")]
    rows += [(one.sort, f"{one.count:,}", _megabytes(one.size_bytes)) for one in found.files]
    return (
        f"{columns(('what', 'count', 'size'), rows, empty='')}\n"
        f"Nothing was copied: this was a trial. To do it: slipway env copy {found.source} {found.target}"
    )


def verdict_text(found: StoreCopy, section: str) -> str:
    """What was copied, whether it is the same, and what to do next."""
    files = ", ".join(f"{one.count:,} {one.sort} ({_megabytes(one.size_bytes)})" for one in found.files)
    lines = [f"Compared: {count(sum(one.rows for one in found.ledger), 'row')} of the ledger, {files}."]
    if found.differences:
        lines += found.differences[:_SHOWN]
        if len(found.differences) > _SHOWN:
            lines.append(f"... and {len(found.differences) - _SHOWN:,} more")
        return "\n".join(lines)
    moment = f"{found.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    lines.append(
        f"All are equal in {found.source} and {found.target}. What is written to {found.source} after {moment} is not copied."
    )
    if found.written_meanwhile:
        lines.append(f"It has been written to: {count(found.written_meanwhile, 'event')} since.")
    lines += [
        f"Next: stop what uses {found.source}, type the same command once more, and let it live there from now on, by this "
        "section of slipway.toml:",
        "",
        section,
    ]
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
