"""Sees what Python code reads: files and sockets by audit events, variables and questions about paths by wrappers.

Installed once a process, before the first step that is recorded, and never taken out again: Python has no way to remove
an audit hook. Where no step runs, each costs one look at a context variable.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec, source_from_cache
from types import FrameType
from typing import Any, cast

from slipway.pipelines.hidden import natives
from slipway.pipelines.hidden.present import ALL_VARIABLES
from slipway.pipelines.hidden.readers import is_of_the_system, is_passed_over, kind_of, kind_of_file, reader
from slipway.pipelines.hidden.recorder import Recorder, current
from slipway.pipelines.hidden.workers import is_of_a_pool

__all__ = ["install"]

_lock = threading.Lock()
_installed: list[bool] = []
# Programs by which libraries count cores and name the machine.
_ABOUT_THE_MACHINE = frozenset({"gcc", "ldconfig", "lscpu", "nvidia-smi", "sysctl", "uname", "wmic"})
_ASKING = frozenset(
    {
        "exists",
        "getsize",
        "glob",
        "glob0",
        "glob1",
        "iglob",
        "is_dir",
        "is_file",
        "isdir",
        "isfile",
        "rglob",
        "stat",
        "_iglob",
    }
)
_MAPPINGS = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")
_WHOLE = os.O_TRUNC | os.O_EXCL


def install() -> None:
    """Begin to see what is read, once a process."""
    with _lock:
        if _installed:
            return
        _installed.append(True)
        sys.addaudithook(_hook)
        _watch_variables()
        _watch_paths()
        _watch_threads()
        natives.install()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    act = _ACTS.get(event)
    if act is None:
        return
    recorder = current.get()
    if recorder is None:
        return
    caller = reader(sys._getframe(1))
    if caller:
        with current.filled(None):  # looking at a file opens it
            act(recorder, caller, *arguments)


# Files and folders


def _text(path: Any) -> str:
    """A path as text, "" for a descriptor and for what is none."""
    try:
        return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    except (TypeError, ValueError):  # the call that follows says so itself
        return ""


def _opened(recorder: Recorder, caller: Any, path: Any, mode: Any, flags: Any) -> None:
    name = _text(path)
    if name.endswith(".pyc") and "__pycache__" in name and caller == "standard":
        name = source_from_cache(name)  # a module that is loaded by hand: its text counts
    if not name or is_of_the_system(name, caller):
        return
    kind = flags & os.O_ACCMODE if isinstance(flags, int) else os.O_RDONLY
    if kind == os.O_RDONLY:
        recorder.file(name)
    elif flags & _WHOLE:
        recorder.writes(name, is_whole=True)
    else:
        if kind == os.O_RDWR and not flags & os.O_APPEND:
            recorder.file(name)
        recorder.writes(name, is_whole=False)


def _listed(recorder: Recorder, caller: Any, path: Any = None, *_: Any) -> None:
    name = _text(path) if path is not None else "."
    if name and not is_of_the_system(os.path.join(name, ""), caller):
        recorder.folder(name)


def _made(recorder: Recorder, caller: Any, path: Any, *_: Any) -> None:
    if name := _text(path):
        recorder.makes_folder(name)


def _renamed(recorder: Recorder, caller: Any, source: Any, target: Any, *_: Any) -> None:
    old, new = _text(source), _text(target)
    if old and new:
        recorder.moves(old, new)


def _sqlite(recorder: Recorder, caller: Any, database: Any, *_: Any) -> None:
    name = _text(database)
    if name and not name.startswith((":memory:", "file:")):
        recorder.file(name)
        recorder.file(f"{name}-wal")
    elif name.startswith("file:") and "memory" not in name:
        recorder.cannot_tell(f"it opens the database {name}, whose content cannot be compared")


# What nothing can compare


def _connected(recorder: Recorder, caller: Any, socket: Any, address: Any = None, *_: Any) -> None:
    told = ":".join(map(str, address[:2])) if isinstance(address, tuple) else _text(address) or "another address"
    recorder.uses("network", f"it connects to {told}")


def _asked_names(recorder: Recorder, caller: Any, host: Any = None, *_: Any) -> None:
    recorder.uses("network", f"it looks up the address of {_text(host) or host}")


def _started(recorder: Recorder, caller: Any, *arguments: Any) -> None:
    program = next((one for one in arguments if isinstance(one, str | bytes | os.PathLike | list | tuple) and one), "")
    name = os.path.basename(_text(program[0] if isinstance(program, list | tuple) else program).split(" ")[0])
    if caller == "user" or name not in _ABOUT_THE_MACHINE:
        recorder.uses("subprocess", f"it starts {name or 'a process'}")


def _forked(recorder: Recorder, caller: Any, *_: Any) -> None:
    if not is_of_a_pool(sys._getframe(1)):
        recorder.uses("subprocess", "it forks its process")


def _unpickled(recorder: Recorder, caller: Any, module: str, *_: Any) -> None:
    """A class or function that data name is code that no statement of the step does."""
    live = sys.modules.get(module)
    try:
        spec = find_spec(module) if live is None else None
    except (ImportError, ValueError):  # the unpickling that follows says so itself
        spec = None
    file = getattr(live, "__file__", None) or (spec.origin if spec is not None else None)
    if file and not is_of_the_system(file, caller) and kind_of_file(file) == "user":
        recorder.file(file)


def _set(recorder: Recorder, caller: Any, name: Any, *_: Any) -> None:
    recorder.sets(os.fsdecode(name))


_ACTS: dict[str, Callable[..., None]] = {
    "open": _opened,
    "os.exec": _started,
    "os.fork": _forked,
    "os.forkpty": _forked,
    "os.listdir": _listed,
    "os.mkdir": _made,
    "os.posix_spawn": _started,
    "os.putenv": _set,
    "os.rename": _renamed,
    "os.scandir": _listed,
    "os.system": _started,
    "os.unsetenv": _set,
    "pickle.find_class": _unpickled,
    "socket.connect": _connected,
    "socket.getaddrinfo": _asked_names,
    "socket.gethostbyname": _asked_names,
    "socket.sendto": _connected,
    "sqlite3.connect": _sqlite,
    "subprocess.Popen": _started,
}


# Variables


def _watch_variables() -> None:
    """Every way to read `os.environ` ends in these two methods of its class."""
    kind: Any = type(os.environ)
    item, names = kind.__getitem__, kind.__iter__

    @functools.wraps(item)
    def getitem(self: Any, key: Any) -> Any:
        recorder = current.get()
        if recorder is not None and isinstance(key, str | bytes):
            _variable(recorder, os.fsdecode(key), sys._getframe(1))
        return item(self, key)

    @functools.wraps(names)
    def iterate(self: Any) -> Iterator[Any]:
        recorder = current.get()
        if recorder is not None:
            _variable(recorder, ALL_VARIABLES, sys._getframe(1))
        return iter(list(names(self)))

    kind.__getitem__, kind.__iter__ = getitem, iterate


def _variable(recorder: Recorder, name: str, frame: FrameType | None) -> None:
    while frame is not None and kind_of(frame) == "standard" and frame.f_code.co_filename.endswith(_MAPPINGS):
        frame = frame.f_back
    caller = reader(frame)
    if not caller or is_passed_over(name, caller) or (name == ALL_VARIABLES and caller == "standard"):
        return
    with current.filled(None):
        recorder.variable(name)


# Questions about paths


def _watch_paths() -> None:
    """`os.stat` is behind `os.path.exists`, `Path.is_file` and their like; it raises no audit event."""
    original: Any = os.stat

    @functools.wraps(original)
    def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Any:
        recorder = current.get()
        if recorder is not None and dir_fd is None and isinstance(path, str | bytes | os.PathLike):
            _looked(recorder, path, sys._getframe(1))
        return original(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if original in able:
            able.add(stat)
    os.stat = stat
    _watch_links()


def _watch_links() -> None:
    """`os.lstat` and `os.readlink` ask of the link itself, `os.access` of what may be done with a file."""
    lstat, readlink, access = cast("Any", os.lstat), cast("Any", os.readlink), cast("Any", os.access)

    @functools.wraps(lstat)
    def looked_at(path: Any, *, dir_fd: int | None = None) -> Any:
        if (recorder := current.get()) is not None and dir_fd is None:
            _linked(recorder, path, sys._getframe(1))
        return lstat(path, dir_fd=dir_fd)

    @functools.wraps(readlink)
    def followed(path: Any, *, dir_fd: int | None = None) -> Any:
        if (recorder := current.get()) is not None and dir_fd is None:
            _linked(recorder, path, sys._getframe(1))
        return readlink(path, dir_fd=dir_fd)

    @functools.wraps(access)
    def accessed(path: Any, mode: int, **options: Any) -> Any:
        if (recorder := current.get()) is not None and options.get("dir_fd") is None:
            _looked(recorder, path, sys._getframe(1), "exists")
        return access(path, mode, **options)

    for mine, original in ((looked_at, lstat), (followed, readlink), (accessed, access)):
        for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if original in able:
                able.add(mine)
    os.lstat, os.readlink, os.access = looked_at, followed, accessed


def _linked(recorder: Recorder, path: Any, frame: FrameType) -> None:
    inner: FrameType | None = frame
    while inner is not None and _is_about_paths(inner):
        inner = inner.f_back
    name = _text(path)
    if inner is None or not name or kind_of(inner) == "standard":
        return
    caller = reader(inner)
    # Each folder on the way of a path that is resolved is asked; what counts of these is a link.
    on_the_way = frame.f_code.co_name in ("_joinrealpath", "realpath") and not os.path.islink(name)
    if not caller or is_of_the_system(name, caller) or on_the_way:
        return
    with current.filled(None):
        recorder.link(name)
        if caller == "user" and inner is frame and os.path.isfile(name):
            recorder.file(name)  # its size tells of its content


def _looked(recorder: Recorder, path: Any, frame: FrameType, asked: str = "") -> None:
    inner: FrameType | None = frame
    while inner is not None and _is_about_paths(inner):
        asked = inner.f_code.co_name
        inner = inner.f_back
    if inner is None or (asked and asked not in _ASKING) or kind_of(inner) == "standard":
        return
    caller = reader(inner)
    name = _text(path)
    if not caller or not name or is_of_the_system(name, caller):
        return
    with current.filled(None):
        if caller == "user" and asked in ("", "stat", "getsize") and not os.path.isdir(name):
            recorder.file(name)  # its size tells of its content
        else:
            recorder.path(name)


def _is_about_paths(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return (
        file.endswith(("genericpath.py", "posixpath.py", "<frozen genericpath>", "<frozen posixpath>"))
        or (file.endswith(f"{os.sep}glob.py") and kind_of(frame) == "standard")
        or ("pathlib" in file and kind_of(frame) == "standard")
    )


# Threads


def _watch_threads() -> None:
    """A thread that a step starts, or work that it hands to a pool, reads for the step."""
    thread, pool = cast("Any", threading.Thread), cast("Any", ThreadPoolExecutor)
    start, submit = thread.start, pool.submit

    @functools.wraps(start)
    def started(self: Any) -> None:
        recorder = current.get()
        if recorder is not None:
            self.run = functools.partial(_handed_over, recorder, self.run)
        start(self)

    @functools.wraps(submit)
    def submitted(self: ThreadPoolExecutor, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        recorder = current.get()
        if recorder is None:
            return submit(self, function, *args, **kwargs)
        return submit(self, _handed_over, recorder, function, *args, **kwargs)

    thread.start, pool.submit = started, submitted
    then = cast("Any", Future).add_done_callback

    @functools.wraps(then)
    def called_back(self: Any, function: Any) -> None:
        recorder = current.get()
        then(self, function if recorder is None else functools.partial(_handed_over, recorder, function))

    cast("Any", Future).add_done_callback = called_back


def _handed_over(recorder: Recorder, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    with current.filled(recorder):
        return function(*args, **kwargs)
