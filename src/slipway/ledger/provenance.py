"""Where something ran and what failed in it: captured without being asked, cheaply."""

import os
import platform
import re
import socket
import subprocess
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from slipway.code.wheels import about, installed, normal
from slipway.errors import StepFailed
from slipway.processes import cores
from slipway.processes import started as began_at
from slipway.records.runs import CodeVersion, Environment, Machine, RunError

__all__ = [
    "THREADS",
    "code_diff",
    "code_version",
    "command_line",
    "environment",
    "holds_secret",
    "host",
    "is_host_gone",
    "machine",
    "masking",
    "run_error",
    "storable",
    "user_trace",
    "without_secrets",
]

_GIT_TIMEOUT_S = 3.0
_DIFF_BYTES = 1_000_000
_SECRET_LENGTH = 6
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "RAYON_NUM_THREADS",
)
"""What libraries for numbers are told of threads: sums in another order may differ in their last bits."""
_ERROR_LENGTH = 100_000
_OWN_FOLDER = str(Path(__file__).resolve().parents[1]) + os.sep
_SECRET = re.compile(r"(?i)(password|passwd|secret|token|credential|api[-_]?key)")


@cache
def environment() -> Environment:
    """The interpreter, the platform and every distribution that is installed; read once in a process."""
    found: dict[str, str] = {}
    for distribution in installed():
        name, version, _ = about(distribution)
        # The first one on the path is the one that is imported.
        found.setdefault(normal(name), f"{normal(name)}=={version}")
    found.pop("", None)
    return Environment(
        python=platform.python_version(), platform=platform.platform(), lock=tuple(sorted(found.values()))
    )


