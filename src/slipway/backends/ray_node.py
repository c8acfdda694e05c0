"""What runs on a node of a Ray cluster: one worker that carries out tasks, and tells what they log while they run.

It is a Ray actor. The task itself runs in a process of its own below it, so that a step that dies is told from a node
that is lost: the first is an answer, the second is none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

from slipway.backends.process_executor import ProcessExecutor
from slipway.ports.executor import Ending, Resources
from slipway.records.tasks import PROTOCOL

__all__ = ["News", "Node"]

_NEWS_EVERY_S = 0.3
_LOGS = "run-logs"
_OUTPUT = "output.log"
_OUTPUT_BYTES = 4 << 20

Files = list[tuple[str, int, bytes]]
"""Pieces of files: the name within the task's folder, where the piece begins, and its bytes."""
News = tuple[Files, Ending | None]
"""What is new in the task's folder, and how the task ended, None while it runs."""


class Node:
    """Carries out one task after another, in a warm worker.

    Args:
        cpus: For how many processors Ray placed it.
    """

    def __init__(self, cpus: float) -> None:
        # Ray holds libraries to so many threads; elsewhere they take what the machine has, and sums would differ.
        if os.environ.get("OMP_NUM_THREADS") == str(max(int(cpus), 1)):
            del os.environ["OMP_NUM_THREADS"]
        self._executor = ProcessExecutor(1)
        self._home = Path(tempfile.mkdtemp(prefix="slipway-node-"))
        self._folder = self._home
        self._sent: dict[str, int] = {}
        self._over = threading.Event()
        self._ending: Ending | None = None

    def hello(self) -> int:
        """The protocol that it speaks."""
        return PROTOCOL

    def begin(self, files: list[tuple[str, bytes]], needs: Resources) -> None:
        """Begin a task.

        Args:
            files: The task's folder.
            needs: What the task may take.
        """
        self._folder = Path(tempfile.mkdtemp(dir=self._home))
        for name, data in files:
            path = self._folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        self._sent = {name: len(data) for name, data in files}
        self._over.clear()
        self._ending = None
        threading.Thread(target=self._work, args=(needs,), daemon=True).start()

    def news(self) -> News:
        """What is new since this was asked last; waits a little where nothing is."""
        is_over = self._over.wait(_NEWS_EVERY_S)
        # An entry names an artifact that was written before it: so the entries' ends are noted first, and sent last.
        logged = [(path, path.stat().st_size) for path in sorted((self._folder / _LOGS).glob("*"))]
        found: Files = []
        for path in sorted((self._folder / "artifacts").glob("*")):
            name = f"artifacts/{path.name}"
            if name not in self._sent and path.suffix == "":
                found.append((name, 0, path.read_bytes()))
                self._sent[name] = 1
        for path, size in logged:
            name = f"{_LOGS}/{path.name}"
            if size > (done := self._sent.get(name, 0)):
                with path.open("rb") as file:
                    file.seek(done)
                    found.append((name, done, file.read(size - done)))
                self._sent[name] = size
        if not is_over:
            return found, None
        for name, most in ((_OUTPUT, _OUTPUT_BYTES), ("result.json", None)):
            path = self._folder / name
            if path.exists():
                data = path.read_bytes()
                found.append((name, 0, data if most is None else data[-most:]))
        shutil.rmtree(self._folder, ignore_errors=True)
        return found, self._ending

    def close(self) -> None:
        """Release what it holds, before it is ended."""
        self._executor.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _work(self, needs: Resources) -> None:
        try:
            self._ending = self._executor.execute(self._folder, needs)
        except Exception as problem:  # told where it is asked for: nobody hears of it here
            self._ending = Ending(problem=f"could not be begun: {problem}")
        self._over.set()
