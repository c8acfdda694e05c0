"""A file for whoever helps: what is known to be harmless about a store, and nothing else.

Nothing is masked: every text that goes in is one of a form or a list that is known to hold neither data nor secrets, so
that a secret in a place that nobody thought of stays out too.
"""

import builtins
import json
import os
import platform
import re
import shutil
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msgspec.inspect import BoolType, DictType, FloatType, IntType, StructType, Type, UnionType, VarTupleType, type_info

from slipway import errors
from slipway.errors import SlipwayError
from slipway.hosts.blob_places import remembered_place
from slipway.hosts.settings import Settings
from slipway.ledger import archive, entries, events
from slipway.ledger.projects import list_projects
from slipway.operations.declare import Empty, call, check_allowed
from slipway.operations.executions import KINDS, STATES, AskExecutions
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.loop import Retraining
from slipway.records.models import ModelVersion
from slipway.records.notifications import CHANNELS
from slipway.records.people import Person
from slipway.records.projects import Project
from slipway.records.record import Record
from slipway.records.responsibility import DEFAULT, STAGES
from slipway.records.runs import Run, StepRun
from slipway.records.schedules import Firing, Schedule
from slipway.records.tables import TableVersion

__all__ = ["RIGHT", "made", "shown_line", "shown_settings"]

RIGHT = "settings.read"

_LIBRARIES = (
    *("msgspec", "blake3", "cryptography", "click", "starlette", "uvicorn", "anyio", "jinja2", "polars", "numpy"),
    *("pandas", "pyarrow", "scikit-learn", "skops", "lightgbm", "xgboost", "torch", "onnxruntime", "duckdb"),
    *("psycopg", "obstore", "redis", "ray", "optuna", "uv", "joserfc", "sqlalchemy", "deltalake"),
)
_COUNTED: tuple[type[Record], ...] = (
    *(Project, Person, Run, StepRun, TableVersion, ModelVersion, Revision, Retraining, Schedule, Firing),
)
_COUNTED_TO = 10_000
_SIZED = ("blobs", "tables", "endpoints", "run-logs", "step-logs", "tasks", "keys", "environments", "simulations")
_WORDS = frozenset(
    {
        *("threads", "processes", "ray", "dev", "test", "prod", "none", "tls", "starttls", "never"),
        *("console", "mail", "webhook", "slack", "apprise", "page", "alert", "note"),
        *(
            "sqlite",
            "postgresql",
            "s3",
            "gs",
            "az",
            "redis",
            "rediss",
            "http",
            "https",
            "file",
            "git",
            "env",
            "command",
        ),
    }
)
"""Texts of settings that are shown; of a URL its scheme."""
_NAMES = frozenset({"dev", "test", "prod", *CHANNELS, DEFAULT, *STAGES})
"""Names that people give, of sections, which are shown."""
_SECRET = frozenset({"secret", "client_secret", "password", "user"})
"""Keys of which no text is shown, whatever it is."""
_VARIABLES = ("SLIPWAY_STORE", "SLIPWAY_BLOBS", "SLIPWAY_SERVER", "SLIPWAY_TOKEN", "SLIPWAY_ONLINE")
_LINES = 500
_TAIL_BYTES = 1 << 20
_HOME = Path(errors.__file__).parent
_INSTALLED = "/site-packages/slipway/"
_FRAME = re.compile(r'\s*File "([^"]+)", line (\d+), in (\w+)')
_RAISED = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
_REQUEST = re.compile(
    rf"(\d{{4}}-\d\d-\d\dT[\d:.]{{8,12}}Z) ({'|'.join(_METHODS)}) (/[a-z0-9_/{{}}.:-]*|\(none\)) (\d{{3}}) ([\d.]+) ms\b"
)
_NO_ROUTE = "(none)"
_LOGGED = ("at", "level", "method", "route", "status", "ms")
_AT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,12}Z")
_LEVELS = ("debug", "info", "warning", "error", "critical")


def made(
    root: Path | None,
    settings_file: Path | None,
    findings: Iterable[tuple[str, bool, str]],
    opened: Callable[[], Workspace],
    routes: frozenset[str],
) -> bytes:
    """The whole file, a zip.

    Args:
        root: The store's folder, None where there is none.
        settings_file: The project's slipway.toml, None without one.
        findings: What the doctor looked at, whether it is well, and what was found.
        opened: Opens the store, with the project "".
        routes: Those that a server declares.

    Raises:
        Denied: Who asks may not see how the store is set up.
    """
    parts: dict[str, Any] = {"versions.json": _versions(), "doctor.json": list(_findings(findings))}
    parts["settings.json"] = shown_settings(settings_file, _environment())
    if root is not None:
        parts["sizes.json"] = _sizes(root)
        parts |= _of_ledger(opened)
        parts["logs.json"] = {name: _shown_lines(path, routes) for name, path in _logs(root)}
    readme = (
        "What `slipway support-bundle` found. No rows, values, names of people or secrets are meant to be in here.\n"
    )
    files = {name: json.dumps(part, indent=1, default=str).encode() for name, part in parts.items()}
    return archive.pack({"README.txt": readme.encode(), **files})


