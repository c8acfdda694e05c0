"""The looping project's endpoint and retrainings by hand: files as their processes write them, and no process.

So a pass of the loop takes milliseconds, and can be killed at each of its writes.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from small_desk import NoProcess

from looping_desk import NAME, LoopDesk
from slipway.ids import new_id
from slipway.models import bundle as bundles
from slipway.models.bundle import LoadedModel
from slipway.ports.ledger_store import LedgerStore, ReadTransaction, WriteTransaction
from slipway.ports.runner import RESULT_FILE, RunnerState
from slipway.ports.signer import Signer
from slipway.records.endpoints import Revision, Served
from slipway.records.predictions import FailureRow, LabelRow, PredictionRow, ShadowRow
from slipway.records.runs import RunError
from slipway.records.tasks import PipelineAnswer
from slipway.serving.arms import propensity, share_of
from slipway.tables import versions
from slipway.tables.segments import SegmentWriter


class HandRunner:
    """Starts nothing: the test says how a task ends."""

    def __init__(self) -> None:
        self.started: list[Path] = []
        self.alive: set[Path] = set()

    def start(self, folder: Path) -> None:
        if folder not in self.alive and not (folder / RESULT_FILE).exists():
            self.started.append(folder)
            self.alive.add(folder)

    def state(self, folder: Path) -> RunnerState:
        if (folder / RESULT_FILE).exists():
            return "ended"
        return "running" if folder in self.alive else "absent"

    def wait(self, folder: Path, timeout_s: float) -> RunnerState:
        return self.state(folder)

    def stop(self, folder: Path) -> None:
        self.alive.discard(folder)

    def brings(self, version: int) -> None:
        """The last task that was started ends with a model."""
        self._ends(PipelineAnswer(state="finished", run_id="r" * 32, model=NAME, version=version))

    def fails(self, why: str) -> None:
        """It fails."""
        error = RunError(type="ValueError", message=why)
        self._ends(PipelineAnswer(state="failed", run_id="r" * 32, error=error))

    def dies(self) -> None:
        """Its process is killed."""
        self.alive.clear()

    def _ends(self, answer: PipelineAnswer) -> None:
        folder = self.started[-1]
        (folder / RESULT_FILE).write_bytes(msgspec.json.encode(answer))
        self.alive.discard(folder)


class HandDesk(LoopDesk):
    """A desk whose endpoint and retrainings are files only."""

    @property
    def runner(self) -> HandRunner:
        assert isinstance(self.workspace.runner, HandRunner)
        return self.workspace.runner

    def answer(
        self,
        since: float,
        until: float,
        *,
        failing: int = 0,
        bent: Mapping[str, Any] | None = None,
        labels: Callable[[bool], float | None] = float,
        drawn: float | None = None,
    ) -> None:
        """Write what the endpoint would write of the orders between two days, and their labels as they come.

        Args:
            since: In days after the beginning.
            until: In days after it.
            failing: So many rows of the challenger's fail, and are answered by the champion.
            bent: Inputs that arrive otherwise.
            labels: What is told of an order that was late or not, None for nothing.
            drawn: The share that the challenger is really given, None for the declared one.
        """
        revision = self.revision
        orders = versions.read(self.workspace, "orders")
        asked = orders.filter(pl.col("asked_at").is_between(self.at(since), self.at(until), closed="left")).collect()
        load = dict(versions.read(self.workspace, "load").select("observed_at", "load").collect().iter_rows())
        log = _Log(self, revision, failing, drawn)
        for row in asked.iter_rows(named=True):
            log.answer({**row, **_inputs(row, load), **(bent or {})})
        known = pl.col("known_at").is_between(self.at(since), self.at(until), closed="left")
        for key, late, at in orders.filter(known).select("order_id", "late", "known_at").collect().iter_rows():
            if (told := labels(late)) is not None:
                log.labels.append(LabelRow("", key, told, _us(at), _us(at)))
        log.write()

    def day(self, day: float, **more: Any) -> list[str]:
        """Half a day's traffic up to a day, then a pass; gives the kinds of what the loop did."""
        self.answer(day - 0.5, day, **more)
        return [one.name for one in self.pass_at(self.at(day))]

    def days(self, since: float, until: float, **more: Any) -> list[str]:
        """Half days one after another."""
        done: list[str] = []
        for half in range(int(since * 2) + 1, int(until * 2) + 1):
            done += self.day(half / 2, **more)
        return done


