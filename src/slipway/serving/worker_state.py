"""What a worker says of itself to its supervisor, and how long the two wait for each other."""

import logging
import os
from pathlib import Path

import msgspec

__all__ = ["CANNOT_LOAD", "DRAIN_S", "FINISH_S", "SILENT_S", "WorkerState", "answering", "state_file"]

CANNOT_LOAD = 78  # exit code, sysexits.h's EX_CONFIG: starting again would not help
DRAIN_S = 2.0  # for idle clients to send one more request and be told to close
FINISH_S = 30.0  # for requests that were begun
SILENT_S = 60.0  # without a beat, of a worker that was ready
_FOLDER = "workers"
_logger = logging.getLogger("slipway.serving")


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's state, one small file replaced by rename.

    Args:
        ready: Whether it accepts connections.
        revision: The number that it serves, 0 for none.
        refused: The number of a published revision that cannot be loaded, 0 for none.
        note: A sentence where something is wrong.
        unknown: How often which field came that the contract does not know, some of them.
        trouble: Why it should be replaced although it answers, "" otherwise.
        stands_by: Whether another environment answers, and this worker only stays warm for the way back.
        fallen: How often a challenger in a process of its own ended without being told to.
    """

    ready: bool
    revision: int
    refused: int = 0
    note: str = ""
    trouble: str = ""
    unknown: dict[str, int] = {}
    stands_by: bool = False
    fallen: int = 0

    def write(self, path: Path) -> None:
        """Replace the file; that it cannot be written is logged, and no reason for a worker not to answer."""
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(msgspec.json.encode(self))
            part.rename(path)
        except OSError as problem:
            _logger.error("The supervisor cannot be told %s: %s", self, problem)

    @classmethod
    def read(cls, path: Path) -> "WorkerState":
        """The state in a file; that of a worker which has said nothing yet, where there is none."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return cls(ready=False, revision=0)


def state_file(folder: Path, index: int, pid: int | None = None) -> Path:
    """Where a worker of the endpoint in `folder` keeps its state; `pid` is this process's when None.

    The process id is in the name, so that a worker that outlives its killed supervisor for a moment cannot write over
    its successor's.
    """
    return folder / _FOLDER / f"{index}-{pid or os.getpid()}.json"


def answering(folder: Path) -> int:
    """How many workers of the endpoint in `folder` accept requests now; what a killed one left behind does not count."""
    found = 0
    for path in (folder / _FOLDER).glob("*-*.json"):
        state, (_, _, pid) = WorkerState.read(path), path.stem.partition("-")
        found += state.ready and not state.stands_by and pid.isdigit() and _lives(int(pid))
    return found


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's: the number was given anew
        return False
    return True
