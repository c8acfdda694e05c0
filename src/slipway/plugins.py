"""One literal table of what is opened by name: port and name -> where it lives -> what to say when an extra is missing.

A new backend is one file, one row here and one line in a suite. A name that is not in the table is looked up among the
entry points of the group `slipway.<port>`, so that third parties can add backends of their own: see docs/plug-ins.md.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.errors import BackendError, Conflict, MissingExtra, NotFound, SlipwayError, near

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["MEMBERS", "TABLE", "Installed", "find", "installed", "is_known", "load", "names", "seldom_collected"]

_SELDOM, _USUAL = 50_000, gc.get_threshold()
_DATA = "Install Polars and NumPy for it: pip install 'slipway[data]'"
_DELTA = "Install delta-rs for it: pip install 'slipway[delta]'"
_SKLEARN = "Install scikit-learn for it: pip install 'slipway[sklearn]'"
_LIGHTGBM = (
    "Install LightGBM for it: pip install 'slipway[lightgbm]' (Debian and Ubuntu also need: apt install libgomp1)"
)
_XGBOOST = (
    "Install XGBoost for it: pip install 'slipway[xgboost]', or the wheel `xgboost`, which has a GPU's libraries too"
)
_TORCH = "Install PyTorch for it: pip install 'slipway[torch]', or before it a build of PyTorch for CPUs only, which is smaller"
_ONNX = "Install onnxruntime for it: pip install 'slipway[onnx]'"
_SQL = "Install SQLAlchemy for it: pip install 'slipway[sql]'; for PostgreSQL also 'slipway[postgres]'"
_POSTGRES = "Install psycopg for it: pip install 'slipway[postgres]'"
_OBJECTS = "Install obstore for it: pip install 'slipway[objects]'"
_OTEL = "Install it: pip install 'slipway[otel]'"
_ENVS = "Install uv for it: pip install 'slipway[envs]'"
_OIDC = "Install joserfc for it: pip install 'slipway[oidc]'"
_RAY = "Install Ray for it: pip install 'slipway[ray]'"
_OPTUNA = "Install Optuna for it: pip install 'slipway[optuna]'"
_PARQUET = "pandas keeps frames as Parquet by pyarrow: pip install 'slipway[sklearn,arrow]', or return a Polars frame."
_ARROW = "Install pyarrow for it: pip install 'slipway[arrow]'"
_NOTIFY = "Install apprise for it: pip install 'slipway[notify]'"
_PDF = "Install fpdf2 for it: pip install 'slipway[pdf]'; or write HTML (--format html) and print it in a browser"
_REDIS = "Install Redis's client for it: pip install 'slipway[redis]'"

TABLE: dict[str, dict[str, tuple[str, str]]] = {
    "ledger": {
        "sqlite": ("slipway.backends.sqlite_ledger:SqliteLedger", ""),
        "postgres": ("slipway.backends.postgres_ledger:PostgresLedger", _POSTGRES),
    },
    "blobs": {
        "local": ("slipway.backends.local_blobs:LocalBlobs", ""),
        "objects": ("slipway.backends.object_blobs:ObjectBlobs", _OBJECTS),
    },
    "online": {
        "sqlite": ("slipway.backends.sqlite_online:SqliteOnlineStore", ""),
        "redis": ("slipway.backends.redis_online:RedisOnlineStore", _REDIS),
    },
    "database_copy": {"sqlite": ("slipway.backends.sqlite_copy:copy_database", "")},
    "stream": {"redis": ("slipway.backends.redis_stream:RedisStream", _REDIS)},
    "bulk": {"arrow": ("slipway.backends.arrow_stream:ArrowStream", _ARROW)},
    "run_server": {"http": ("slipway.backends.http_runs:HttpRuns", "")},
    "signer": {"ed25519": ("slipway.backends.ed25519_signer:Ed25519Signer", "")},
    "plain_key": {"ec": ("slipway.backends.ec_key:EcKey", "")},
    "clock": {
        "system": ("slipway.backends.clocks:SystemClock", ""),
        "simulated": ("slipway.backends.clocks:SimulatedClock", ""),
        "file": ("slipway.backends.clocks:FileClock", ""),
    },
    "log_in": {"oidc": ("slipway.backends.oidc:Oidc", _OIDC)},
    "tracer": {"otlp": ("slipway.backends.otlp_tracer:OtlpTracer", _OTEL)},
    "notifier": {
        "console": ("slipway.backends.console_notifier:ConsoleNotifier", ""),
        "mail": ("slipway.backends.mail_notifier:MailNotifier", ""),
        "webhook": ("slipway.backends.webhook_notifier:WebhookNotifier", ""),
        "slack": ("slipway.backends.slack_notifier:SlackNotifier", ""),
        "apprise": ("slipway.backends.apprise_notifier:AppriseNotifier", _NOTIFY),
    },
    "launcher": {"process": ("slipway.backends.process_launcher:ProcessLauncher", "")},
    "environments": {"uv": ("slipway.backends.uv_environments:UvEnvironments", _ENVS)},
    "runner": {"process": ("slipway.backends.process_runner:ProcessRunner", "")},
    "executor": {
        "processes": ("slipway.backends.process_executor:ProcessExecutor", ""),
        "ray": ("slipway.backends.ray_executor:RayExecutor", _RAY),
        "inprocess": ("slipway.backends.inprocess_executor:InProcessExecutor", ""),
    },
    "document": {"pdf": ("slipway.backends.fpdf_document:pdf", _PDF)},
    "baseline": {"sklearn": ("slipway.backends.sklearn_baselines:fitted_baseline", _SKLEARN)},
    "sampler": {"optuna": ("slipway.backends.optuna_sampler:OptunaSampler", _OPTUNA)},
    "foreign": {"delta": ("slipway.backends.delta_table:DeltaTables", _DELTA)},
    "source": {
        "files": ("slipway.backends.files_source:FilesReader", _DATA),
        "sql": ("slipway.backends.sql_source:SqlReader", _SQL),
        "api": ("slipway.backends.api_source:ApiReader", _DATA),
        "delta": ("slipway.backends.delta_source:DeltaReader", _DELTA),
    },
    "artifact": {
        "parquet": ("slipway.backends.parquet_artifact:ParquetArtifact", _DATA),
        "npy": ("slipway.backends.npy_artifact:NpyArtifact", _DATA),
        "pandas": ("slipway.backends.pandas_artifact:PandasArtifact", _PARQUET),
        "pickle": ("slipway.backends.pickle_artifact:PickleArtifact", ""),
    },
    "foreign_runs": {
        "files": ("slipway.backends.mlflow_files:MlflowFiles", ""),
        "sqlite": ("slipway.backends.mlflow_sqlite:MlflowSqlite", ""),
        "http": ("slipway.backends.mlflow_server:MlflowServer", ""),
        "yaml": ("slipway.backends.mlflow_values:read_yaml", ""),
    },
    "service": {
        "ask": ("slipway.backends.old_service:ask_service", ""),
        "path": ("slipway.backends.old_service:path_for", ""),
    },
    "original": {
        "open": ("slipway.backends.original_models:opened", _SKLEARN),
        "ask": ("slipway.backends.original_models:original_answers", _SKLEARN),
        "describe": ("slipway.backends.original_models:described", ""),
        "said": ("slipway.backends.original_models:asked_by", ""),
        "file": ("slipway.backends.original_models:own_file", ""),
    },
    "sample": {
        "read": ("slipway.backends.pandas_samples:read_sample", _SKLEARN),
        "draw": ("slipway.backends.pandas_samples:drawn", _SKLEARN),
        "columns": ("slipway.backends.pandas_samples:as_columns", _SKLEARN),
        "categories": ("slipway.backends.pandas_samples:with_categories", _SKLEARN),
        "array": ("slipway.backends.pandas_samples:from_array", _SKLEARN),
        "frame": ("slipway.backends.pandas_frames:pandas_frame", _SKLEARN),
        "split": ("slipway.backends.pandas_samples:from_split", _SKLEARN),
        "from_polars": ("slipway.backends.pandas_frames:from_polars", _SKLEARN),
        "to_polars": ("slipway.backends.pandas_frames:to_polars", _SKLEARN),
    },
    "format": {
        "lightgbm": ("slipway.backends.lightgbm_format:LightgbmFormat", _LIGHTGBM),
        "xgboost": ("slipway.backends.xgboost_format:XgboostFormat", _XGBOOST),
        "torch": ("slipway.backends.torch_format:TorchFormat", _TORCH),
        "onnx": ("slipway.backends.onnx_format:OnnxFormat", _ONNX),
        "skops": ("slipway.backends.skops_format:SkopsFormat", _SKLEARN),
        "pickle": ("slipway.backends.pickle_format:PickleFormat", ""),
    },
    "check": {},
    "monitor": {},
    "trigger": {},
}

MEMBERS: dict[str, tuple[str, ...]] = {
    "notifier": ("repeats_are_harmless", "send"),
    "source": ("read",),
    "format": (
        "as_kept", "attributed", "content", "frame", "layout", "load", "name", "opened", "predict", "save", "task",
    ),
}  # fmt: skip
"""What a plug-in's class must have, so that one that lacks it is refused when it is opened and not when it is needed."""


