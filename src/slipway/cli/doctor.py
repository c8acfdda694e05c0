"""`slipway doctor`: is everything there that Slipway needs?"""

import ctypes.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import click
from msgspec import Struct

from slipway import plugins
from slipway.cli.doctor_security import security
from slipway.cli.door import Way, way_options
from slipway.cli.layout import print_json
from slipway.code import project_locks
from slipway.errors import NotFound, SlipwayError
from slipway.hosts.blob_places import look_at, remembered_place
from slipway.hosts.ledgers import is_store
from slipway.hosts.settings import find_folder, read_settings

__all__ = ["Diagnosis", "doctor", "look"]

_EXTRAS = {
    "data": ("polars", "numpy"),
    "sklearn": ("sklearn", "pandas", "pyarrow", "skops"),
    "lightgbm": ("lightgbm",),
    "onnx": ("onnxruntime",),
    "duckdb": ("duckdb",),
    "redis": ("redis",),
    "postgres": ("psycopg",),
    "objects": ("obstore",),
}
_LOW_BYTES = 1 << 30


class Diagnosis(Struct, frozen=True):
    """What was looked at, whether it is well, what was found, and what to do where it is not.

    An optional part that is missing is well, too: `found` says so.
    """

    about: str
    is_well: bool
    found: str
    remedy: str = ""


@click.command()
@click.option("--security", "is_security", is_flag=True, help="Answer instead whether data and code are protected.")
@way_options
def doctor(way: Way, is_security: bool) -> None:
    """Look whether everything that Slipway needs is there, and say what to do where it is not."""
    if is_security:
        security(way)
        return
    found = tuple(look(way))
    if way.as_json:
        print_json(found)
    else:
        for each in found:
            mark = click.style("ok     ", fg="green") if each.is_well else click.style("MISSING", fg="red", bold=True)
            click.echo(f"{mark}  {each.about}: {each.found}")
            if each.remedy:
                click.echo(f"         {each.remedy}")
    if not all(each.is_well for each in found):
        raise click.exceptions.Exit(1)


def look(way: Way) -> Iterator[Diagnosis]:
    """Look at everything, one thing after another."""
    yield _python()
    for extra, modules in _EXTRAS.items():
        yield _extra(extra, modules)
    if find_spec("lightgbm"):
        yield _openmp()
    yield from _isolated(way)
    yield from _store(way)


def _python() -> Diagnosis:
    is_well = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} at {sys.executable}"
    return Diagnosis("Python", is_well, found, "" if is_well else "Install Python 3.11 or newer.")


def _extra(extra: str, modules: tuple[str, ...]) -> Diagnosis:
    missing = [module for module in modules if find_spec(module) is None]
    if not missing:
        return Diagnosis(f"extra {extra}", True, "installed")
    remedy = f"If you want it: pip install 'slipway[{extra}]'"
    return Diagnosis(f"extra {extra}", True, f"not installed (no {', '.join(missing)})", remedy)


def _openmp() -> Diagnosis:
    found = ctypes.util.find_library("gomp") or ctypes.util.find_library("omp")
    about = "OpenMP, which LightGBM needs"
    if found:
        return Diagnosis(about, True, found)
    remedy = "Debian and Ubuntu: apt install libgomp1; macOS: brew install libomp"
    return Diagnosis(about, False, "no libgomp was found", remedy)


def _isolated(way: Way) -> Iterator[Diagnosis]:
    """What `slipway run --isolated` needs: uv, and a lock."""
    try:
        maker = plugins.load("environments", "uv")(Path(tempfile.gettempdir()))
    except SlipwayError as problem:
        yield Diagnosis("isolated runs", True, "they need uv, which is not installed", problem.fix)
        return
    try:
        home = find_folder(way.folder or Path())
    except NotFound:
        yield Diagnosis("isolated runs", True, maker.about)
        return
    try:
        path = project_locks.find(home)
        if path is not None:
            found = f"{maker.about}; they install {path.name}, {len(maker.locked(path))} packages"
            yield Diagnosis("isolated runs", True, found)
            return
    except SlipwayError as problem:
        yield Diagnosis("isolated runs", False, problem.what, problem.fix)
        return
    told = f"{maker.about}; there is no lock file, so they install what the code imports in the versions that are here"
    yield Diagnosis("isolated runs", True, told, "To fix the versions: slipway env lock, and commit what it writes.")


def _store(way: Way) -> Iterator[Diagnosis]:
    try:
        folder, ledger, blobs, online = (way.root, None, "", "") if way.root else _of_project(way)
    except NotFound as problem:
        yield Diagnosis("project", True, "none in this folder", problem.fix)
        return
    except SlipwayError as problem:
        yield Diagnosis("project", False, problem.what, problem.fix)
        return
    if folder is None:
        yield _server(way)
        return
    yield _ledger(folder, ledger)
    if place := remembered_place(folder) or blobs:
        yield _objects(place)
    yield _space(folder)
    if online:
        yield _online(online)


def _of_project(way: Way) -> tuple[Path | None, str | None, str, str]:
    """The folder of the project's store, None for one at a server, and the URLs of its ledger, blobs and online store."""
    home = find_folder(way.folder or Path())
    settings = read_settings(home).environment(way.environment)
    return None if settings.server else home / settings.store, settings.ledger, settings.blobs, settings.online


def _server(way: Way) -> Diagnosis:
    try:
        with way.open() as door:
            door.call("projects.list")
            return Diagnosis("server", True, f"{door.server} answers")
    except SlipwayError as problem:
        return Diagnosis("server", False, problem.what, problem.fix)


def _ledger(folder: Path, ledger: str | None) -> Diagnosis:
    if not ledger and not is_store(folder):
        return Diagnosis("store", True, f"{folder} is not made yet; the first command that writes makes it")
    from slipway.hosts.ledgers import open_ledger
    from slipway.ledger.events import verify

    try:
        with closing(open_ledger(folder, ledger)) as opened:
            sealed, unsealed = verify(opened, plugins.load("signer", "ed25519")(folder / "keys"))
    except SlipwayError as problem:
        return Diagnosis("store", False, problem.what, problem.fix or "Restore it from a backup.")
    found = f"{folder} can be read; {sealed:,} sealed events hold, {unsealed:,} are not sealed yet"
    return Diagnosis("store", True, found)


def _objects(place: str) -> Diagnosis:
    try:
        look_at(place)
    except SlipwayError as problem:
        return Diagnosis("object store", False, problem.what, problem.fix)
    return Diagnosis("object store", True, f"{place} answers")


def _online(url: str) -> Diagnosis:
    from slipway.hosts.online_stores import look_at

    try:
        found, advice = look_at(url)
    except SlipwayError as problem:
        return Diagnosis("online store", False, problem.what, problem.fix)
    return Diagnosis("online store", True, found, advice)


def _space(folder: Path) -> Diagnosis:
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    is_well = free >= _LOW_BYTES
    return Diagnosis(
        "disk",
        is_well,
        f"{free / 1e9:,.1f} GB free at {there}",
        "" if is_well else "Free some space: tables, bundles and logs are kept in the store.",
    )
