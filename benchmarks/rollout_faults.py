"""Roll-outs of challengers that go wrong, end to end over real HTTP: are they caught, how late, and who is hurt?

An endpoint answers steady load, one row a request, on several connections, and `slipway up` looks after it as in
production. A challenger is deployed that raises on 15 % of the rows, answers five times as slowly, answers the same to
everybody, answers the opposite, or decides middling rows wrongly, so that errors cost more; labels come a second after their
predictions. Nobody intervenes. *Until the last wrong answer* is counted from the instant at which the ledger holds the
revision that takes the challenger back to the end of the last answer that the challenger gave. An equal challenger
must reach all traffic. A challenger that learnt from inverted labels is shown in shadow too, by labels, in business days that are
simulated: the load comes day by day, and the server is asked over HTTP to look.

**A slow shadow**: the p99 of requests at fixed instants while a challenger that takes ten times as long, 40 ms a row without the processor, is in
shadow (ours), beside none (raw), in turns on the same endpoint, who goes first alternating. Only where the interval of the
ratio is narrow is the goal shown: on a loaded machine it is not.
"""

import itertools
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

import slipway as sw
from benchmarks.rollout_models import Scorer
from slipway.backends.clocks import FileClock
from slipway.client.endpoint import EndpointClient
from slipway.errors import SlipwayError
from slipway.flows import rollouts
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.log_model import log_model
from slipway.flows.release import declare_endpoint
from slipway.hosts import simulation
from slipway.hosts.project import open_workspace
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.ledger import entries
from slipway.ledger.projects import register
from slipway.operations.endpoints import Deploy
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.rollouts import Rollout
from slipway.runs import tracking
from slipway.serving.open_loop import at_rate

NAME = "faults"
FAULTS = ("raises", "slow", "constant", "inverted", "costly")
RATE = 50.0
LONGEST_S = 120.0
STEPS = (10, 50, 100)
REMARK = """\
A canary's step has the challenger answer rows by their keys; *answered by the challenger* counts rows from the deployment to the
way back. A row is drawn for it by its key with the chance of the step, so that their number is binomial: the goal is the share
that it exceeds with a chance of one in a thousand while the plan is kept to. The canary has default settings, no declared limit.
"""
_PATH = "roll-outs that go wrong"
_START = datetime(2026, 3, 2, tzinfo=UTC)
_CLIENTS = 4
_LABELS_AFTER_S = 1.0


@dataclass
class Told:
    """What became of one roll-out.

    Args:
        kind: The challenger's.
        state: The roll-out's at the end, "" where it had not ended.
        phase: In which it ended: "shadow", or "canary 10 %".
        sentence: Why.
        requests: How many were sent while it was under way.
        failed: How many of them were not answered with 200.
        rows: How many rows were answered from the deployment to the way back.
        fraction: The share of them that the challenger answered.
        most_fraction: The share that the plan gave it at most.
        took_s: From the deployment to the way back.
        last_wrong_s: From the revision's publication to the last answer of the challenger; 0 for none after it.
    """

    kind: str
    state: str = ""
    phase: str = ""
    sentence: str = ""
    requests: int = 0
    failed: int = 0
    rows: int = 0
    fraction: float = 0.0
    most_fraction: float = 0.0
    took_s: float = 0.0
    last_wrong_s: float = 0.0


