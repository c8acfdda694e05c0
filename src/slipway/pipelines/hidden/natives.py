"""Libraries that open files or sockets themselves, unseen by Python: their entry points, wrapped when they are loaded.

One row a library's module: the name of a function, or of a class's method, and what its arguments say. A name that a
release of the library does not have is passed over; `tests/pipelines/` says which are seen.
"""

from __future__ import annotations

import builtins
import functools
import glob
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from slipway.pipelines.hidden.readers import is_of_the_system, reader
from slipway.pipelines.hidden.recorder import Recorder, current
from slipway.pipelines.hidden.workers import handed, is_of_a_pool

__all__ = ["install"]

Act = Callable[[Recorder, tuple[Any, ...], Mapping[str, Any]], None]

_GLOB = re.compile(r"[*?\[{]")
_NOW = re.compile(
    r"\b(current_date|current_time|current_timestamp|localtime|localtimestamp|(now|today|get_current_timestamp)\s*\(\s*\))",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")
_FUNCTION = re.compile(r"\b(?:read_\w+|\w+_scan|glob|sniff_csv)\s*\(\s*", re.IGNORECASE)
_TEXT = r"(?:'(?:[^']|'')*'|\?\d*|\$\w+)"
_LITERAL = re.compile(rf"(?:{_TEXT}|\[(?:\s*{_TEXT}\s*,?)*\])\s*[,)]")


# What arguments say


def _paths(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """The first argument that holds paths: a path, a pattern, an address, or a list of these."""
    for value in (*args, *kwargs.values()):
        found = list(_texts(value))
        if found:
            for one in found:
                _read(recorder, one)
            return


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str | os.PathLike):
        yield os.fsdecode(value)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _texts(item)


def _read(recorder: Recorder, path: str) -> None:
    scheme, has_scheme, rest = path.partition("://")
    if has_scheme and scheme.isalnum():
        if scheme != "file":
            recorder.uses("network", f"it reads {scheme}://{urlsplit(path).hostname or rest.partition('/')[0]}")
            return
        path = unquote(rest)
    path = os.path.expanduser(path)
    if not path or "\n" in path or "\x00" in path or is_of_the_system(path, "user"):
        return
    if not _GLOB.search(path) or os.path.exists(path):
        recorder.tree(path)
        return
    start = _GLOB.split(path)[0].rpartition(os.sep)[0] or ("" if os.path.isabs(path) else ".")
    for folder, _, _ in os.walk(start or os.sep) if "**" in path else [(start or os.sep, [], [])]:
        recorder.folder(folder)  # a new file would fit the pattern too
    for one in sorted(glob.glob(path, recursive=True)) if "{" not in path else [start or os.sep]:
        recorder.tree(one)


def _statement(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Files that a statement of SQL names: each quoted text in it, and the texts given beside it, may be one."""
    texts = [value for value in (*args, *kwargs.values()) if isinstance(value, str)]
    for text in texts:
        if found := _NOW.search(text):
            recorder.uses("clock", f"its SQL reads the clock ({found[0].strip()})")
        if any(not _LITERAL.match(text, call.end()) for call in _FUNCTION.finditer(text)):
            recorder.cannot_tell("it names a file inside SQL by a computed name, so its content cannot be compared")
        for found in _QUOTED.finditer(text):
            _maybe(recorder, (found[1] or found[2] or "").replace("''", "'"))
    for value in (*args[1:], *kwargs.values()):
        for one in value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else ():
            if isinstance(one, str):
                _maybe(recorder, one)


def _maybe(recorder: Recorder, text: str) -> None:
    """A text that may be a path: one that leads somewhere, or looks as if it should."""
    has_end = re.search(r"\.\w{1,8}$", text) is not None
    if "://" in text or os.sep in text or has_end or (0 < len(text) < 256 and os.path.exists(text)):
        _read(recorder, text)


def _database(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    name = args[0] if args else kwargs.get("database", "")
    if isinstance(name, str | os.PathLike) and os.fsdecode(name) not in ("", ":memory:", ":default:"):
        _read(recorder, os.fsdecode(name))
        _read(recorder, f"{os.fsdecode(name)}.wal")


def _network(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    recorder.uses("network", "it asks a database")


def _process(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    if not is_of_a_pool(sys._getframe(2)):
        recorder.uses("subprocess", "it starts a process")


def _pool(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Work for a pool of processes or threads: see `_handing`."""


def _elsewhere(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    recorder.uses("subprocess", "it hands work to Ray")


def _written(recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    for one in _texts(args[0] if args else next(iter(kwargs.values()), "")):
        recorder.writes(one, is_whole=True)


_DUCKDB = ("execute", "executemany", "from_query", "query", "query_df", "sql", "table_function")
_DUCKDB_FILES = ("from_csv_auto", "from_parquet", "read_csv", "read_json", "read_parquet")

_ROWS: dict[str, list[tuple[Act, tuple[str, ...]]]] = {
    "_duckdb": [
        (_statement, tuple(f"DuckDBPyConnection.{name}" for name in _DUCKDB)),
        (_paths, tuple(f"DuckDBPyConnection.{name}" for name in _DUCKDB_FILES)),
    ],
    "concurrent.futures.process": [(_pool, ("ProcessPoolExecutor.submit",))],
    "deltalake": [(_paths, ("DeltaTable.__init__",))],
    "duckdb": [(_statement, _DUCKDB), (_paths, _DUCKDB_FILES), (_database, ("connect",))],
    "h5py": [(_paths, ("File.__init__",))],
    "joblib.externals.loky.process_executor": [(_pool, ("ProcessPoolExecutor.submit",))],
    "lightgbm.basic": [(_paths, ("Booster.__init__", "Dataset.__init__")), (_written, ("Booster.save_model",))],
    "loky.process_executor": [(_pool, ("ProcessPoolExecutor.submit",))],
    "multiprocessing.pool": [(_pool, ("Pool._map_async", "Pool.apply_async", "Pool.imap", "Pool.imap_unordered"))],
    "multiprocessing.process": [(_process, ("BaseProcess.start",))],
    "onnxruntime": [(_paths, ("InferenceSession.__init__",))],
    "polars": [
        (_paths, ("read_delta", "read_excel", "read_ipc_schema", "read_ods", "read_parquet_metadata", "read_parquet_schema")),
        (_paths, ("scan_delta", "scan_iceberg", "scan_lance")),
        (_network, ("read_database_uri",)),
    ],
    "polars._plr": [
        (
            _paths,
            (
                "PyDataFrame.read_avro", "PyDataFrame.read_ipc_stream", "PyDataFrame.read_json",
                "PyLazyFrame.new_from_csv", "PyLazyFrame.new_from_expand_paths", "PyLazyFrame.new_from_ipc",
                "PyLazyFrame.new_from_ndjson", "PyLazyFrame.new_from_parquet", "PyLazyFrame.new_from_scan_lines",
            ),
        ),
        (_statement, ("PySQLContext.execute",)),
    ],
    "psycopg": [(_network, ("connect", "AsyncConnection.connect", "Connection.connect"))],
    "psycopg2": [(_network, ("connect",))],
    "pyarrow": [(_paths, ("input_stream", "memory_map"))],
    "pyarrow.csv": [(_paths, ("open_csv", "read_csv"))],
    "pyarrow.dataset": [(_paths, ("dataset", "parquet_dataset"))],
    "pyarrow.feather": [(_paths, ("FeatherDataset.__init__", "read_feather", "read_table"))],
    "pyarrow.ipc": [(_paths, ("open_file", "open_stream"))],
    "pyarrow.json": [(_paths, ("open_json", "read_json"))],
    "pyarrow.orc": [(_paths, ("ORCFile.__init__", "read_table"))],
    "pyarrow.parquet": [
        (_paths, ("ParquetDataset.__init__", "ParquetFile.__init__", "read_metadata", "read_pandas")),
        (_paths, ("read_schema", "read_table")),
    ],
    "pyodbc": [(_network, ("connect",))],
    "ray.actor": [(_elsewhere, ("ActorMethod._remote",))],
    "ray.remote_function": [(_elsewhere, ("RemoteFunction._remote",))],
    "safetensors": [(_paths, ("safe_open",))],
    "xgboost.core": [(_paths, ("Booster.__init__", "Booster.load_model", "DMatrix.__init__"))],
}  # fmt: skip
_CALL = builtins.compile("__slipway_call__()", "<call>", "eval")

_lock = threading.Lock()


def install() -> None:
    """Wrap what is loaded, and what is loaded later when it is."""
    sys.meta_path.insert(0, cast("Any", _Finder()))
    _wrap(*((name, sys.modules[name]) for name in _ROWS if name in sys.modules))


class _Finder:
    """Finds nothing itself: it only waits for the modules of the table."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _ROWS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = None if spec is None else spec.loader
        if loader is None or not hasattr(loader, "exec_module"):
            return None
        execute = loader.exec_module

        def executed(module: ModuleType) -> None:
            execute(module)
            _wrap((name, sys.modules.get(name, module)))  # Polars puts its compiled module in the place of this one

        loader.exec_module = executed
        return spec


def _wrap(*modules: tuple[str, ModuleType]) -> None:
    rebound: dict[int, tuple[Any, Any]] = {}
    with _lock:
        for called, module in modules:
            _wrap_in(called, module, rebound)
        if rebound:
            _rebind(rebound)


def _wrap_in(called: str, module: ModuleType, rebound: dict[int, tuple[Any, Any]]) -> None:
    for act, names in _ROWS[called]:
        for name in names:
            owner: Any = module
            *outer, last = name.split(".")
            for part in outer:
                owner = getattr(owner, part, None)
            held = None if owner is None else vars(owner).get(last)
            if held is not None and not hasattr(held, "__slipway_seen__"):
                _replace(owner, last, held, act, rebound)


def _replace(owner: Any, name: str, held: Any, act: Act, rebound: dict[int, tuple[Any, Any]]) -> None:
    is_method = isinstance(owner, type)
    is_static = is_method and isinstance(held, staticmethod | builtins.type(dict.fromkeys))
    original = getattr(owner, name) if is_static else held
    wrapped: Any = _seen(original, act, skips=1 if is_method and not is_static else 0)
    try:
        setattr(owner, name, staticmethod(wrapped) if is_static else wrapped)
    except (AttributeError, TypeError):
        return  # a class that cannot be changed: docs/cache.md lists what is not seen
    if not is_method:
        rebound[id(original)] = original, wrapped


def _rebind(rebound: dict[int, tuple[Any, Any]]) -> None:
    """Modules of the project that imported functions by name before they were wrapped get the wrapped ones.

    Args:
        rebound: The functions, each with what it was wrapped into, by its id.
    """
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(module, ModuleType) and (file is None or not is_of_the_system(file, "user")):
            for name, value in list(vars(module).items()):
                if id(value) in rebound:
                    setattr(module, name, rebound[id(value)][1])


def _handing(original: Any, recorder: Recorder | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Hand work to a pool: what its worker reads is the step's."""
    if recorder is None:
        return original(*args, **kwargs)
    pool, *rest = args
    if any(base.__name__ == "ThreadPool" for base in type(pool).__mro__):
        work: Any = functools.partial(_handed_over, recorder, rest[0]) if rest else None
    else:
        if getattr(pool, "_initializer", None) is not None and "loky" not in type(pool).__module__:
            recorder.uses("subprocess", "it starts worker processes with an initializer")
        work = handed(rest[0], recorder) if rest else None
    if work is None:
        recorder.uses("subprocess", "it hands work to another process")
    if kwargs.get("callback") is not None:
        kwargs = {**kwargs, "callback": functools.partial(_handed_over, recorder, kwargs["callback"])}
    with current.filled(None):
        return original(pool, *([work, *rest[1:]] if rest else ()), **kwargs)


def _handed_over(recorder: Recorder, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    with current.filled(recorder):
        return function(*args, **kwargs)


def _seen(original: Any, act: Act, skips: int) -> Any:
    @functools.wraps(original, updated=())
    def called(*args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        recorder = current.get()
        if act is _pool:
            return _handing(original, recorder if reader(frame) else None, args, kwargs)
        if recorder is not None and reader(frame):
            with current.filled(None):
                act(recorder, args[skips:], kwargs)
        if act is not _statement:
            return original(*args, **kwargs)
        # DuckDB looks for frames in the variables of the code that calls it: show it those of the caller.
        call = functools.partial(original, *args, **kwargs)
        return eval(_CALL, frame.f_globals, {**frame.f_locals, "__slipway_call__": call})

    called.__dict__["__slipway_seen__"] = True
    return called
