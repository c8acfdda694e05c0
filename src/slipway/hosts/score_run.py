"""Carries out a scoring: its rows part by part, in this process, in a pool of processes or on Ray; then one version of them.

A part that is done is a folder that appeared whole. Killed at any moment, whoever goes on scores the other parts only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from datetime import UTC
from pathlib import Path

import msgspec
import polars as pl

from slipway.code import reference
from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput, NotFound, StepFailed, Unavailable
from slipway.features.batches import Batches as FeatureBatches
from slipway.features.batches import Limits
from slipway.features.offline import keys_of
from slipway.features.training import PinnedTables, history_of
from slipway.flows.endpoints import folder_of
from slipway.flows.feed import from_tables
from slipway.flows.score import (
    PREFIX,
    ROWS_FILE,
    check_stands,
    ended,
    fail,
    parts_folder,
    revision_with,
    settle,
    spec_of,
    taken_back,
)  # fmt: skip
from slipway.flows.scored_log import as_logged, policy_of
from slipway.flows.scored_rows import chosen_rows, publish, source_of
from slipway.flows.turns import turn
from slipway.hosts.executors import THREADS, placement
from slipway.hosts.score_part import BESIDE, FOUND, LOGS, Job, PartTold, looked_up, score_part
from slipway.ids import new_id
from slipway.ledger import archive, artifacts, entries
from slipway.models import bundle as bundles
from slipway.pipelines import cache
from slipway.pipelines.following import bytes_in
from slipway.ports.executor import Executor, Placement
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import BatchSpec, Revision, Served
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.records.models import Bundle
from slipway.records.scorings import Scoring
from slipway.records.tasks import StepAnswer, StepTask
from slipway.schema.fingerprints import of_value
from slipway.tables.catalog import pins
from slipway.tables.durable import sync_folder

__all__ = ["carry_out"]

_TOLD_FILE = "told.json"
_AT = "slipway:at"
_LOST_TIMES = 5
_CRASH_TIMES = 3
_MANY_REASONS = 20
_Done = tuple[pl.DataFrame, bytes, bytes, bytes, bytes]
"""What `score_part` gives."""

_Frames = Iterator[tuple[int, pl.DataFrame]]


def carry_out(workspace: Workspace, id: str) -> Scoring:
    """Score what is left of a scoring and publish the result; one that has ended is left as it is.

    Args:
        workspace: Whose store.
        id: The scoring's.

    Returns:
        The scoring, ended.

    Raises:
        SlipwayError: It failed, which its record says too; what was done is kept, unless it can lead to nothing.
    """
    with workspace.ledger.read() as tx:
        scoring = entries.get(tx, Scoring, id)
    if scoring.state != "running":
        _settled(workspace, scoring.name)
        return scoring
    began = time.monotonic()
    try:
        with pins.filled({**(pins.get() or {}), **scoring.pins}):
            work = _Work(workspace, scoring)
            work.score()
            done = work.published(began)
    except Conflict as problem:  # others were faster, or rows were erased: what was scored leads to nothing
        with workspace.ledger.read() as tx:
            is_void = bool(taken_back(tx, scoring))
        fail(workspace, id, str(problem), keeps=False, more={"is_void": is_void})
        raise
    except Exception as problem:
        try:
            source_of(workspace, scoring)
        except Conflict as erased:  # and what was done of theirs went with them
            fail(workspace, id, str(erased), keeps=False)
            raise erased from problem
        fail(workspace, id, str(problem), more={"is_crash": isinstance(problem, StepFailed)})
        raise
    _settled(workspace, done.name)
    return done


def _settled(workspace: Workspace, name: str) -> None:
    """Bring the log rows of a finished scoring into the log while nobody looks: half of them would be no fair evidence."""
    with suppress(Conflict), turn(workspace, name, within_s=0.0):  # where somebody looks, the next look does it
        settle(workspace, name)


class _Work:
    """A scoring under way."""

    def __init__(self, workspace: Workspace, scoring: Scoring) -> None:
        self._workspace = workspace
        self._revision = revision_with(workspace, scoring)
        self._spec = spec_of(self._revision)
        self._homes = _homes(workspace, self._revision)
        self._bundle = _verified(workspace, self._homes, scoring.served)
        self._beside = self._challenger()
        names = [field.name for field in self._revision.contract.fields]
        self._columns = list(dict.fromkeys([*names, *([self._spec.time] if self._spec.time else [])]))
        self._rows = chosen_rows(workspace, scoring, self._known(scoring), self._spec.batch_rows)
        self._scoring = self._planned(scoring)
        self._folder = parts_folder(workspace, scoring)
        self._policy = policy_of(workspace, self._revision)

    def _challenger(self) -> Bundle | None:
        """The bundle of a challenger; one that is damaged is left out, and found missing where it would be loaded."""
        beside = self._revision.challenger
        if beside is None:
            return None
        try:
            return _verified(self._workspace, self._homes, beside.served)
        except (Corrupt, NotFound, OSError) as problem:
            self._workspace.say(f"The challenger {beside.served.model} {beside.served.number} is not asked: {problem}")
            del self._homes[beside.served.bundle]
            return None

    def _known(self, scoring: Scoring) -> list[str]:
        """The columns that a row needs, of which the table lacks none."""
        types = {field.name: field.type for field in source_of(self._workspace, scoring).fields}
        missing = [name for name in self._columns if name not in types]
        if missing:
            raise InvalidInput(
                f"The table {scoring.table!r} has no column {missing[0]!r}, which scoring a row of it needs.",
                why=f"Its columns are: {', '.join(types)}.",
                fix="Let the table have it, or declare the batch endpoint with another table.",
            )
        if self._spec.time and types[self._spec.time] != "datetime":
            raise InvalidInput(
                f"{self._spec.time!r} of the table {scoring.table!r} holds no instants with a time zone.",
                why="It says when each row is decided, and what was known by then.",
                fix="Give the column a time zone where the table is ingested, or leave time= out.",
            )
        return self._columns

    def _planned(self, scoring: Scoring) -> Scoring:
        planned = msgspec.structs.replace(scoring, rows=self._rows.rows, parts=len(self._rows))
        if planned == scoring:
            return scoring
        with self._workspace.ledger.write() as tx:
            present = entries.get(tx, Scoring, scoring.id)
            planned = msgspec.structs.replace(present, rows=self._rows.rows, parts=len(self._rows))
            entries.put(tx, planned)
        return planned

    def score(self) -> None:
        """Score all parts that are not kept yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        left = [number for number in range(len(self._rows)) if not (self._folder / _named(number)).is_dir()]
        if not left:
            return
        placed = _placed(self._spec, self._revision)
        job = Job(
            scoring=self._scoring.id,
            revision=self._revision,
            homes={} if placed.is_elsewhere else {digest: str(home.resolve()) for digest, home in self._homes.items()},
            begun_at=self._scoring.created_at,
            looked_up=looked_up(self._bundle.features),
            beside=None
            if self._takes_the_same()
            else looked_up(None if self._beside is None else self._beside.features),
            is_here=placed.open is None,
        )
        if placed.open is None:
            for number, rows in self._frames(left):
                self._keep(number, *score_part(msgspec.json.encode(job), rows, self._first(number), {}))
            return
        packed = {digest: _packed(home) for digest, home in self._homes.items()} if placed.is_elsewhere else {}
        with closing(placed.open()) as executor:
            tries = 1 if self._revision.challenger is None else _CRASH_TIMES
            away = _Away(executor, msgspec.json.encode(job), packed, self._folder, tries)
            self._side_by_side(self._frames(left), away, self._revision.workers)

    def _side_by_side(self, frames: _Frames, away: _Away, workers: int) -> None:
        """So many parts are under way at once, and no more rows are read than these have."""

        def one(number: int, rows: pl.DataFrame) -> None:
            self._keep(number, *away(number, rows, self._first(number)))

        under_way: set[Future[None]] = set()
        with ThreadPoolExecutor(workers, thread_name_prefix="scoring") as pool:
            try:
                for number, rows in frames:
                    under_way.add(pool.submit(one, number, rows))
                    del rows
                    while len(under_way) >= workers:
                        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                        for future in done:
                            future.result()
                for future in under_way:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _first(self, number: int) -> int:
        return number * self._spec.batch_rows

    def _frames(self, numbers: Sequence[int]) -> _Frames:
        """The rows of some parts, each with what its features look up."""
        sought = [(FOUND, self._bundle.features)]
        if not self._takes_the_same() and self._beside is not None:
            sought.append((BESIDE, self._beside.features))
        found = [
            (prefix, names, iter(self._looked_up(spec, names, numbers)))
            for prefix, spec in sought
            if spec is not None and (names := looked_up(spec))
        ]
        for number in numbers:
            columns = []
            for prefix, names, batches in found:
                _, values = next(batches)
                columns += [values[name].alias(prefix + name) for name in names]
            yield number, self._part(number, self._columns).with_columns(columns)

    def _takes_the_same(self) -> bool:
        """Whether what is looked up for the model that serves is what a challenger looks up, too; so without one."""
        if self._beside is None:
            return True
        ours, theirs = self._bundle.features, self._beside.features
        parts = [
            [] if spec is None else [part for part in spec.parts if isinstance(part, Windows | View)]
            for spec in (ours, theirs)
        ]
        return parts[0] == parts[1] and looked_up(ours) == looked_up(theirs)

    def _looked_up(self, spec: FeatureSetSpec, names: Sequence[str], numbers: Sequence[int]) -> FeatureBatches:
        """What windows and views give for the rows of some parts, as of each row's decision time."""
        kept, views = from_tables(spec)
        parts = tuple(part for part in kept.parts if isinstance(part, Windows | View))
        keys = {name for part in parts for name in keys_of(part)}
        sought = msgspec.structs.replace(
            spec,
            parts=tuple(part for part in spec.parts if isinstance(part, Windows | View)),
            request=tuple(field for field in spec.request if field.name in keys),
            features=tuple(field for field in spec.features if field.name in names),
        )
        history = history_of(kept, views, PinnedTables(self._workspace))
        limits = Limits.within(self._workspace.memory_bytes) if self._workspace.memory_bytes else None
        return FeatureBatches(
            sought, lambda wanted: self._timed(numbers, wanted), _AT, history, {}, folder=self._folder, limits=limits
        )

    def _timed(self, numbers: Sequence[int], wanted: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Some columns of some parts, with the decision time of each row."""
        begun = pl.lit(self._scoring.created_at.astimezone(UTC)).cast(pl.Datetime("us", "UTC"))
        at = (pl.col(self._spec.time) if self._spec.time else begun).alias(_AT)
        names = [name for name in wanted if name != _AT]
        read = list(dict.fromkeys([*names, *([self._spec.time] if self._spec.time else self._columns[:1])]))
        for number in numbers:
            yield self._part(number, read).with_columns(at)

    def _part(self, number: int, columns: list[str]) -> pl.DataFrame:
        return self._rows.slice(self._first(number), self._spec.batch_rows, columns)

    def _keep(
        self, number: int, rows: pl.DataFrame, predictions: bytes, shadows: bytes, failures: bytes, told: bytes
    ) -> None:
        """Let a part that is done appear, whole and on the disk."""
        with self._workspace.ledger.read() as tx:
            check_stands(tx, self._scoring)
        made = self._folder / f".{new_id()}"
        try:
            made.mkdir()
            rows.write_ipc(made / ROWS_FILE, compression="zstd")
            (made / _TOLD_FILE).write_bytes(told)
            predictions, shadows = as_logged(self._policy, predictions, shadows)
            # As a writer of the log names its files; the id of the scoring's part keeps them apart.
            begun_us = int(self._scoring.created_at.timestamp() * 1_000_000)
            for kind, log in zip(LOGS, (predictions, shadows, failures), strict=True):
                if log:
                    (made / f"{kind}-{begun_us:016d}-{number}-{self._scoring.id[-8:]}.seg").write_bytes(log)
            for path in made.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            sync_folder(made)
            made.rename(self._folder / _named(number))
            sync_folder(self._folder)
        except OSError as problem:
            raise BackendError(
                f"Part {number + 1} of scoring {self._scoring.number} of {self._scoring.name!r} cannot be kept: {problem}.",
                fix=f"Make room, then go on: slipway score {self._scoring.name} --resume",
            ) from problem
        done = len(list(self._folder.glob(f"{PREFIX}*")))
        self._workspace.say(f"{done:,} of {self._scoring.parts:,} parts are scored.")

    def published(self, began: float) -> Scoring:
        """Make the scores one version, unless too many rows have none."""
        scoring = self._counted()
        if not scoring.rows:
            return self._nothing_new(scoring)
        share = scoring.refused / scoring.rows
        if share > self._spec.max_refused:
            problem = InvalidInput(
                f"{scoring.refused:,} of {scoring.rows:,} rows got no score, and max_refused={self._spec.max_refused:g} "
                f"allows {int(self._spec.max_refused * scoring.rows):,}: nothing is published.",
                why="; ".join(f"{count:,} rows: {why}" for why, count in list(scoring.reasons.items())[:3]),
                fix=f"Mend the rows in {scoring.table!r}, or declare a greater share.",
            )
            figures = {"refused": scoring.refused, "reasons": scoring.reasons}
            fail(self._workspace, scoring.id, str(problem), keeps=False, more=figures)
            raise problem
        scoring = msgspec.structs.replace(scoring, seconds=scoring.seconds + time.monotonic() - began)
        frames = (pl.read_ipc(self._folder / _named(n) / ROWS_FILE) for n in range(scoring.parts))
        return publish(self._workspace, scoring, self._revision, frames)

    def _counted(self) -> Scoring:
        reasons: Counter[str] = Counter()
        by_challenger, unloaded = 0, ""
        for number in range(self._scoring.parts):
            told = msgspec.json.decode((self._folder / _named(number) / _TOLD_FILE).read_bytes(), type=PartTold)
            reasons.update(told.reasons)
            by_challenger += told.by_challenger
            unloaded = unloaded or told.unloaded
        return msgspec.structs.replace(
            self._scoring,
            refused=reasons.total(),
            reasons=dict(reasons.most_common(_MANY_REASONS)),
            by_challenger=by_challenger,
            unloaded=unloaded,
        )

    def _nothing_new(self, scoring: Scoring) -> Scoring:
        told = f"Version {scoring.source_number} of {scoring.table!r} has no row without a score."
        done = msgspec.structs.replace(scoring, state="unchanged", sentence=told)
        with self._workspace.ledger.write() as tx:
            done = ended(tx, self._workspace, done)
        shutil.rmtree(self._folder, ignore_errors=True)
        return done


def _named(number: int) -> str:
    return f"{PREFIX}{number:08d}"


def _placed(spec: BatchSpec, revision: Revision) -> Placement:
    """Where parts are scored: one after the other in this process, or where the environment's steps are."""
    if spec.executor == THREADS:
        return placement("processes" if revision.workers > 1 else THREADS, revision.workers)
    return placement(spec.executor, revision.workers)


def _homes(workspace: Workspace, revision: Revision) -> dict[str, Path]:
    """The folders of the bundles that a revision asks, by digest."""
    place = folder_of(workspace, revision.name) / "bundles"
    return {one.bundle: place / one.bundle for one in revision.versions}


def _verified(workspace: Workspace, homes: Mapping[str, Path], served: Served) -> Bundle:
    return bundles.verify(homes[served.bundle], expect=served.bundle, signer=workspace.signer)


def _packed(home: Path) -> bytes:
    """The files of a bundle, for a machine that has no folder of it."""
    names = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    return archive.pack({name: (home / name).read_bytes() for name in names})


class _Away:
    """Scores parts by an executor's workers. Safe for threads.

    Args:
        executor: The executor.
        job: See `score_part`.
        bundles: See `score_part`.
        folder: Where task folders are made.
        tries: How often a part may crash: a roll-out is not to end by one process that somebody killed.
    """

    def __init__(self, executor: Executor, job: bytes, bundles: dict[str, bytes], folder: Path, tries: int) -> None:
        self._executor, self._job, self._bundles, self._folder = executor, job, bundles, folder
        self._tries = tries

    def __call__(self, number: int, rows: pl.DataFrame, first: int) -> _Done:
        """Score a part.

        Raises:
            StepFailed: Its process crashed or raised.
            Unavailable: What ran it was lost again and again.
        """
        crashes = 0
        for _ in range(_LOST_TIMES):
            with tempfile.TemporaryDirectory(prefix=".task-", dir=self._folder, ignore_cleanup_errors=True) as made:
                folder = Path(made)
                self._write(folder, number, rows, first)
                ending = self._executor.execute(folder)
                if ending.is_lost:
                    continue
                crashes += bool(ending.problem)
                if ending.problem and crashes < self._tries:
                    continue
                if ending.problem:
                    raise _failed(number, f"its process {ending.problem}", ending.output)
                return _result(folder, number)
        raise Unavailable(
            f"Part {number + 1} was begun {_LOST_TIMES} times, and each time what ran it was lost: {ending.problem}.",
            fix="Look after the machines that score, then go on with: slipway score NAME --resume",
        )

    def _write(self, folder: Path, number: int, rows: pl.DataFrame, first: int) -> None:
        (folder / "artifacts").mkdir()
        inputs = {}
        given = {"job": self._job, "rows": rows, "first": first, "bundles": self._bundles}
        for name, value in given.items():
            encoded = artifacts.encode(name, value, of_value)
            for artifact, data in encoded.parts:
                (folder / "artifacts" / artifact.digest).write_bytes(data)
            inputs[name] = encoded.artifacts
        task = StepTask(
            step=f"part {number + 1}",
            function=reference(score_part),
            inputs=inputs,
            returns=("rows", "predictions", "shadows", "failures", "told"),
            allow=("clock", "network", "subprocess"),
        )
        (folder / "task.json").write_bytes(msgspec.json.encode(task))


def _result(folder: Path, number: int) -> _Done:
    try:
        answer = msgspec.json.decode((folder / "result.json").read_bytes(), type=StepAnswer)
    except (FileNotFoundError, msgspec.DecodeError) as problem:
        raise _failed(number, "its process ended without a result", "") from problem
    if answer.state != "finished":
        told = answer.error
        raise _failed(
            number, f"{told.type}: {told.message}" if told else "it gave no reason", told.trace if told else ""
        )
    rows, predictions, shadows, failures, told_of = cache.decode(
        answer.outputs, lambda artifact: bytes_in(folder, artifact)
    )
    return rows, predictions, shadows, failures, told_of


def _failed(number: int, told: str, trace: str) -> StepFailed:
    return StepFailed(
        f"Part {number + 1} could not be scored: {told}.",
        step=f"part {number + 1}",
        trace=trace,
        fix="Mend it and go on with: slipway score NAME --resume",
    )
