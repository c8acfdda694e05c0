"""One literal table of what is opened by name: port and name -> where it lives -> what to say when an extra is missing.

A new backend is one file, one row here and one line in a suite. A name that is not in the table is looked up among the
entry points of the group `slipway.<port>`, so that third parties can add backends of their own.
"""

from importlib import import_module
from typing import Any

from slipway.errors import MissingExtra, NotFound, near

__all__ = ["TABLE", "load", "names"]

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
_ARROW = "Install pyarrow for it: pip install 'slipway[arrow]'"
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
    "launcher": {"process": ("slipway.backends.process_launcher:ProcessLauncher", "")},
    "environments": {"uv": ("slipway.backends.uv_environments:UvEnvironments", _ENVS)},
    "runner": {"process": ("slipway.backends.process_runner:ProcessRunner", "")},
    "executor": {
        "processes": ("slipway.backends.process_executor:ProcessExecutor", ""),
        "ray": ("slipway.backends.ray_executor:RayExecutor", _RAY),
        "inprocess": ("slipway.backends.inprocess_executor:InProcessExecutor", ""),
    },
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
        "pandas": ("slipway.backends.pandas_artifact:PandasArtifact", _SKLEARN),
        "pickle": ("slipway.backends.pickle_artifact:PickleArtifact", ""),
    },
    "format": {
        "lightgbm": ("slipway.backends.lightgbm_format:LightgbmFormat", _LIGHTGBM),
        "xgboost": ("slipway.backends.xgboost_format:XgboostFormat", _XGBOOST),
        "torch": ("slipway.backends.torch_format:TorchFormat", _TORCH),
        "onnx": ("slipway.backends.onnx_format:OnnxFormat", _ONNX),
        "skops": ("slipway.backends.skops_format:SkopsFormat", _SKLEARN),
        "pickle": ("slipway.backends.pickle_format:PickleFormat", ""),
    },
}


def names(port: str) -> tuple[str, ...]:
    """The names in the table for a port, in the order of preference."""
    return tuple(TABLE[port])


def load(port: str, name: str) -> Any:
    """The class behind a name; its module is imported now.

    Raises:
        NotFound: Neither the table nor an installed entry point knows the name.
        MissingExtra: It needs a distribution that is not installed.
    """
    if name not in TABLE[port]:
        return _entry_point(port, name)
    path, remedy = TABLE[port][name]
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ImportError as problem:
        if (problem.name or "").startswith("slipway"):
            raise
        raise MissingExtra(
            f"The {port} {name!r} needs the module {problem.name!r}, which is not installed.", fix=remedy
        ) from problem


def _entry_point(port: str, name: str) -> Any:
    from importlib.metadata import entry_points

    found = entry_points(group=f"slipway.{port}", name=name)
    for entry in found:
        return entry.load()
    raise NotFound(f"There is no {port} called {name!r}.", fix=near(name, TABLE[port], what=f"{port} backends"))
