"""The controller of a store: lets the loop pass over all projects again and again, for as long as the server runs."""

import threading
import traceback
from dataclasses import replace

from slipway.errors import SlipwayError
from slipway.ledger.projects import list_projects
from slipway.loop import CONTROLLER
from slipway.operations.declare import Empty, call
from slipway.operations.rollouts import Reconcile
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.runs.recovery import take_in
from slipway.tables.part_cache import forget_erased

__all__ = ["PASS_EVERY_S", "Controller"]

PASS_EVERY_S = 10.0
"""Seconds of machine time between two passes."""


class Controller:
    """Passes over a store's projects from time to time, in a thread of its own.

    Whatever goes wrong at one endpoint is said and tried again at the next pass; it never ends the others' turn.

    Args:
        workspace: The store's.
        every_s: Seconds of machine time between two passes.
    """

    def __init__(self, workspace: Workspace, *, every_s: float = PASS_EVERY_S) -> None:
        self._workspace = workspace
        self._every_s = every_s
        self._said: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="slipway-controller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the pass under way, and end."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Pass over every project once."""
        try:
            take_in(self._workspace)
            if self._workspace.open_parts is not None:
                forget_erased(self._workspace, again=True)
            projects = [known.name for known in list_projects(self._workspace, Empty()).projects]
        except SlipwayError as problem:
            self._say("", f"The loop cannot read which projects there are: {problem}")
            return
        self._say("", "")
        for project in projects:
            if self._stopping.is_set():
                return
            try:
                call(
                    replace(self._workspace, project=project, actor=CONTROLLER),
                    operation("loop.reconcile"),
                    Reconcile(),
                )
            except SlipwayError as problem:
                self._say(project, f"The loop of {project} did not finish its pass: {problem}")
            except Exception:  # a bug in one project's pass must not leave the others unattended
                self._say(project, f"The loop of {project} failed:\n{traceback.format_exc()}")
            else:
                self._say(project, "")

    def _say(self, project: str, line: str) -> None:
        if line and line != self._said.get(project):  # the same trouble every ten seconds is said once
            self._workspace.say(line)
        self._said[project] = line

    def _work(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.look()