class Installed(NamedTuple):
    """An installed plug-in.

    Args:
        port: Its kind.
        name: Under which it is named.
        home: The package that brings it, with its version.
        problem: Why it cannot be used, "" where it can.
        fix: What to do about that.
    """

    port: str
    name: str
    home: str
    problem: str = ""
    fix: str = ""


def names(port: str) -> tuple[str, ...]:
    """The names in the table for a port, in the order of preference."""
    return tuple(TABLE[port])


def load(port: str, name: str) -> Any:
    """The class or function behind a name; its module is imported now.

    Raises:
        NotFound: Neither the table nor an installed package knows the name.
        MissingExtra: It needs a distribution that is not installed.
        Conflict: Two installed packages bring the name.
        BackendError: The plug-in cannot be loaded, or is not what its kind must be.
    """
    if name not in TABLE[port]:
        return _opened(port, name)
    path, remedy = TABLE[port][name]
    module, _, attribute = path.partition(":")
    try:
        with seldom_collected():
            # In a context of its own: what a library reads while it is imported is no input of the step that came upon it.
            return getattr(Context().run(import_module, module), attribute)
    except ImportError as problem:
        if (problem.name or "").startswith("slipway"):
            raise
        raise MissingExtra(
            f"The {port} {name!r} needs the module {problem.name!r}, which is not installed.", fix=remedy
        ) from problem


