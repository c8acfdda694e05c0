"""A mixed load for half an hour, while processes are killed; afterwards everything that was acknowledged is looked for.

A server (`slipway up`) on a store, an endpoint with two workers, a writer of runs in the store's own folder and one that
sends them by its outbox; clients that ask for predictions, send labels, start pipelines, let monitors look, and read pages.
A seed chooses who is killed with -9 and after how many acknowledged operations: the server, a worker, the supervisor, a
writer; each kind at least once. Server and writers are started again by the benchmark, as a service manager does; supervisors
by the server, workers by their supervisor. **Lost** is what somebody was told is kept and is not there: a run with its 40 points, an answered
row (its endpoint logs before it answers), a label, a started pipeline. In the second half the server is spared, so that one
process's memory can be watched: proportional (PSS), every 200 operations; it is warm after a third of them.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.soak_world import PROJECT, SLIPWAY, Acknowledged, Killer, Seen, World, await_that, look_at
from slipway.client.api import Client
from slipway.client.endpoint import EndpointClient
from slipway.client.http import Connection
from slipway.errors import Conflict, SlipwayError, Unavailable
from slipway.governance import audit
from slipway.hosts.project import open_workspace
from slipway.ledger import entries
from slipway.operations.declare import Empty
from slipway.ports.workspace import Workspace
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.runs import Run
from slipway.tables.log_rows import read_rows

MINUTES = 30.0
POINTS = 40
REMARK = """\
Operations, refusals (what a client was told is not kept, or nothing, because its server was being killed) and times are those
of this machine at this hour. Times are reported, nothing is claimed of them.
"""
_PATH = "half an hour of everything, with kills"
_PAGES = (
    "/",
    f"/projects/{PROJECT}",
    f"/projects/{PROJECT}/runs",
    f"/projects/{PROJECT}/endpoints/loans",
    f"/projects/{PROJECT}/audit",
)
_LOOK_EVERY = 200


class Soak:
    """One soak: its load, and what came of it.

    Args:
        folder: An empty one.
        minutes: How long the load lasts.
        seed: Chooses victims, moments and rows.
    """

    def __init__(self, folder: Path, minutes: float, seed: int) -> None:
        self.told, self.ended = Acknowledged(), threading.Event()
        self.world = World(folder, self.told)
        self.killer = Killer(self.world, self.told, seed, self.ended)
        self.minutes, self.seed = minutes, seed
        self.server: list[Seen] = []
        self.broken: list[str] = []
        self.found: dict[str, int] = {}
        self.lost: dict[str, list[str]] = {}
        self.begun: dict[str, str] = {}
        self.sealed = 0

    def run(self) -> None:
        """Load, kill, wait until all stands again, and look for what was acknowledged."""
        url = self.world.url
        with Client(url, PROJECT, timeout_s=60) as server, Connection(url, timeout_s=60, remedy="") as pages:
            clients = [
                threading.Thread(target=self._again, args=one, daemon=True) for one in self._clients(server, pages)
            ]
            try:
                for one in (*clients, self.killer):
                    one.start()
                self._watch(time.monotonic() + self.minutes * 60)
                self.ended.set()
                for one in (*clients, self.killer):
                    one.join()
                if self.killer.problem:
                    raise self.killer.problem
                for writer in self.world.writers.values():
                    writer.end()
                self._settle(server)
                if pid := self.world.server.pid:
                    self.server.append(look_at(pid, self.told.count))
            finally:
                self.ended.set()
                self.world.end()
        self._look_for_all()

    def _watch(self, until: float) -> None:
        half = until - self.minutes * 30
        while not self.killer.problem and ((now := time.monotonic()) < until or not self.killer.has_met_all):
            if now > half and self.killer.kills["server"]:
                self.killer.spared = frozenset({"server"})
            pid = self.world.server.pid
            last = self.server[-1] if self.server else None
            if pid and (last is None or last.pid != pid or self.told.count >= last.operations + _LOOK_EVERY):
                self.server.append(look_at(pid, self.told.count))
            time.sleep(0.2)

    def _clients(self, server: Client, pages: Connection) -> list[tuple[str, Callable[[random.Random], None]]]:
        started = iter(range(10**9))

        def ask(chosen: random.Random) -> None:
            rows = [{"income": chosen.gauss(40, 12), "debt": chosen.gammavariate(2, 4)} for _ in range(5)]
            with EndpointClient(self._endpoint_url(), "loans", timeout_s=60) as endpoint:
                for _ in range(20):
                    began = time.perf_counter()
                    answers = endpoint.predict(rows)["predictions"]
                    self.told.add("prediction", *(one["id"] for one in answers), took_s=time.perf_counter() - began)
                    labels = [{"prediction": one["id"], "value": chosen.randint(0, 1)} for one in answers]
                    began = time.perf_counter()
                    endpoint.labels(labels)
                    self.told.add("label", *(one["prediction"] for one in labels), took_s=time.perf_counter() - began)

        def start(chosen: random.Random) -> None:
            key = f"soak-{next(started)}"
            self._until_taken(
                "pipeline",
                key,
                lambda: server.call("pipelines.start", pipeline="count", params={"number": int(key[5:])}, key=key),
            )
            await_that(lambda: self.ended.is_set() or self._has_begun(server, key), f"the start {key} has a run")

        def look(chosen: random.Random) -> None:
            began = time.perf_counter()
            server.call("endpoints.watch", name="loans")
            self.told.add("look of monitors", took_s=time.perf_counter() - began)
            self.ended.wait(2)

        def read(chosen: random.Random) -> None:
            began, page = time.perf_counter(), chosen.choice(_PAGES)
            pages.send("GET", page)
            self.told.add("page", took_s=time.perf_counter() - began)
            self.ended.wait(0.2)

        return [("prediction", ask), ("pipeline", start), ("look of monitors", look), ("page", read)]

    def _until_taken(self, kind: str, id: str, ask: Callable[[], object]) -> None:
        """The same again until it is acknowledged, as a client does whose server does not answer."""
        while not self.ended.is_set():
            began = time.perf_counter()
            try:
                ask()
            except Unavailable:
                self.told.refuse(kind)
                self.ended.wait(0.2)
            else:
                self.told.add(kind, id, took_s=time.perf_counter() - began)
                return

    def _endpoint_url(self) -> str:
        url = str(self.world.status().get("url", ""))
        if not url:
            raise Unavailable("The endpoint has not said yet where it answers.")
        return url

    def _has_begun(self, server: Client, key: str) -> bool:
        try:
            return server.call("pipelines.begun", key=key, wait_s=5).state != "starting"
        except Unavailable:
            return False

    def _again(self, kind: str, work: Callable[[random.Random], None]) -> None:
        chosen = random.Random(f"{self.seed} {kind}")
        while not self.ended.is_set():
            try:
                work(chosen)
            except Unavailable:
                self.told.refuse(kind)
                self.ended.wait(0.2)
            except (Conflict, SlipwayError, ValueError) as problem:
                self.broken.append(f"{kind}: {type(problem).__name__}: {problem}")
                self.ended.wait(0.2)

    def _settle(self, server: Client) -> None:
        """Until the endpoint answers, all that was answered is logged, outboxes are empty, and pipelines have ended."""
        await_that(lambda: self.world.pids("server") and self.world.pids("worker"), "server and endpoint stand again")

        def is_settled() -> bool:
            try:
                with EndpointClient(self._endpoint_url(), "loans") as endpoint:
                    endpoint.settle()
            except SlipwayError:
                return False
            return True

        await_that(is_settled, "the endpoint's log is whole")

        def is_sent() -> bool:
            done = subprocess.run([*SLIPWAY, "runs", "sync"], cwd=self.world.away, capture_output=True, text=True)
            return not done.returncode

        await_that(is_sent, "the outbox is empty")
        started = self.told.by_kind.get("pipeline", [])
        await_that(lambda: all(self._has_begun(server, key) for key in started), "what was started has begun")
        await_that(lambda: not server.call("runs.search", where="state = 'running'", limit=1).runs, "runs have ended")
        self.begun = {key: server.call("pipelines.begun", key=key).run_id for key in started}

    def _look_for_all(self) -> None:
        log, said = self.world.endpoint / "log", self.told.by_kind
        answered = {row.id for row in read_rows(log, "predictions", PredictionRow)[0]}
        labelled = {row.prediction for row in read_rows(log, "labels", LabelRow)[0]}
        workspace = open_workspace(self.world.root, project=PROJECT)
        try:
            runs, of_pipelines = _whole_runs(workspace)
            keys = {key for key, run_id in self.begun.items() if run_id in of_pipelines}
            there = {"prediction": answered, "label": labelled, "pipeline": keys}
            for kind, ids in said.items():
                known = there.get(kind, runs)
                if kind == "prediction" or kind == "label" or kind == "pipeline" or kind.startswith("run"):
                    self.found[kind] = sum(id in known for id in ids)
                    self.lost[kind] = [id for id in ids if id not in known]
            audit.seal(workspace, Empty())
            self.sealed = audit.verify(workspace, Empty()).sealed
        finally:
            workspace.ledger.close()


def _whole_runs(workspace: Workspace) -> tuple[set[str], set[str]]:
    """The runs that finished with all their points, and those of pipelines that finished."""
    whole, of_pipelines = set(), set()
    with workspace.ledger.read() as tx:
        for run in entries.find(tx, Run, project=PROJECT, limit=10**7):
            if run.state == "finished" and run.pipeline:
                of_pipelines.add(run.id)
            elif run.state == "finished" and len(tx.points(run.id, "loss")) == POINTS and run.artifacts:
                whole.add(run.id)
    return whole, of_pipelines


def memory_of(seen: list[Seen]) -> tuple[Seen, Seen, float]:
    """Of the server's last process: after a third of its operations, at the end, and bytes more for 1,000 operations."""
    own = [one for one in seen if one.pid == seen[-1].pid]
    warm = [one for one in own if one.operations >= own[0].operations + (own[-1].operations - own[0].operations) / 3]
    if len(warm) < 3:
        return warm[0], warm[-1], 0.0
    slope = statistics.linear_regression([one.operations / 1000 for one in warm], [one.shares for one in warm]).slope
    return warm[0], warm[-1], slope


