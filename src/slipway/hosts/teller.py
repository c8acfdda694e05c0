"""The teller of a store: sends what is due to people, in a thread of its own, so that no mail server keeps the loop."""

import os
import threading
import traceback
from dataclasses import replace
from importlib import import_module

from slipway.errors import SlipwayError
from slipway.ids import new_id
from slipway.ledger.projects import list_projects
from slipway.loop import CONTROLLER, escalations
from slipway.operations.declare import Empty
from slipway.ports.workspace import Workspace

__all__ = ["TELL_EVERY_S", "Teller"]

_SENDER = "slipway.loop.notifying"  # loaded when there is something to send: what it says of models takes memory
_LEASE_S = 60.0
TELL_EVERY_S = 2.0
"""Seconds of machine time between two looks at the outbox."""


class Teller:
    """Looks at the outbox from time to time. Of several servers each looks; what one has claimed the others leave.

    Args:
        workspace: The store's.
        every_s: Seconds of machine time between two looks.
        lease_s: For how long a message is claimed.
    """

    def __init__(self, workspace: Workspace, *, every_s: float = TELL_EVERY_S, lease_s: float = _LEASE_S) -> None:
        self._workspace = workspace
        self._every_s = every_s
        self._lease_s = lease_s
        self._holder = f"{os.getpid()}-{new_id()}"
        self._said: dict[str, str] = {}
        self._stopping = threading.Event()
        # It ends with the process: a message that is under way is gone on with by whoever looks next.
        self._thread = threading.Thread(target=self._work, name="slipway-teller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing any more; what is under way has a moment to end."""
        self._stopping.set()
        self._thread.join(timeout=2.0)

    def look(self) -> int:
        """Write, route and send what is due in all projects; returns how many messages were taken."""
        taken = 0
        try:
            projects = [known.name for known in list_projects(self._workspace, Empty()).projects]
        except SlipwayError as problem:
            self._say("", f"Nobody can be told of anything: {problem}")
            return 0
        self._say("", "")
        for project in projects:
            if self._stopping.is_set():
                break
            inside = replace(self._workspace, project=project, actor=CONTROLLER)
            try:
                escalations.pass_over(inside)
                if escalations.has_mail(inside):
                    sender = import_module(_SENDER)
                    sender.route(inside)
                    taken += sender.send_due(inside, self._holder, lease_s=self._lease_s)
            except SlipwayError as problem:
                self._say(project, f"People of {project} were not told this time: {problem}")
            except Exception:  # a bug in one project's channel must not keep the others' people from being told
                self._say(project, f"Telling people of {project} failed:\n{traceback.format_exc()}")
            else:
                self._say(project, "")
        return taken

    def _say(self, what: str, line: str) -> None:
        if line and line != self._said.get(what):  # the same trouble every two seconds is said once
            self._workspace.say(line)
        self._said[what] = line

    def _work(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.look()