@contextmanager
def seldom_collected() -> Iterator[None]:
    """While libraries are imported Python's collector looks seldom: they make a million objects, none of which is garbage.

    A command that imports scikit-learn spent a tenth of its time on looking. Seldom and not never: a module may work while
    it is imported.
    """
    before = gc.get_threshold()
    gc.set_threshold(_SELDOM, *before[1:])
    try:
        yield
    finally:
        if gc.get_threshold()[0] == _SELDOM:  # another thread, or what was imported, may have set another
            gc.set_threshold(*(_USUAL if before[0] == _SELDOM else before))


def is_known(port: str, name: str) -> bool:
    """Whether the table or an installed package has a name; nothing is imported."""
    return name in TABLE[port] or bool(_entries(port, name))


def find(port: str, name: str) -> str:
    """The package that brings a plug-in, with its version; nothing is imported.

    Raises:
        NotFound: None does.
        Conflict: Two do.
    """
    return _home(_the_entry(port, name))


def installed() -> list[Installed]:
    """All plug-ins that installed packages bring, each loaded to see whether it can be used."""
    from importlib.metadata import entry_points

    groups = entry_points().groups  # all at once: each look reads what is told of every installed package
    found = []
    for port in sorted(port for port in TABLE if f"slipway.{port}" in groups):
        entries = _entries(port)
        for name in sorted({entry.name for entry in entries}):
            homes = " and ".join(sorted(_home(entry) for entry in entries if entry.name == name))
            one = Installed(port, name, homes)
            if name in TABLE[port]:
                told = f"it is never used: Slipway has a {port} {name!r} of its own"
                found.append(one._replace(problem=told, fix="Give it another name in its package's entry points."))
                continue
            try:
                _opened(port, name)
                found.append(one)
            except SlipwayError as problem:
                found.append(one._replace(problem=" ".join(filter(None, (problem.what, problem.why))), fix=problem.fix))
    return found


def _entries(port: str, name: str | None = None) -> list["EntryPoint"]:
    """The entry points of a port; of a package that lies twice on the path, the first, which is the one imported."""
    from importlib.metadata import entry_points

    group = f"slipway.{port}"
    found = entry_points(group=group) if name is None else entry_points(group=group, name=name)
    each = {(entry.name, entry.value, _home(entry).partition(" ")[0]): entry for entry in reversed(tuple(found))}
    return list(each.values())


def _home(entry: "EntryPoint") -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def _the_entry(port: str, name: str) -> "EntryPoint":
    found = _entries(port, name)
    if not found:
        known = [*TABLE[port], *(entry.name for entry in _entries(port))]
        told = near(name, known, what=f"{port} backends" if TABLE[port] else f"{port} plug-ins")
        more = "" if TABLE[port] else " Install the package that brings it where this runs."
        raise NotFound(f"There is no {port} called {name!r}.", fix=told + more)
    if len(found) > 1:
        homes = sorted(_home(entry) for entry in found)
        raise Conflict(
            f"The {port} {name!r} is brought by {' and by '.join(homes)}.",
            why="Nobody can tell which of them is meant.",
            fix=f"Uninstall one of them: pip uninstall {homes[-1].partition(' ')[0]}",
        )
    return found[0]


def _opened(port: str, name: str) -> Any:
    entry = _the_entry(port, name)
    what = f"The {port} {name!r} of {_home(entry)}"
    try:
        found = entry.load()
    except ModuleNotFoundError as problem:
        raise MissingExtra(
            f"{what} needs the module {problem.name!r}, which is not installed.",
            fix=f"Install what it needs: pip install --force-reinstall {_home(entry).partition(' ')[0]}",
        ) from problem
    except AttributeError as problem:
        raise BackendError(
            f"{what} is said to be {entry.value}, which cannot be had: {problem}.",
            fix="Correct the entry point in its pyproject.toml, then install it again.",
        ) from problem
    except Exception as problem:
        raise BackendError(
            f"{what} cannot be imported: {entry.module} raised {type(problem).__name__}: {problem}",
            fix="Mend it, or uninstall it.",
        ) from problem
    lacking = [member for member in MEMBERS.get(port, ()) if not hasattr(found, member)]
    if lacking or not callable(found):
        told = (
            f"has no {' and no '.join(lacking)}" if lacking else f"is a {type(found).__name__}, which cannot be called"
        )
        raise BackendError(
            f"{what} cannot be used: it {told}.",
            why=f"A {port} must be what its suite asks of it: see docs/plug-ins.md.",
            fix="Mend it, then install it again.",
        )
    return found
