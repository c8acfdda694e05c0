"""Which endpoint answers a request: the one behind its own address, or by name where several share one."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from slipway.errors import NotFound, Unavailable
from slipway.serving.counters import COUNTERS_FILE, Counters
from slipway.serving.front import Found
from slipway.serving.front_links import Backend
from slipway.serving.front_routes import read_routes

__all__ = ["ByName", "of_one"]

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_LOOK_S = 0.2
_BELOW = (b"/health", b"/metrics", b"/invocations")
_PROBES = (b"/health", b"/metrics", b"/v2/health/live", b"/v2/health/ready")


def of_one(backend: Backend) -> Callable[[bytes], Found]:
    """Everything is for one endpoint."""
    return lambda target: at(backend, target)


class ByName:
    """The endpoints of a store that share a port, by their names.

    `/endpoints/NAME/...` and `/v2/models/NAME/...` name one; `/PROJECT/endpoints/NAME/...` where two projects have the
    name. What an endpoint of its own port answers besides lies below its name: `/endpoints/NAME/metrics`.

    Args:
        folder: Where the endpoints lie, project by project.
        opened: Opens the workers of an endpoint's folder.
    """

    def __init__(self, folder: Path, opened: Callable[[Path], Backend]) -> None:
        self._folder = folder
        self._opened = opened
        self._known: dict[tuple[str, str], Backend] = {}
        self._looked = 0.0

    def backends(self) -> list[Backend]:
        """All of them."""
        return list(self._known.values())

    def look(self) -> None:
        """Take up endpoints that came since, and let go of those whose folder is gone."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        there = {(project, name) for project in _folders(self._folder) for name in _folders(self._folder / project)}
        for key in self._known.keys() - there:
            self._known.pop(key).close()
        for project, name in there - self._known.keys():
            folder = self._folder / project / name
            if (routes := read_routes(folder)[0]) is not None and routes.is_shared:
                self._known[project, name] = self._opened(folder)

    def find(self, target: bytes) -> Found:
        """Who answers a request."""
        path, mark, query = target.decode("latin-1").partition("?")
        parts = path.split("/")
        if parts[1:] == ["health"]:
            return Found(answer=(200, b'{"status":"ready"}', "application/json"))
        if len(parts) > 3 and parts[2] == "endpoints":
            backend = self._known.get((parts[1], parts[3]))
            name, rest = parts[3], parts[4:]
        elif len(parts) > 2 and parts[1] == "endpoints":
            name, rest = parts[2], parts[3:]
            backend = self._named(name)
        elif len(parts) > 3 and parts[1:3] == ["v2", "models"]:
            backend = self._named(parts[3])
            return _missing(path) if backend is None else at(backend, target)
        else:
            return _missing(path)
        if backend is None:
            return _missing(path)
        own = (
            "/".join(["", *rest])
            if f"/{'/'.join(rest)}".encode() in _BELOW
            else "/".join(["", "endpoints", name, *rest])
        )
        return at(backend, f"{own}{mark}{query}".encode("latin-1"))

    def _named(self, name: str) -> Backend | None:
        found = [backend for (_, known), backend in self._known.items() if known == name]
        return found[0] if len(found) == 1 else None


def _folders(folder: Path) -> list[str]:
    """The names of the folders in one: listed, not asked one after the other, for this is done all the time."""
    try:
        with os.scandir(folder) as found:
            return [one.name for one in found if one.is_dir()]
    except FileNotFoundError:
        return []


def _missing(path: str) -> Found:
    return Found(
        answer=NotFound(
            f"There is nothing at {path}.",
            why="Several endpoints share this port, and answer by their names.",
            fix="Ask /endpoints/NAME/predict; or /PROJECT/endpoints/NAME/predict, where two projects have the name.",
        )
    )


def at(backend: Backend, target: bytes) -> Found:
    """A request to an endpoint, with its target as the endpoint knows it; a probe neither wakes it nor waits for it."""
    if target.partition(b"?")[0] not in _PROBES:
        return Found(backend, target)
    if backend.has_workers:
        return Found(backend, target, counts=False)
    if not backend.is_known:
        return Found(answer=backend.stopped())
    return Found(answer=_asleep(backend, target.partition(b"?")[0]))


def _asleep(backend: Backend, path: bytes) -> tuple[int, bytes, str] | Unavailable:
    routes = backend.routes
    if not routes.sleeps:
        return Unavailable(f"No worker of the endpoint {routes.name!r} is up.", fix="Ask again in a moment.")
    if path != b"/metrics":
        return 200, msgspec.json.encode({"status": "asleep", "revision": routes.revision}), "application/json"
    if not routes.is_open:
        return Unavailable(
            f"The endpoint {routes.name!r} sleeps: nobody is there to look at a token.",
            fix="Its state is told by GET /health, and its figures once it was asked for a prediction.",
        )
    text = Counters(backend.folder / COUNTERS_FILE).text(routes.name) + backend.figures.text(routes.name)
    return 200, text.encode(), PROMETHEUS