def _versions() -> dict[str, object]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "slipway": version("slipway"),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": re.match(r"[\d.]*", platform.release())[0],  # type: ignore[index]  # it matches nothing at least
        "sqlite": sqlite3.sqlite_version,
        "libraries": found,
    }


def _findings(findings: Iterable[tuple[str, bool, str]]) -> Iterator[dict[str, object]]:
    """What was looked at; what was found only where that is a version or a missing library."""
    for about, is_well, found in findings:
        is_plain = about.startswith(("extra ", "OpenMP"))
        kind = about if is_plain or about in ("Python", "store", "disk", "project", "server") else about.split(" ")[0]
        shown = {"about": kind, "is_well": is_well}
        yield shown | {"found": found} if is_plain else shown


def _environment() -> dict[str, str]:
    return {name: "(set)" for name in _VARIABLES if os.environ.get(name)}


def shown_settings(file: Path | None, variables: dict[str, str]) -> dict[str, object]:
    """The keys of slipway.toml that Slipway knows, with numbers, and words that are known; all else is "(set)".

    Args:
        file: The file, None without one.
        variables: Environment variables that count.
    """
    if file is None:
        return {"slipway.toml": None, "environment": variables}
    try:
        values = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        return {"slipway.toml": f"cannot be read: {type(problem).__name__}", "environment": variables}
    return {"slipway.toml": _shown(values, (type_info(Settings),)), "environment": variables}


def _shown(value: Any, kinds: tuple[Type, ...], key: str = "") -> Any:
    """A value as far as it is what Slipway knows under its key: another one may be anything, a secret too.

    Args:
        value: As it stands in the file.
        kinds: What may stand there, () under a key that Slipway does not know.
        key: The key, or that of the list.
    """
    if isinstance(value, dict):
        known = {
            field.name: _kinds(field.type) for kind in kinds if isinstance(kind, StructType) for field in kind.fields
        }
        inner = next((_kinds(kind.value_type) for kind in kinds if isinstance(kind, DictType)), None)
        if inner is not None:
            known = dict.fromkeys(value, inner)
        shown = {name for name in known if inner is None or name in _NAMES}
        named = ((name if name in shown else f"(name {i})", name) for i, name in enumerate(value, 1))
        return {told: _shown(value[name], known.get(name, ()), name) for told, name in named}
    if isinstance(value, list):
        items = tuple(one for kind in kinds if isinstance(kind, VarTupleType) for one in _kinds(kind.item_type))
        return [_shown(one, items, key) for one in value]
    if value == "" or (isinstance(value, str) and kinds and key not in _SECRET):
        scheme, sign, _ = value.partition(":")
        return value if value in _WORDS or not value else f"{scheme}:(set)" if sign and scheme in _WORDS else "(set)"
    is_number = isinstance(value, int | float) and any(
        isinstance(kind, IntType | FloatType | BoolType) for kind in kinds
    )
    return value if is_number and abs(value) < 1 << 16 else "(set)"


def _kinds(kind: Type) -> tuple[Type, ...]:
    return tuple(kind.types) if isinstance(kind, UnionType) else (kind,)


