"""What differs between two environments, in words: read by operations, so a server's are compared like one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from slipway.cli.door import Door, Way
from slipway.hosts.ledgers import is_store
from slipway.hosts.settings import Settings
from slipway.operations.runs import RunDetail
from slipway.records.models import ModelVersion

__all__ = ["Difference", "Differences", "Seen", "differences", "seen"]

_NEWEST = "newest"


class Seen(Struct, frozen=True, kw_only=True):
    """An environment as it is compared: each sort of thing as name -> what it is there, in words.

    Args:
        settings: Keys of its section.
        tables: The newest version of each table.
        models: The newest version of each model, and where its aliases point: "delays champion".
        endpoints: What each endpoint serves.
        python: The interpreter of the newest finished run, "" where there is none.
        libraries: What that run imported, by name.
    """

    settings: dict[str, str] = {}
    tables: dict[str, str] = {}
    models: dict[str, str] = {}
    endpoints: dict[str, str] = {}
    python: str = ""
    libraries: dict[str, str] = {}


class Difference(Struct, frozen=True):
    """One difference: what it is about ("settings", "table", "model", "endpoint", "Python", "library"), and its sentence."""

    about: str
    words: str


class Differences(Struct, frozen=True, kw_only=True):
    """All differences of two environments; () where there are none."""

    first: str
    second: str
    differences: tuple[Difference, ...]


def seen(home: Path, settings: Settings, name: str) -> Seen:
    """Look at an environment; one that nobody opened yet holds nothing, and is not made by looking.

    Raises:
        NotFound: There is no environment of this name.
        Unavailable: Its server or its database cannot be reached.
    """
    chosen = settings.environment(name)
    written = {key: str(value) for key, value in asdict(chosen).items()}
    if chosen.server:
        written["store"] = ""  # the folder holds what waits to be sent there, and is no store
    if not chosen.server and not chosen.ledger and not is_store(home / chosen.store):
        return Seen(settings=written)
    with Way(home, environment=name).open() as door:
        return _through(door, written)


def _through(door: Door, settings: dict[str, str]) -> Seen:
    newest = door.call("runs.search", where="state = 'finished'", limit=1).runs
    detail: RunDetail | None = door.call("runs.get", id=newest[0].run.id) if newest else None
    told = detail.run.environment if detail is not None else None
    lock = detail.lock if detail is not None else None
    pinned = (line.partition("==") for line in (lock.names if lock is not None else told.lock if told else ()))
    return Seen(
        settings=settings,
        tables={one.name: f"version {one.number} ({one.version[:12]})" for one in door.call("tables.list").tables},
        models=_models(door),
        endpoints={
            one.revision.name: f"revision {one.revision.number}, {one.revision.served.model} "
            f"{one.revision.served.number} ({one.revision.served.bundle[:12]})"
            for one in door.call("endpoints.list").endpoints
        },
        python=told.python if told is not None else "",
        libraries={name: version for name, _, version in pinned},
    )


def _models(door: Door) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in door.call("models.list").models:  # newest first
        found.setdefault(f"{row.version.name} {_NEWEST}", _model(row.version))
        for alias in row.aliases:
            found[f"{row.version.name} {alias}"] = _model(row.version)
    return found


def _model(version: ModelVersion) -> str:
    return f"version {version.number}" + (f" ({version.bundle[:12]})" if version.bundle else "")


def differences(first: str, second: str, one: Seen, other: Seen) -> Iterator[Difference]:
    """Say what differs: settings first, then what was made of them.

    Args:
        first: The name of the one.
        second: The name of the other.
        one: The one.
        other: The other.
    """
    for key, here, there in _unequal(one.settings, other.settings):
        words = f"{key} is {_quoted(here)} in {first}, {_quoted(there)} in {second}"
        yield Difference("settings", words)
    sorts = (("table", one.tables, other.tables), ("model", one.models, other.models))
    for about, ours, theirs in (*sorts, ("endpoint", one.endpoints, other.endpoints)):
        for name, here, there in _unequal(ours, theirs):
            yield Difference(about, _words(name, here, there, first, second))
    if one.python and other.python:
        if one.python != other.python:
            yield Difference("Python", f"{one.python} in {first}, {other.python} in {second}")
        for name, here, there in _unequal(one.libraries, other.libraries):
            yield Difference("library", _words(name, here, there, first, second))
    elif one.python or other.python:
        without = second if one.python else first
        yield Difference("library", f"no run finished in {without}, so Python and libraries cannot be compared")


def _unequal(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name, "") != other.get(name, ""):
            yield name, one.get(name, ""), other.get(name, "")


def _words(name: str, here: str, there: str, first: str, second: str) -> str:
    if not there:
        return f"{name}: {here} in {first}, not in {second}"
    if not here:
        return f"{name}: {there} in {second}, not in {first}"
    return f"{name}: {here} in {first}, {there} in {second}"


def _quoted(value: str) -> str:
    return repr(value) if value else "not set"
