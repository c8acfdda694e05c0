"""The controller of a store: lets the loop pass over all projects again and again, for as long as the server runs.

Once a day it lets go what `[retention]` says, and purges what has been in the trash long enough. Where it serves a project's store it looks after the
project's environments on demand too.
"""

import os
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from msgspec import Struct

from slipway.errors import SlipwayError
from slipway.hosts import on_demand
from slipway.hosts.figures import Figures
from slipway.hosts.settings import FILE
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.ids import new_id
from slipway.ledger import entries
from slipway.ledger.limits import kept_limits
from slipway.ledger.projects import list_projects
from slipway.ledger.store_folder import folder_id
from slipway.loop import CONTROLLER
from slipway.operations.declare import Empty, call
from slipway.operations.rollouts import Reconcile, Reconciled
from slipway.operations.table import operation
from slipway.operations.trash import Expire, PurgeTrash
from slipway.ports.workspace import Workspace
from slipway.records.limits import Retention
from slipway.records.people import Actor
from slipway.records.promotions import Promotion
from slipway.records.runs import Run
from slipway.runs.recovery import recover, take_in
from slipway.tables.part_cache import forget_erased

__all__ = ["PASS_EVERY_S", "QUICK_EVERY_S", "Controller"]

PASS_EVERY_S = 10.0
"""Seconds of machine time between two passes."""
QUICK_EVERY_S = 1.0
"""The same over a project with a roll-out under way: what is wrong with a challenger hurts until somebody looks."""

_PAUSES = 9
"""A quick pass is followed by a pause so many times as long, whatever it takes: it has a tenth of a processor at most."""

_A_DAY_S = 86_400.0
_ONWARD = "slipway.hosts.onward"
"""By name: it loads frames, which a server without promotions does without."""

_UPKEEP = Actor("upkeep", kind="service", roles=("platform engineer",))
"""Who purges what has been in the trash for as long as its project keeps it."""


