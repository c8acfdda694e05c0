"""What MLflow's stores have in common: states, instants, and its plain YAML."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from slipway.errors import Corrupt
from slipway.records.runs import RunState

__all__ = ["as_logged", "files_in", "instant", "local_path", "read_yaml", "state_of"]

_STATES: dict[str, RunState] = {
    "1": "running", "2": "scheduled", "3": "finished", "4": "failed", "5": "killed",
    "RUNNING": "running", "SCHEDULED": "scheduled", "FINISHED": "finished", "FAILED": "failed", "KILLED": "killed",
}  # fmt: skip
_ENTRY = re.compile(r"""( *)('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^\s'"#-][^:]*?|-[^\s:][^:]*?):(?: +(.*))?$""")


def state_of(said: object) -> RunState:
    """A run's state, from MLflow's number or word."""
    return _STATES.get(str(said), "finished")


def instant(millis: object) -> datetime | None:
    """An instant of milliseconds since the epoch; None for nothing or 0."""
    return datetime.fromtimestamp(int(str(millis)) / 1000, UTC) if millis not in (None, "", 0, "0") else None


def as_logged(value: object) -> float:
    """A metric's value as it was logged: MLflow's databases hold no infinity, and the greatest number in its place."""
    found = float(str(value))
    return found * 2 if abs(found) >= sys.float_info.max else found


def local_path(address: str) -> Path | None:
    """The path that an address of files names on this machine; None for one elsewhere."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(address) if not parts.scheme or len(parts.scheme) == 1 else None


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder by their path in it, sorted; links that lead out of it are left out."""
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.resolve().is_relative_to(root):
            yield path.relative_to(folder).as_posix(), path


def read_yaml(text: str) -> dict[str, Any]:
    """The mapping in a text of YAML as MLflow writes it: block mappings and lists, plain and quoted texts.

    Values are texts, None, lists or mappings; nobody is told a number from a text that looks like one.

    Raises:
        Corrupt: It is no such text.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found, at = _mapping(lines, 0, 0)
    if at < len(lines):
        raise Corrupt(f"A line of YAML cannot be read: {lines[at].strip()[:80]!r}.", fix="Look at the file it is in.")
    return found


def _mapping(lines: Sequence[str], at: int, indent: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while at < len(lines):
        match = _ENTRY.match(lines[at])
        if match is None or len(match[1]) != indent or lines[at].lstrip().startswith("- "):
            break
        key, value = _scalar(match[2]), (match[3] or "").strip()
        at += 1
        if value:
            value, at = _continued(lines, at, indent, value)
            found[str(key)] = _scalar(value)
        elif at < len(lines) and lines[at].lstrip().startswith("- ") and _indent(lines[at]) >= indent:
            found[str(key)], at = _list(lines, at, _indent(lines[at]))
        elif at < len(lines) and _indent(lines[at]) > indent:
            found[str(key)], at = _mapping(lines, at, _indent(lines[at]))
        else:
            found[str(key)] = None
    return found, at


def _list(lines: Sequence[str], at: int, indent: int) -> tuple[list[Any], int]:
    """The items of a list as texts; what an item holds besides is read past."""
    found: list[Any] = []
    while at < len(lines) and _indent(lines[at]) == indent and lines[at].lstrip().startswith("- "):
        found.append(_scalar(lines[at].strip()[2:].strip()))
        at += 1
        while at < len(lines) and _indent(lines[at]) > indent:
            at += 1
    return found, at


def _continued(lines: Sequence[str], at: int, indent: int, value: str) -> tuple[str, int]:
    """A text that goes on in the next lines, which are further in."""
    quote = value[0] if value[0] in "'\"" else ""
    while at < len(lines) and (not _is_closed(value, quote) if quote else _indent(lines[at]) > indent):
        more = lines[at].strip()
        value = value[:-1] + more.removeprefix("\\") if value.endswith("\\") and quote == '"' else f"{value} {more}"
        at += 1
    return value, at


def _is_closed(value: str, quote: str) -> bool:
    if quote == "'":
        return len(value) > 1 and value.endswith("'") and value.count("'") % 2 == 0
    return len(value) > 1 and re.fullmatch(r'"(?:[^"\\]|\\.)*"', value) is not None


def _scalar(value: str) -> Any:
    if value[:1] == "'":
        return value[1:-1].replace("''", "'")
    if value[:1] == '"':
        try:
            return json.loads(re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", value).replace("\\ ", " "))
        except ValueError:
            return value[1:-1]
    return {"null": None, "~": None, "": None, "[]": [], "{}": {}}.get(value, value)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