def _row(what: str, ours: float, **goal: float) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": None, "slipway": ours, "ratio": None, **goal}


def soak(minutes: float = MINUTES, seed: int = 7) -> tuple[Soak, list[dict[str, Any]]]:
    """A soak, and the rows of its table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        one = Soak(Path(place), minutes, seed)
        one.run()
    warm, last, slope = memory_of(one.server)
    rows = [_row("minutes of load", minutes)]
    rows += [
        _row(f"acknowledged: {kind}", max(len(ids), len(one.told.took_s.get(kind, ()))))
        for kind, ids in sorted(one.told.by_kind.items())
    ]
    rows += [_row(f"killed: {kind}", count) for kind, count in sorted(one.killer.kills.items())]
    rows += [_row("refused while somebody was killed", one.told.refused.total())]
    rows += [_row(f"lost: {kind}", len(ids), goal=0) for kind, ids in sorted(one.lost.items())]
    rows += [_row("other errors", len(one.broken), goal=0), _row("events whose seals hold", one.sealed)]
    rows += [
        _row("the server's memory when it was warm, MB", warm.shares / 1e6),
        _row("at the end, MB", last.shares / 1e6),
        _row("MB more for 1,000 operations", slope / 1e6),
        _row("its open files, warm", warm.files),
        _row("at the end", last.files),
        _row("its threads, warm", warm.threads),
        _row("at the end", last.threads),
        _row("children that ended and were not collected yet", last.zombies),
    ]
    rows += [
        _row(f"{kind}, p95, ms", sorted(took)[int(0.95 * (len(took) - 1))] * 1000)
        for kind, took in sorted(one.told.took_s.items())
    ]
    return one, rows


def run(minutes: float = MINUTES) -> list[dict[str, Any]]:
    """Rows of the table."""
    one, rows = soak(minutes)
    for line in one.broken[:20]:
        print(line)
    return rows