class Controller:
    """Passes over a store's projects from time to time, in a thread of its own.

    Whatever goes wrong at one endpoint is said and tried again at the next pass; it never ends the others' turn. Of
    several servers on one folder the holder of a lease looks after the endpoints that lie there, and of several folders
    on one ledger one does all else: tables, promotions into its environment and the daily purge. When it is gone, another goes on in three passes' time.
    Between two passes, projects with a roll-out under way are passed over by themselves, as often as once a second.

    Args:
        workspace: The store's.
        every_s: Seconds of machine time between two passes.
        home: The project's folder whose environments on demand it looks after, in the workspace's business time; None
            for none. Every server of the project does: that is no matter of one store.
        figures: Where its passes are counted, None for nowhere.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        every_s: float = PASS_EVERY_S,
        home: Path | None = None,
        figures: Figures | None = None,
    ) -> None:
        self._workspace = workspace
        self._home = home
        self._every_s = every_s
        self._holder = f"{os.getpid()}-{new_id()}"
        self._said: dict[str, str] = {}
        self._figures = Figures() if figures is None else figures
        self._has_failed = False
        self._rolling_out: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="slipway-controller", daemon=True)

    @property
    def is_simulated(self) -> bool:
        """Whether the store lives in simulated time, in which nothing happens by itself."""
        return (self._workspace.root / CLOCK_FILE).exists()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the pass under way, and end."""
        self._stopping.set()
        self._thread.join()
        with suppress(SlipwayError):  # then it runs out
            self._lease(-1)

    def look(self) -> bool:
        """Pass over every project once, unless another server of this folder does; says whether it did."""
        self._rolling_out.clear()
        self._environments()
        try:
            take_in(self._workspace)  # each server what lies in its own folder
            if self._workspace.open_parts is not None:
                forget_erased(self._workspace, again=True)
            is_mine, is_all = self._lease(3 * self._every_s)
            if not is_mine:
                return False
            projects = [known.name for known in list_projects(self._workspace, Empty()).projects]
        except SlipwayError as problem:
            self._fail("", f"The loop cannot read which projects there are: {problem}")
            return False
        self._say("", "")
        with self._renewing():
            self._pass(projects, is_all=is_all)
        return True

    def look_again(self) -> bool:
        """Pass once over the projects in which a roll-out was under way at their last pass; says whether there are any."""
        projects = sorted(self._rolling_out)
        if not projects:
            return False
        try:
            is_mine, is_all = self._lease(3 * self._every_s)
        except SlipwayError as problem:  # the next pass over all says it if it lasts
            self._fail("", f"The loop cannot go on with what is being rolled out: {problem}")
            return False
        if not is_mine:
            return False
        self._say("", "")
        with self._renewing():
            self._reconcile(projects, is_all=is_all)
        return True

    def _environments(self) -> None:
        """Warn of environments on demand that nobody uses, and take away what was warned of; each line is said once."""
        if self._home is None:
            return
        what = f"The care for the environments of {self._home}"
        try:
            on_demand.look_after(self._home, lambda line: self._say(line, line), self._workspace.clock)
        except SlipwayError as problem:
            self._fail(what, f"{what} did not finish: {problem}")
        except Exception:  # a full disk there must not keep this store's endpoints unattended
            self._fail(what, f"{what} failed:\n{traceback.format_exc()}")
        else:
            self._say(what, "")

    def _promotions(self, home: Path) -> None:
        """Take further what waited on its way into this environment, for a word or a roll-out."""
        what = "The care for promotions"
        try:
            with self._workspace.ledger.read() as tx:
                is_any = any(entries.find(tx, Promotion, state=state, limit=1) for state in ("waiting", "under way"))
            if is_any:
                import_module(_ONWARD).go_on(self._workspace, home, lambda line: self._say(line, line))
        except SlipwayError as problem:
            self._fail(what, f"{what} did not finish: {problem}")
        except Exception:  # it must not keep endpoints unattended
            self._fail(what, f"{what} failed:\n{traceback.format_exc()}")
        else:
            self._say(what, "")

    def _lease(self, seconds: float) -> tuple[bool, bool]:
        """Take or keep the turn at this folder's endpoints, and with it, where no other folder's server has it, at all."""
        folder = folder_id(self._workspace.root)
        with self._workspace.ledger.write() as tx:
            is_mine = tx.take_lease(f"controller {folder}", self._holder, seconds=seconds)
            return is_mine, is_mine and tx.take_lease("controller", self._holder, seconds=seconds)

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Keep the lease for the length of a block."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._every_s):
                with suppress(SlipwayError):  # what the block does fails too, and says so
                    self._lease(3 * self._every_s)

        keeper = threading.Thread(target=renew, name="slipway-controller-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def _pass(self, projects: list[str], *, is_all: bool) -> None:
        for project in projects:
            self._mark_gone(project)
        self._reconcile(projects, is_all=is_all)
        if is_all and self._home is not None and (self._home / FILE).is_file() and not self._stopping.is_set():
            self._promotions(self._home)
        if is_all and not self._stopping.is_set() and self._is_new_day():
            for project in projects:
                if self._lets_go(project):
                    self._do(f"The daily retention of {project}", project, _UPKEEP, "trash.expire", Expire())
                self._do(f"The daily purge of {project}", project, _UPKEEP, "trash.purge", PurgeTrash())

    def _lets_go(self, project: str) -> bool:
        """Whether a project declares a retention."""
        try:
            with self._workspace.ledger.read() as tx:
                kept = kept_limits(tx, replace(self._workspace, project=project))
        except SlipwayError as problem:
            self._fail("retention", f"What {project} keeps could not be read: {problem}")
            return False
        return kept is not None and kept.retention != Retention()

    def _mark_gone(self, project: str) -> None:
        """Mark the runs whose process on this machine is gone: nobody else says so while only pages are looked at."""
        what = f"The look after runs of {project}"
        try:
            with self._workspace.ledger.read() as tx:
                is_any = bool(entries.find(tx, Run, project=project, state="running", limit=1))
            if is_any:
                recover(replace(self._workspace, project=project, actor=_UPKEEP))
        except SlipwayError as problem:
            self._fail(what, f"{what} did not finish: {problem}")
        else:
            self._say(what, "")

    def _reconcile(self, projects: list[str], *, is_all: bool) -> None:
        for project in projects:
            is_rolling_out = False
            for request in [Reconcile()] if is_all else self._of_folder(project):
                if self._stopping.is_set():
                    return
                done = self._do(f"The loop of {project}", project, CONTROLLER, "loop.reconcile", request)
                is_rolling_out |= isinstance(done, Reconciled) and done.rolling_out > 0
            # What did not finish is left to the next pass over all: trouble is not hurried.
            (self._rolling_out.add if is_rolling_out else self._rolling_out.discard)(project)

    def _of_folder(self, project: str) -> list[Reconcile]:
        folder = self._workspace.root / "endpoints" / project
        return [Reconcile(endpoint=path.name) for path in sorted(folder.glob("*/"))]

    def _do(self, what: str, project: str, actor: Actor, name: str, request: Struct) -> Struct | None:
        """Carry out an operation; None where it did not finish, which is said."""
        try:
            done: Struct = call(replace(self._workspace, project=project, actor=actor), operation(name), request)
        except SlipwayError as problem:
            self._fail(what, f"{what} did not finish: {problem}")
        except Exception:  # a bug in one project's pass must not leave the others unattended
            self._fail(what, f"{what} failed:\n{traceback.format_exc()}")
        else:
            self._say(what, "")
            return done
        return None

    def _is_new_day(self) -> bool:
        """Whether a day has passed since any server of this store last asked: the lease that it took has run out."""
        try:
            with self._workspace.ledger.write() as tx:
                return tx.take_lease("daily upkeep", new_id(), seconds=_A_DAY_S)
        except SlipwayError as problem:
            self._fail("upkeep", f"The daily upkeep could not begin: {problem}")
            return False

    def _fail(self, what: str, line: str) -> None:
        """Say that something did not finish; the pass did not either."""
        self._has_failed = True
        self._say(what, line)

    def _say(self, what: str, line: str) -> None:
        if line and line != self._said.get(what):  # the same trouble every ten seconds is said once
            self._workspace.say(line)
        self._said[what] = line

    def _work(self) -> None:
        pause_s, all_at = self._every_s, time.monotonic() + self._every_s
        while not self._stopping.wait(pause_s):
            began = time.monotonic()
            is_all = began >= all_at
            if is_all:
                self._has_failed = False
                is_mine = self.look()
                outcome = "failed" if self._has_failed else "finished" if is_mine else "elsewhere"
                self._figures.passed(outcome, time.monotonic() - began)
            else:
                self.look_again()
            ended = time.monotonic()
            if is_all:
                all_at = ended + self._every_s
            quick_s = max(QUICK_EVERY_S, _PAUSES * (ended - began)) if self._rolling_out else self._every_s
            pause_s = max(0.0, min(quick_s, all_at - ended))