class _Log:
    def __init__(self, desk: HandDesk, revision: Revision, failing: int, drawn: float | None) -> None:
        self._folder = desk.folder
        self._signer = desk.workspace.signer
        self._revision = revision
        self._failing = failing
        self._drawn = drawn
        self._models = {"champion": self._load(revision.served)}
        if revision.challenger is not None:
            self._models["challenger"] = self._load(revision.challenger.served)
        self._rows: list[dict[str, Any]] = []
        self.labels: list[LabelRow] = []

    def answer(self, row: dict[str, Any]) -> None:
        self._rows.append(row)

    def write(self) -> None:
        names = [field.name for field in self._models["champion"].signature.inputs]
        inputs = [[row[name] for name in names] for row in self._rows]
        scores = {arm: model.predict_rows(inputs) if inputs else [] for arm, model in self._models.items()}
        predictions: list[PredictionRow] = []
        shadows: list[ShadowRow] = []
        failures: list[FailureRow] = []
        for place, row in enumerate(self._rows):
            arm, at_us, is_covered = self._arm(row["order_id"]), _us(row["asked_at"]), False
            if arm == "challenger" and len(failures) < self._failing:
                served = self._served("challenger")
                failures.append(
                    FailureRow(
                        at_us, at_us, self._revision.number, "challenger", served.bundle[:16], 1, "predict", True
                    )
                )
                arm, is_covered = "champion", True
            answered = self._prediction(row, inputs[place], arm, scores[arm][place])
            predictions.append(msgspec.structs.replace(answered, propensity=1.0) if is_covered else answered)
            for other, found in scores.items():
                if other != arm:
                    bundle = self._served(other).bundle[:16]
                    shadows.append(
                        ShadowRow(predictions[-1].id, at_us, self._revision.number, other, bundle, found[place], 1000)  # type: ignore[arg-type]
                    )
        kinds = (("predictions", predictions), ("shadows", shadows), ("failures", failures), ("labels", self.labels))
        for kind, rows in kinds:
            if rows:
                writer = SegmentWriter(self._folder / "log", kind)
                writer.append(rows)
                writer.close()

    def _prediction(self, row: dict[str, Any], inputs: list[Any], arm: str, score: float) -> PredictionRow:
        challenger, served = self._revision.challenger, self._served(arm)
        return PredictionRow(
            id=new_id(),
            at_us=_us(row["asked_at"]),
            answered_us=_us(row["asked_at"]),
            version=served.number,
            bundle=served.bundle[:16],
            key=row["order_id"],
            request=[row[field.name] for field in self._revision.contract.fields],
            features=inputs,
            score=score,
            decision=None if (threshold := self._models[arm].decision.threshold) is None else score >= threshold,
            revision=self._revision.number,
            arm=arm,  # type: ignore[arg-type]
            propensity=propensity(challenger, arm) if challenger else 1.0,  # type: ignore[arg-type]
        )

    def _arm(self, key: str) -> str:
        challenger = self._revision.challenger
        if challenger is None:
            return "champion"
        fraction = challenger.fraction if self._drawn is None else self._drawn
        is_theirs = share_of(f"{challenger.served.model}/{challenger.served.number}", key) < fraction
        return "challenger" if is_theirs else "champion"

    def _served(self, arm: str) -> Served:
        if arm == "champion":
            return self._revision.served
        assert self._revision.challenger is not None
        return self._revision.challenger.served

    def _load(self, served: Served) -> LoadedModel:
        return bundles.load(self._folder / "bundles" / served.bundle, expect=served.bundle, signer=self._signer)


def _inputs(row: Mapping[str, Any], load: Mapping[datetime, float]) -> dict[str, Any]:
    """Values as the endpoint looks them up; for the window plausible ones are enough, since both models get the same."""
    place = int(str(row["order_id"])[1:])
    hour = row["asked_at"].replace(minute=0, second=0, microsecond=0)
    return {"region_size_1d": (place % 200 - 100) / 1000, "load_now_load": load[hour]}


def _us(instant: datetime) -> int:
    return (instant.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def by_hand(desk: LoopDesk) -> HandDesk:
    """The same desk without processes, its first model deployed and its policy approved."""
    workspace = dataclasses.replace(desk.workspace, launcher=NoProcess(desk.workspace.signer), runner=HandRunner())
    found = HandDesk(dataclasses.replace(desk.project, workspace=workspace), desk.clock)
    found.first()
    return found


class Killed(BaseException):
    """The control plane's process ends here."""


class _Lives:
    def __init__(self, lives: int) -> None:
        self._left = lives

    def spend(self) -> None:
        if not self._left:
            raise Killed
        self._left -= 1


class _DyingLedger:
    def __init__(self, store: LedgerStore, lives: _Lives) -> None:
        self._store, self._lives = store, lives

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        with self._store.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        self._lives.spend()
        with self._store.write() as tx:
            yield tx

    def close(self) -> None:
        self._store.close()


class _DyingSigner:
    def __init__(self, signer: Signer, lives: _Lives) -> None:
        self._signer, self._lives = signer, lives

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        self._lives.spend()
        return self._signer.sign(payload, payload_type)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signer, name)


class _DyingRunner:
    def __init__(self, runner: HandRunner, lives: _Lives) -> None:
        self._runner, self._lives = runner, lives

    def start(self, folder: Path) -> None:
        self._lives.spend()
        self._runner.start(folder)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


def with_lives(desk: HandDesk, lives: int) -> HandDesk:
    """A desk whose process is killed before it writes, signs or starts anything once more than so many times."""
    counted = _Lives(lives)
    workspace = dataclasses.replace(
        desk.workspace,
        ledger=_DyingLedger(desk.workspace.ledger, counted),
        signer=_DyingSigner(desk.workspace.signer, counted),
        runner=_DyingRunner(desk.runner, counted),
    )
    return HandDesk(dataclasses.replace(desk.project, workspace=workspace), desk.clock)