def machine() -> Machine:
    """The processor, and what this process may use of it now."""
    told = {name: os.environ[name] for name in THREADS if name in os.environ}
    return Machine(cpu=_cpu(), cores=cores(), threads=told)


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def code_version(folder: Path, *, closure: str = "", entry: str = "", snapshot: str = "") -> CodeVersion:
    """The code that runs: the folder's git commit and whether the work tree differs from it.

    A missing git, a folder outside any repository or a git that does not answer in 3 seconds leave the commit empty.

    Args:
        folder: The project's folder.
        closure: The fingerprint of the code closure, where known.
        entry: `module:function`, or the script's name.
        snapshot: The digest of the project snapshot, where one was taken.
    """
    commit, dirty = "", False
    try:
        answer = subprocess.run(
            ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"],
            cwd=folder,
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return CodeVersion(closure=closure, entry=entry, snapshot=snapshot)
    for line in answer.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif not line.startswith("#"):
            dirty = True
    commit = "" if commit.startswith("(") else commit
    return CodeVersion(closure=closure, entry=entry, snapshot=snapshot, commit=commit, dirty=dirty)


def code_diff(folder: Path) -> bytes:
    """What differs from the git commit in the work tree, as `git diff HEAD` says it; b"" for nothing or no answer.

    Files that git does not know are not in it. Values of environment variables that look like secrets are masked, and
    it is cut off after a million bytes.
    """
    command = ["git", "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        asked = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
    except OSError:
        return b""
    with asked:
        assert asked.stdout is not None
        ending = threading.Timer(_GIT_TIMEOUT_S, asked.kill)
        ending.start()
        found = asked.stdout.read(_DIFF_BYTES + 1)
        asked.kill()
        ending.cancel()
    if len(found) > _DIFF_BYTES:
        found = found[:_DIFF_BYTES].rpartition(b"\n")[0] + b"\n[cut off here: the difference is longer]\n"
    for secret in sorted(_secrets(), key=len, reverse=True):
        found = found.replace(secret.encode("utf-8", "surrogateescape"), b"***")
    return found


def holds_secret(data: bytes) -> bool:
    """Whether some bytes hold the value of an environment variable whose name looks like a secret's."""
    return any(value.encode("utf-8", "surrogateescape") in data for value in _secrets())


def _secrets() -> frozenset[str]:
    """The values of environment variables whose names look like a secret's."""
    # As they are held: decoding all of them for each step took longer than anything else that a step costs.
    return _secrets_in(tuple(dict(cast("Any", os.environ)._data).items()))


@lru_cache(maxsize=1)
def _secrets_in(variables: tuple[tuple[bytes, bytes], ...]) -> frozenset[str]:
    named = (value for name, value in variables if _SECRET.search(os.fsdecode(name)))
    return frozenset(text for value in named if len(text := os.fsdecode(value)) >= _SECRET_LENGTH)


def command_line() -> str:
    """The process's command line; what follows a secret-looking option, and secrets of the environment, are masked."""
    words: list[str] = []
    masked = False
    for word in sys.argv:
        option, equals, _ = word.partition("=")
        if masked:
            words.append("***")
        elif equals and _SECRET.search(option):
            words.append(f"{option}=***")
        else:
            words.append(word)
        masked = not masked and not equals and word.startswith("-") and bool(_SECRET.search(word))
    return without_secrets(" ".join(words))


def without_secrets(text: str) -> str:
    """A text without the values of environment variables whose names look like a secret's."""
    return masking()(text)


def masking() -> Callable[[str], str]:
    """What masks the secrets of the environment as it is now, for many texts."""
    secrets = sorted(_secrets(), key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return mask


def host() -> str:
    """This process as `pid.start@hostname`; `start` tells it from another process with the same id later."""
    return f"{os.getpid()}.{_began(os.getpid())}@{socket.gethostname()}"


def is_host_gone(host: str) -> bool:
    """Whether a process named by `host()` has ended. A process of another machine counts as alive: nobody here knows."""
    process, _, machine = host.partition("@")
    pid, _, started = process.partition(".")
    if machine != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return bool(started) and started != began_at(int(pid))


@lru_cache(maxsize=1)
def _began(own_pid: int) -> str:
    return began_at(own_pid)


def user_trace(error: BaseException) -> str:
    """The traceback as text, without Slipway's own frames; the same for the errors that led to it.

    Frames of libraries are counted and not shown, unless there are no others.
    """
    told = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = told
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        own = [frame for frame in link.stack if not os.path.abspath(frame.filename).startswith(_OWN_FOLDER)]
        link.stack = (
            _Trimmed(own) if any(not _library(frame) for frame in own) else traceback.StackSummary.from_list(own)
        )
        link = link.__cause__ or link.__context__
    return "".join(told.format())


class _Trimmed(traceback.StackSummary):
    """A stack whose frames of libraries are one line each time."""

    def format(self, **options: Any) -> list[str]:
        lines: list[str] = []
        for name, frames in groupby(self, _library):
            shown = list(frames)
            if not name:
                lines += traceback.StackSummary.from_list(shown).format(**options)
            else:
                lines.append(f"  ... {len(shown)} {'call' if len(shown) == 1 else 'calls'} in {name}\n")
        return lines


def _library(frame: traceback.FrameSummary) -> str:
    """The library whose frame it is: "polars"; "" for the user's own code."""
    path = frame.filename
    if path.startswith("<frozen "):
        return "Python"
    for kind, folder in _library_folders():
        if path.startswith(folder):
            return "Python" if "std" in kind else Path(path[len(folder) :]).parts[0].removesuffix(".py")
    return ""


@cache
def _library_folders() -> tuple[tuple[str, str], ...]:
    paths = sysconfig.get_paths()  # what is installed may lie below the standard library
    return tuple((kind, paths[kind] + os.sep) for kind in ("purelib", "platlib", "stdlib", "platstdlib"))


def run_error(error: BaseException, *, step: str = "") -> RunError:
    """What a record keeps of an error. Of a failed step: the user's own error, not its wrapping. Long text is cut."""
    if isinstance(error, StepFailed):
        step = step or error.step
        if error.__cause__ is None:
            kind, message = error.told or ("", error.what)
            return _cut(kind or type(error).__name__, message, step, error.trace)
        error = error.__cause__
    if isinstance(error, KeyboardInterrupt):
        return _cut("Interrupted", "it was ended by Ctrl-C (SIGINT)", step, "")
    return _cut(type(error).__name__, str(error), step, user_trace(error))


def _cut(kind: str, message: str, step: str, trace: str) -> RunError:
    message, trace = storable(message), storable(trace)
    return RunError(type=kind, message=message[:_ERROR_LENGTH], step=step, trace=trace[-_ERROR_LENGTH:])


def storable(text: str) -> str:
    """A text as records can hold it: halves of surrogate pairs, as names of files may have, are written out."""
    return text.encode("utf-8", "backslashreplace").decode()