@dataclass
class Load:
    """Steady requests from a few threads, and what came of each; labels follow.

    Args:
        url: Where the endpoint answers.
        rate: Requests a second of all threads.
    """

    url: str
    rate: float
    answers: list[tuple[float, list[int]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        self.threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(_CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End once what was sent is answered."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        chance, due = random.Random(f"{seed} {self.url} {time.time()}"), time.monotonic() + seed / self.rate
        waiting: list[tuple[float, list[dict[str, Any]]]] = []
        with EndpointClient(self.url, NAME) as client:
            while not self.stopping.wait(max(0.0, due - time.monotonic())):
                due += _CLIENTS / self.rate
                rows = [made(chance)]
                try:
                    found = client.predict(rows)["predictions"]
                except SlipwayError as problem:
                    self.failures.append(str(problem))
                    continue
                self.answers.append((time.time(), [one["version"] for one in found]))
                waiting.append((time.monotonic() + _LABELS_AFTER_S, labels(chance, rows, found)))
                if len(waiting) >= 10 and waiting[9][0] < time.monotonic():
                    client.labels(list(itertools.chain(*(some for _, some in waiting[:10]))))
                    del waiting[:10]


def made(chance: random.Random) -> dict[str, Any]:
    """A row of a new case."""
    return {"case": f"{chance.getrandbits(64):x}", "x0": round(chance.gauss(0, 1), 4), "x1": round(chance.random(), 4)}


def labels(chance: random.Random, rows: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What really happened, as `Scorer` says when nothing is wrong with it."""
    truths = [chance.random() < 1 / (1 + np.exp(-(2.0 * row["x0"] - 0.4))) for row in rows]
    return [{"prediction": one["id"], "value": int(truth)} for one, truth in zip(found, truths, strict=True)]


def registered(workspace: Workspace, kinds: tuple[str, ...]) -> dict[str, int]:
    """Log one model of each kind; their numbers."""
    rng = np.random.default_rng(0)
    sample = np.column_stack([rng.normal(size=200), rng.random(200) * 0.8])
    numbers = {}
    frame = pd.DataFrame(sample, columns=["x0", "x1"])
    for kind in kinds:
        decision = sw.threshold(costs={"false_positive": 1, "false_negative": 1}, unit="USD")
        with tracking.start(workspace, f"train {kind}", system_metrics=False) as run:
            version = log_model(
                workspace, run.record, Scorer(kind), sample=frame, name=NAME, decision=decision, task="classification",
                trust=["benchmarks.rollout_models.Scorer"],
            )  # fmt: skip
        numbers[kind] = version.number
    return numbers


def declared(workspace: Workspace, plan: list[sw.Shadow | sw.Canary], *, in_simulation: bool = False) -> None:
    """Declare the endpoint."""
    endpoint = sw.Endpoint(
        NAME, key="case", rollout=plan,
        monitors=[sw.Quality("log_loss", label_delay="0d"), sw.KPI("cost of errors", label_delay="0d")],
    )  # fmt: skip
    declare_endpoint(workspace, endpoint, simulation=in_simulation)


@contextmanager
def control_plane(root: Path) -> Iterator[str]:
    """`slipway up` on a store, as anybody starts it; gives its address."""
    command = [sys.executable, "-m", "slipway", "up", "--root", str(root), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def rolled_out(workspace: Workspace, kind: str, number: int, *, rate: float, longest_s: float) -> Told:
    """Deploy a challenger under load, and wait until the controller has ended its roll-out, or the time is up."""
    told = Told(kind)
    status = workspace.launcher.ensure(folder_of(workspace, NAME))
    load = Load(status.url, rate)
    load.start()
    try:
        time.sleep(2.0)
        began, first = time.time(), len(load.answers)
        deploy(workspace, Deploy(model=NAME, version=str(number)))
        while rollouts.under_way(workspace, NAME) is not None and time.time() - began < longest_s:
            time.sleep(0.1)
        told.took_s = time.time() - began
        time.sleep(2.0)
    finally:
        load.stop()
    rollout, newest = rollouts.newest(workspace, NAME), revision_of(workspace, NAME)
    if rollout is None or rollout.challenger.number != number:
        told.phase, told.sentence = "none", "It was deployed without a roll-out."
        return told
    _tell(told, rollout)
    if rollout.is_under_way:  # not caught: out of the next one's way
        workspace.say(f"{kind}: not decided within {longest_s:g} s: {told.sentence}")
        told.state = ""
        deploy(workspace, Deploy(model=NAME, version=str(rollout.champion.number), at_once=True))
    since = load.answers[first:]
    last = newest.created_at.timestamp() if told.state == "stopped" else math.inf
    until = [found for at, found in since if at <= last]
    theirs = sum(version == number for found in until for version in found)
    told.rows = sum(len(found) for found in until)
    told.requests, told.failed = len(since) + len(load.failures), len(load.failures)
    told.fraction = theirs / max(1, told.rows)
    back = newest.created_at.timestamp()
    late = [at - back for at, found in since if number in found and at > back]
    told.last_wrong_s = max(late, default=0.0) if rollout.state != "promoted" else 0.0
    return told


def _tell(told: Told, rollout: Rollout) -> None:
    canary = rollout.spec.canary
    look = rollout.looks[-1] if rollout.looks else None
    step = canary.steps[rollout.step] if canary else 0
    told.state = rollout.state
    told.phase = f"canary {step} %" if look is not None and look.phase == "canary" else "shadow"
    told.most_fraction = step / 100 if told.phase != "shadow" else 0.0
    told.sentence = rollout.reason or (look.sentence if look else "")


def in_real_time(root: Path, kinds: tuple[str, ...], *, rate: float, longest_s: float) -> list[Told]:
    """Each kind of challenger in a canary, one after another, in a store of its own."""
    workspace = open_workspace(root, project=NAME, say=lambda line: print(line, file=sys.stderr))
    register(workspace)
    try:
        numbers = registered(workspace, ("sound", *kinds))
        declared(workspace, [sw.Canary()])
        deploy(workspace, Deploy(model=NAME, version=str(numbers["sound"])))
        with control_plane(root):
            return [rolled_out(workspace, kind, numbers[kind], rate=rate, longest_s=longest_s) for kind in kinds]
    finally:
        workspace.launcher.stop(folder_of(workspace, NAME))
        workspace.ledger.close()


def in_shadow(root: Path, *, days: int = 20, requests: int = 40) -> Told:
    """A challenger with inverted answers in shadow, day by day of business time."""
    simulation.fresh_store(root, _START)
    workspace, clock = open_workspace(root, project=NAME), FileClock(root / CLOCK_FILE)
    register(workspace)
    chance, told = random.Random(0), Told("inverted")
    try:
        numbers = registered(workspace, ("sound", "inverted"))
        declared(workspace, [sw.Shadow("log_loss", margin=0.02), sw.Canary(steps=STEPS)], in_simulation=True)
        status = deploy(workspace, Deploy(model=NAME, version=str(numbers["sound"]))).status
        assert status is not None
        clock.advance_to(_START + timedelta(hours=1))
        deploy(workspace, Deploy(model=NAME, version=str(numbers["inverted"])))
        with control_plane(root) as url, EndpointClient(status.url, NAME) as client:
            for day in range(days):
                theirs = _a_day(client, clock, chance, _START + timedelta(days=day, hours=2), requests, told)
                told.fraction += theirs / (days * requests * 2)
                client.settle()
                clock.advance_to(_START + timedelta(days=day + 1, hours=1))
                looked = httpx.post(f"{url}/api/v1/projects/{NAME}/loop/reconcile", json={}, timeout=60)
                looked.raise_for_status()
                told.took_s = (day + 1) * 86_400.0
                if rollouts.under_way(workspace, NAME) is None:
                    break
        rollout = rollouts.newest(workspace, NAME)
        assert rollout is not None
        _tell(told, rollout)
    finally:
        workspace.launcher.stop(folder_of(workspace, NAME))
        workspace.ledger.close()
    return told


def _a_day(
    client: EndpointClient, clock: FileClock, chance: random.Random, begin: datetime, requests: int, told: Told
) -> int:
    """Ask, and send the labels an hour after; how many rows the challenger answered."""
    theirs = 0
    for turn in range(requests):
        at = begin + timedelta(minutes=15 * turn)
        clock.advance_to(at)
        rows = [made(chance) for _ in range(2)]
        told.requests += 1
        try:
            found = client.predict(rows, at=at)["predictions"]
        except SlipwayError:
            told.failed += 1
            continue
        theirs += sum(one["version"] != 1 for one in found)
        client.labels(labels(chance, rows, found))
    return theirs


def slow_shadow(root: Path, *, turns: int, rate: float, seconds: float) -> list[tuple[float, float]]:
    """The p99 of a request in seconds without and with a shadow that sleeps, by turns."""
    workspace = open_workspace(root, project=NAME)
    register(workspace)
    made_rows = random.Random(0)
    bodies = [json.dumps({"rows": [made(made_rows)]}).encode() for _ in range(256)]
    found: list[tuple[float, float]] = []
    try:
        numbers = registered(workspace, ("sound", "sleeps"))
        declared(workspace, [sw.Shadow("log_loss")])
        status = deploy(workspace, Deploy(model=NAME, version=str(numbers["sound"]))).status
        assert status is not None

        def p99() -> float:
            at_rate(status.url, f"/endpoints/{NAME}/predict", bodies, rate=rate, seconds=1)
            answers = at_rate(status.url, f"/endpoints/{NAME}/predict", bodies, rate=rate, seconds=seconds)
            assert all(one.is_good for one in answers), next(one.words for one in answers if not one.is_good)
            return sorted(one.took_s for one in answers)[int(0.99 * (len(answers) - 1))]

        def beside() -> float:
            deploy(workspace, Deploy(model=NAME, version=str(numbers["sleeps"])))
            measured = p99()
            rollouts.stop(workspace, _under_way(workspace), "the next turn is without it")
            return measured

        for turn in range(turns):  # who goes first alternates
            second = beside() if turn % 2 else None
            alone = p99()
            found += [(alone, beside() if second is None else second)]
    finally:
        workspace.launcher.stop(folder_of(workspace, NAME))
        workspace.ledger.close()
    return found


def binomial_most(rows: int, chance: float) -> int:
    """How many of so many rows are drawn at most, but for one time in a thousand: a quantile of the binomial distribution."""
    if not 0.0 < chance < 1.0:
        return round(rows * chance)
    total = 0.0
    for drawn in range(rows + 1):
        ways = math.lgamma(rows + 1) - math.lgamma(drawn + 1) - math.lgamma(rows - drawn + 1)
        total += math.exp(ways + drawn * math.log(chance) + (rows - drawn) * math.log1p(-chance))
        if total >= 0.999:
            return drawn
    return rows


def _cut(pairs: int) -> int:
    """How many ratios may be left out at either end of a 95 % interval of the median, by the sign test; 0 of few."""
    cut, left_out = 0, 2.0 / 2**pairs
    while left_out + 2 * math.comb(pairs, cut + 1) / 2**pairs <= 0.05:
        cut += 1
        left_out += 2 * math.comb(pairs, cut) / 2**pairs
    return cut if left_out <= 0.05 else 0


def _under_way(workspace: Workspace) -> Rollout:
    found = rollouts.under_way(workspace, NAME)
    assert found is not None
    return found


def revisions(workspace: Workspace) -> list[Revision]:
    """Oldest first."""
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=NAME, name=NAME, limit=1000)
    return sorted(known, key=lambda one: one.number)


def _row(what: str, raw: float | None, ours: float, **goal: float) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": raw, "slipway": ours, "ratio": ours / raw if raw else None, **goal}


def run(
    kinds: tuple[str, ...] = FAULTS,
    rate: float = RATE,
    longest_s: float = LONGEST_S,
    turns: int = 60,
    seconds: float = 5.0,
) -> list[dict[str, Any]]:
    """Rows of the table.

    Args:
        kinds: Which faults.
        rate: Requests a second.
        longest_s: How long a roll-out may take until it counts as not caught.
        turns: How often the p99 is taken with and without a shadow.
        seconds: How long each time.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        told = in_real_time(root / "live", (*kinds, "equal"), rate=rate, longest_s=longest_s)
        shadowed = in_shadow(root / "simulated")
        pairs = slow_shadow(root / "slow", turns=turns, rate=2 * rate, seconds=seconds)
    bad, (equal,) = told[:-1], told[-1:]
    rows = [_row("faults that were caught", None, sum(one.state == "stopped" for one in bad), goal_least=len(kinds))]
    for one in bad:
        found = f"{one.kind}: {one.state or 'not caught'}, {one.phase}"
        rows.append(_row(f"{found}, after s", None, one.took_s))
        at_most = binomial_most(one.rows, one.most_fraction) / max(1, one.rows)
        rows.append(_row(f"{one.kind}: share of rows answered by it", None, one.fraction, goal=at_most))
        rows.append(_row(f"{one.kind}: decision to the last wrong answer, s", None, one.last_wrong_s, goal=1.0))
        rows.append(_row(f"{one.kind}: requests not answered", None, one.failed, goal=0))
    rows.append(_row("equal challenger: reached all traffic", None, equal.state == "promoted", goal_least=1))
    rows.append(_row("equal challenger: after s", None, equal.took_s))
    rows.append(_row("equal challenger: requests not answered", None, equal.failed, goal=0))
    rows.append(_row("inverted in shadow, by labels: stopped", None, shadowed.state == "stopped", goal_least=1))
    rows.append(_row("inverted in shadow: business days", None, shadowed.took_s / 86_400))
    rows.append(_row("inverted in shadow: rows answered by it", None, shadowed.fraction, goal=0))
    ratios = sorted(beside / alone for alone, beside in pairs)
    ratio = statistics.median(ratios)
    alone, beside = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    slow = _row("p99 beside a shadow that takes ten times as long, ms", alone, beside, goal_ratio=1.05)
    cut = _cut(len(ratios))
    rows.append({**slow, "ratio": ratio})
    ends: tuple[tuple[str, float, dict[str, float]], ...]
    ends = (("lower", ratios[cut], {}), ("upper", ratios[-1 - cut], {"goal": 1.05}))
    for word, each, goal in ends:
        rows.append(
            _row(f"the same, {word} end of a 95 % interval of the ratio, {len(ratios)} pairs", None, each, **goal)
        )
    return rows


if __name__ == "__main__":
    for one in run():
        print(one)