def _sizes(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in _SIZED:
        sizes = [path.stat().st_size for path in (root / name).rglob("*") if path.is_file()]
        if sizes:
            found[name] = {"files": len(sizes), "bytes": sum(sizes)}
    for name in ("ledger.db", "ledger.db-wal"):
        if (root / name).is_file():
            found[name] = {"bytes": (root / name).stat().st_size}
    place = remembered_place(root)
    there = next(path for path in (root, *root.parents) if path.exists())
    return {"folders": found, "disk_free_bytes": shutil.disk_usage(there).free, "objects": place.partition(":")[0]}


def _of_ledger(opened: Callable[[], Workspace]) -> dict[str, Any]:
    """What the ledger says of itself; the class of what went wrong, where it cannot be opened or read."""
    try:
        workspace = opened()
    except SlipwayError as problem:
        return {"ledger.json": {"problem": type(problem).__name__}}
    with closing(workspace.ledger):
        check_allowed(workspace, "support.bundle", RIGHT)
        try:
            return {"ledger.json": _ledger(workspace), "executions.json": list(_executions(workspace))}
        except SlipwayError as problem:
            return {"ledger.json": {"problem": type(problem).__name__}}


def _ledger(workspace: Workspace) -> dict[str, object]:
    with workspace.ledger.read() as tx:
        counts = {}
        for kind in map(entries.kind_of, _COUNTED):
            found = len(tx.find(kind, limit=_COUNTED_TO))
            counts[kind] = f"{found}{' or more' if found == _COUNTED_TO else ''}"
        told = {"records": counts, "events": events.newest_seq(tx), "roots": len(tx.roots())}
    return {"database": workspace.ledger.database, "schema": workspace.ledger.schema, **told}


def _executions(workspace: Workspace) -> Iterator[dict[str, object]]:
    """The last executions: what sort, how they ended, when and for how long; of runs the class of the error."""
    for number, project in enumerate(list_projects(workspace, Empty()).projects, 1):
        there = replace(workspace, project=project.name)
        answer = call(there, operation("executions.list"), AskExecutions(limit=100))
        for one in answer.executions:
            if one.kind not in KINDS or one.state not in STATES:
                continue
            told = {"project": number, "kind": one.kind, "state": one.state, "started_at": one.started_at}
            error = _error(there, one.id) if one.kind == "run" else ""
            yield told | {"seconds": one.seconds} | ({"error": error} if error else {})


def _error(workspace: Workspace, run_id: str) -> str:
    """The class of what ended a run, where it is one of Python's or Slipway's: a project's own may say anything."""
    with workspace.ledger.read() as tx:
        entry = tx.get(entries.kind_of(Run), run_id)
    error = None if entry is None else entries.decoded(entry, Run).error
    if error is None:
        return ""
    return error.type if _is_known(error.type) else "of the project"


def _logs(root: Path) -> Iterator[tuple[str, Path]]:
    """Logs that the processes of the store write, under names that tell nothing."""
    if (root / "server.log").is_file():
        yield "server", root / "server.log"
    for number, home in enumerate(sorted((root / "endpoints").glob("*/*/")), 1):
        for path in sorted(home.glob("*.log")):
            if path.is_file():
                yield f"endpoint {number} {'front' if path.name == 'front.log' else 'worker'}", path


def _shown_lines(path: Path, routes: frozenset[str]) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_LINES:]
    return [shown_line(line, routes) for line in lines]


def shown_line(line: str, routes: frozenset[str] = frozenset()) -> str:
    """What of a log's line is known to be harmless: a request by its route, a frame in Slipway's code, an error's class.

    Args:
        line: The line.
        routes: Those that a server declares; any other is hidden.
    """
    if line.startswith("{"):
        try:
            told = json.loads(line)
        except ValueError:
            told = {}
        kept = {name: told[name] for name in _LOGGED if name in told and _is_harmless(name, told[name], routes)}
        return json.dumps(kept) if kept else "(a line)"
    if match := _REQUEST.match(line):
        at, method, route, status, ms = match.groups()
        return f"{at} {method} {route if _is_harmless('route', route, routes) else '(a route)'} {status} {ms} ms"
    if (match := _FRAME.match(line)) and (own := _own_file(match[1])):
        return f"  slipway/{own}, line {match[2]}, in {match[3]}"
    if line.startswith("Traceback (most recent call last)"):
        return "Traceback"
    if (match := _RAISED.match(line)) and (shown := _shown_class(match[1])):
        return shown
    return "(a line)"


def _own_file(path: str) -> str:
    """A file of Slipway's own by its path in the package, "" for any other: folders of others are called slipway too.

    It lies in this package, or where packages are installed, as in an endpoint's environment; and this package has it.
    """
    path = path.replace("\\", "/")
    home = f"{_HOME.as_posix()}/"
    own = path.removeprefix(home) if path.startswith(home) else path.rpartition(_INSTALLED)[2]
    is_own = own != path and ".." not in own and (_HOME / own).is_file()
    return own if is_own else ""


def _shown_class(name: str) -> str:
    """The class that ends a traceback, where it is Python's or Slipway's: a project's own may say anything. "" for no class."""
    own = name.removeprefix("slipway.errors.")
    if _is_known(own) and (name == own or hasattr(errors, own)):
        return name
    return "(an error)" if name.rpartition(".")[2].endswith(("Error", "Exception", "Interrupt", "Exit")) else ""


def _is_known(name: str) -> bool:
    """Whether a class of errors is one of Python's or Slipway's."""
    found = getattr(builtins, name, None) or getattr(errors, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def _is_harmless(name: str, value: object, routes: frozenset[str]) -> bool:
    if name in ("status", "ms"):
        return isinstance(value, int | float) and 0 <= value < (1000 if name == "status" else 1e8)
    if not isinstance(value, str):
        return False
    if name == "at":
        return _AT.fullmatch(value) is not None
    return value in {"route": {_NO_ROUTE, *routes}, "level": _LEVELS, "method": _METHODS}[name]
