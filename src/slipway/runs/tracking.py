"""A run that a script or a notebook logs to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import polars as pl
from msgspec.structs import replace

from slipway import elsewhere
from slipway.context import Slot
from slipway.errors import InvalidInput, RunStopped, UserError
from slipway.hashing import fingerprint
from slipway.ledger import artifacts, provenance, run_log
from slipway.ledger.experiments import check_experiment, number_of
from slipway.ledger.limits import check_room
from slipway.ledger.run_apart import unkept
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_notes import WATCHED, Notes
from slipway.ledger.run_rules import check_key
from slipway.ledger.step_scope import plain_call
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, CodeVersion, Dataset, Run, RunFinding
from slipway.runs import notebook
from slipway.runs.experiments import experiment_named
from slipway.runs.figures import figure_bytes
from slipway.runs.inputs import TABLE, dataset_of
from slipway.runs.receiving import artifact_name
from slipway.runs.resuming import resumed
from slipway.runs.system import Sampler
from slipway.runs.watch_run import Watching
from slipway.runs.watching import Watch
from slipway.schema.fingerprints import of_value

__all__ = ["WATCHED", "ActiveRun", "ModelLogger", "active_run", "start"]

ModelLogger = Callable[..., Any]


class ActiveRun:
    """A run under way. Safe for threads; a call costs microseconds, files aside.

    Args:
        log: Writes the record.
        model_logger: Packages and records a fitted model: called with this run, the estimator and the options of
            `log_model`.
        step: The pipeline's step that logs, None outside of one.

    Example:
        with slipway.run("baseline", params={"depth": 6}) as run:
            run.log_metric("auc", 0.71)
    """

    def __init__(self, log: RunLog, *, model_logger: ModelLogger | None = None, step: Notes | None = None) -> None:
        self._log = log
        self._model_logger = model_logger
        self._step = step

    @property
    def id(self) -> str:
        """The run's id: 32 hex digits."""
        return self._log.id

    @property
    def record(self) -> Run:
        """The record as it stands."""
        return self._log.run

    @property
    def findings(self) -> tuple[RunFinding, ...]:
        """What was noticed so far; see `watch`."""
        return self._log.run.findings

    def __repr__(self) -> str:
        return f"<run {self.record.name} {self.id}: {self.record.state}>"

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"A run has no {name!r}.{elsewhere.hint(name)}", name=name, obj=self)

    def _repr_html_(self) -> str:
        return self.record._repr_html_()

    def log_param(self, key: str, value: object) -> None:
        """Record a parameter. It is written once; the same value again is fine.

        Args:
            key: At most 250 characters.
            value: Plain scalars keep their type, everything else is kept as text of at most 6000 characters.

        Raises:
            Conflict: It has another value already.
            InvalidInput: Key or value does not fit.
        """
        self._log.log_params({key: value}, within=self._step)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record several parameters; see `log_param`. All or none are recorded."""
        self._log.log_params(params, within=self._step)

    def log_metric(self, key: str, value: object, step: int | None = None) -> None:
        """Record one point of a metric.

        Args:
            key: At most 250 characters; a slice is written `auc[carrier=AA]`.
            value: A number; NaN and infinities are kept.
            step: Orders the points, 0 when None. The latest point is the greatest by (step, time, value).

        Raises:
            InvalidInput: The key does not fit, or the value is not a number.
            RunStopped: A watch with `stop=True` says that going on is no use; see `watch`.
        """
        self._log.log_metric(key, value, 0 if step is None else step, within=self._step)

    def log_metrics(self, metrics: Mapping[str, object], step: int | None = None) -> None:
        """Record a point of several metrics; see `log_metric`."""
        for key, value in metrics.items():
            self._log.log_metric(key, value, 0 if step is None else step, within=self._step)

    def set_tag(self, key: str, value: object) -> None:
        """Set a tag: text of at most 8000 characters that may be set again.

        Raises:
            InvalidInput: Key or value does not fit.
        """
        self._log.set_tags({key: value}, within=self._step)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set several tags; see `set_tag`."""
        self._log.set_tags(tags, within=self._step)

    def log_artifact(self, name: str | Path, value: object = ...) -> tuple[Artifact, ...]:
        """Store a file, a folder or a value under a name.

        Args:
            name: What it is called: a path with forward slashes. A file's path alone stores it under its file name.
            value: A `Path` stores that file, or every file of that folder; anything else is stored as a value, in the
                format of its type.

        Returns:
            What was stored: one artifact, or one a file of a folder, or a value's parts.

        Raises:
            InvalidInput: The name leads elsewhere, the file does not exist, or the value cannot be stored.
        """
        if value is ... and isinstance(name, str | Path):
            name, value = Path(name).name, Path(name)
        path = artifact_name(str(name) if isinstance(name, Path) else name)
        if isinstance(value, Path):
            return self._log_files(path, value)
        encoded = artifacts.encode(path, value, of_value)
        return self._keep(artifacts.store(self._log.workspace.blobs, encoded))

    def log_text(self, name: str, text: str) -> Artifact:
        """Store text, readable in the pages.

        Raises:
            InvalidInput: The name leads elsewhere.
        """
        data = text.encode()
        stored = Artifact(
            name=artifact_name(name),
            digest=self._log.workspace.blobs.put(data),
            fingerprint=fingerprint(text),
            format="text",
            size_bytes=len(data),
        )
        return self._keep((stored,))[0]

    def log_json(self, name: str, value: object) -> Artifact:
        """Store a plain value (lists, mappings, numbers, text, dates) as JSON.

        Raises:
            InvalidInput: Something in it has no plain form, or the name leads elsewhere.
        """
        encoded = artifacts.encode(artifact_name(name), value, of_value)
        if len(encoded.parts) != 1 or encoded.artifacts[0].format != "json":
            raise InvalidInput(
                f"{name!r} was given a {type(value).__name__} that holds more than plain values.",
                fix="Store it with `run.log_artifact(name, value)`, which takes frames, arrays and objects.",
                field="value",
            )
        return self._keep(artifacts.store(self._log.workspace.blobs, encoded))[0]

    def log_figure(self, name: str, figure: object) -> Artifact:
        """Store a figure of Matplotlib, Seaborn, Plotly, Altair or Pillow, as a picture or a page.

        Args:
            name: What it is called; its suffix says as what it is stored: "roc.png", "roc.svg", "roc.html".
            figure: The figure.

        Raises:
            InvalidInput: It is no figure that can write itself, or not so.
        """
        called, data = figure_bytes(artifact_name(name), figure)
        digest = self._log.workspace.blobs.put(data)
        stored = Artifact(name=called, digest=digest, fingerprint=digest, format="bytes", size_bytes=len(data))
        return self._keep((stored,))[0]

    def log_table(self, name: str, rows: Any) -> tuple[Artifact, ...]:
        """Store rows as Parquet, to be read back as a frame.

        Args:
            name: What it is called.
            rows: A Polars or pandas frame, a mapping of columns, or a list of mappings.

        Raises:
            InvalidInput: They are no table.
        """
        artifact_name(name)
        if not hasattr(rows, "columns"):
            try:
                rows = pl.DataFrame(rows)
            except (TypeError, ValueError, pl.exceptions.PolarsError) as problem:
                raise InvalidInput(
                    f"{name!r} was given a {type(rows).__name__} that is no table: {problem}.",
                    fix="Give a frame, a mapping of columns, or a list of mappings.",
                    field="rows",
                ) from problem
        return self.log_artifact(name, rows)

    def log_input(self, data: object, *, name: str = "", context: str = "") -> Dataset:
        """Record which data the run used.

        A version of a stored table is linked as the run's input, so that lineage leads from it to what the run makes. A
        frame is named by the fingerprint of its values: the same rows are the same data, whatever file they came from.

        Args:
            data: A table (its declaration, its name, "NAME@VERSION", or a version); or a Polars or pandas frame, or an
                array.
            name: What it is called; the table's name, or "data", when empty.
            context: What it was used for: "training", "validation".

        Raises:
            NotFound: There is no such table or version.
            InvalidInput: It has no fingerprint.
        """
        found = dataset_of(self._log.workspace, data, name=name, context=context)
        self._log.add_dataset(found, within=self._step)
        if found.source_type == TABLE:
            self._log.add_input(found.source, within=self._step)
        return found

    def watch(
        self,
        key: str,
        *,
        validation: str = "",
        higher_is_better: bool = False,
        patience: int = 50,
        stop: bool = False,
    ) -> None:
        """Look at a metric as it is logged, and record as a finding what it shows.

        NaN or infinity; divergence (it lost more than half of what it had gained); a plateau (its mean over `patience`
        points is no better than over as many before); overfitting (`validation` rises while the metric goes on falling).
        Each is found once. The curve's own noise is allowed for.

        Args:
            key: The metric.
            validation: The same metric on rows that were not trained on; the plateau is then looked for there.
            higher_is_better: Whether it is to rise: accuracy, AUC.
            patience: See above.
            stop: Whether a finding ends the run: `log_metric` raises `RunStopped`, the `with` block ends, the run is
                recorded as finished early with the reason, and the script goes on after the block. Catch it in the loop
                to go on inside.

        In a pipeline's step the watch sees the step's own points, and ends with it; `stop` ends the step and the
        pipeline's run.

        Raises:
            InvalidInput: A key does not fit, or the patience is below 2.
        """
        for name in (key, validation):
            if name:
                check_key(name, "metric")
        if patience < 2:
            raise InvalidInput(
                f"A patience of {patience} points tells nothing.", fix="Give at least 2.", field="patience"
            )
        watch = Watch(key, validation=validation, higher_is_better=higher_is_better, patience=patience)
        listeners = self._log.listeners if self._step is None else self._step.listeners
        listeners.append(Watching(self._log, watch, self._step, stop=stop))
        self._log.add_watched([name for name in (key, validation) if name], within=self._step)

    def log_model(self, estimator: object, *, sample: object = None, name: str | None = None, **options: object) -> Any:
        """Package a fitted estimator, store it with this run and register it as a model's next version.

        Args:
            estimator: The fitted estimator.
            sample: Some rows of its inputs: they give the signature, and the answers that serving must repeat.
            name: The model's name; the run's own when None.
            **options: What packaging models takes besides.

        Raises:
            UserError: This run was opened without a way to package models.
        """
        if self._model_logger is None:
            raise UserError(
                "This run cannot package models.",
                why="It is a pipeline's, whose model is what the pipeline returns." if self.record.pipeline else "",
                fix="Return `sw.Model(...)` from the pipeline, or log it in a run of its own: `with sw.run(...)`.",
            )
        return self._model_logger(self, estimator, sample=sample, name=name, **options)

    def flush(self) -> None:
        """Write what is kept now, instead of within a second.

        Raises:
            BackendError: The ledger cannot be written.
        """
        self._log.write()

    def _log_files(self, name: str, path: Path) -> tuple[Artifact, ...]:
        if not path.exists():
            raise InvalidInput(
                f"There is no file {str(path)!r} to store as {name!r}.",
                why=f"The current folder is {Path.cwd()}.",
                fix="Check the path. To store the path itself as text, pass `str(path)`.",
                field="value",
            )
        if path.is_file():
            return self._keep((self._file(name, path),))
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return self._keep(tuple(self._file(f"{name}/{file.relative_to(path).as_posix()}", file) for file in files))

    def _file(self, name: str, path: Path) -> Artifact:
        stored = self._log.workspace.blobs.put_file(path)
        return Artifact(name=name, digest=stored, fingerprint=stored, format="bytes", size_bytes=path.stat().st_size)

    def _keep(self, stored: tuple[Artifact, ...]) -> tuple[Artifact, ...]:
        for artifact in stored:
            self._log.add_artifact(artifact, within=self._step)
        return stored


begun_here: Slot[ActiveRun | None] = Slot("slipway.active_run")


def active_run() -> ActiveRun:
    """The run that is under way here: the one of the `with sw.run(...)` around this, or the pipeline's inside a step.

    A step logs with it as a script does. What it logs stands in the pipeline's run, and is logged again when a later run
    takes the step's stored result. A step that is called as a plain function, outside any run, may log too: what it
    gives is checked and watched, and kept nowhere.

    Raises:
        UserError: No run is under way here.

    Example:
        @sw.step
        def train(rows: pl.DataFrame, epochs: int = 20) -> sw.Model:
            run = sw.active_run()
            run.watch("loss", stop=True)
            for epoch in range(epochs):
                run.log_metric("loss", fit_once(rows), epoch)
    """
    log, step, begun = run_log.current_run.get(), run_log.notes.get(), begun_here.get()
    if log is None:
        call = plain_call.get()
        if call is None:
            raise UserError(
                "No run is under way here.",
                why="What is logged belongs to a run.",
                fix='Begin one: `with sw.run("name") as run:`.',
            )
        call.log = call.log or unkept(call.name)
        return ActiveRun(cast("RunLog", call.log))
    if begun is not None and begun.id == log.id:
        return begun
    return ActiveRun(log, step=step if step is not None and step.run_id == log.id else None)


@contextmanager
def start(
    workspace: Workspace,
    name: str | None = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    parent: ActiveRun | str = "",
    resume: str | bool = False,
    system_metrics: bool = True,
    model_logger: ModelLogger | None = None,
) -> Iterator[ActiveRun]:
    """Record a run around a `with` block; inside another run it becomes that run's child.

    Python, platform, installed distributions, git commit and what differs from it, the command line and, in IPython, the
    executed cells are recorded unasked. An exception marks the run failed, with its type, message and the user's traceback, and goes on.

    Args:
        workspace: Where it is recorded.
        name: What people call it; the name of the script or notebook when None.
        experiment: The experiment's name, made when it is new; the default one when None.
        params: Parameters known from the start.
        tags: Tags known from the start.
        parent: The run whose child it is, where that is not the one around it.
        resume: The id of a run to go on with; True for the newest one of this name unless it finished.
        system_metrics: Whether to log every ten seconds what the machine does, as metrics `system/...`.
        model_logger: See `ActiveRun`.

    Raises:
        InvalidInput: A name, parameter or tag does not fit.
        NotFound: There is no such run to go on with.
        Conflict: See `ActiveRun.log_param`; or the run to go on with is still running.
        Denied: Whoever asks may not record runs here.
        OverQuota: The project may begin no more runs today.
    """
    check_allowed(workspace, "runs.start", "runs.write")
    script = Path(notebook.file_name() or sys.argv[0] or "notebook")
    called, code = name if name is not None else script.stem, _code(workspace, script.name)
    own = {"slipway.command": provenance.command_line()[:8000], **(tags or {})}
    log = resumed(workspace, called, resume) if resume else None
    if log is None:
        log = _begun(workspace, called, experiment, parent, params or {}, own, code)
    else:
        log.set_code(code)
        log.set_tags(own)
    sampler = Sampler(log)
    try:
        log.log_params(params or {})  # known already, but where the run goes on
        if system_metrics:
            sampler.start()
        active = ActiveRun(log, model_logger=model_logger)
        with run_log.current_run.filled(log), begun_here.filled(active):
            yield active
    except BaseException as error:
        if isinstance(error, RunStopped) and error.run_id == log.id:
            _end(log, sampler, ended_early=error.what)
            return
        _end(log, sampler, None if isinstance(error, SystemExit) and error.code in (None, 0) else error)
        raise
    _end(log, sampler)


def _end(log: RunLog, sampler: Sampler, error: BaseException | None = None, *, ended_early: str = "") -> None:
    sampler.stop()
    try:
        notebook.attach(log)
    finally:
        log.finish(error, ended_early=ended_early)


def _begun(
    workspace: Workspace,
    name: str,
    experiment: str | None,
    parent: ActiveRun | str,
    params: Mapping[str, object],
    tags: Mapping[str, object],
    code: CodeVersion,
) -> RunLog:
    is_here = workspace.run_server is None
    if is_here:
        with workspace.ledger.read() as tx:
            check_room(tx, workspace, "runs_a_day")
    return run_log.start(
        workspace,
        name=name,
        experiment_id=number_of(experiment_named(workspace, experiment)) if experiment is not None and is_here else "0",
        experiment="" if experiment is None or is_here else check_experiment(experiment),
        parent_id=parent.id if isinstance(parent, ActiveRun) else parent,
        params=params,
        tags=tags,
        code=code,
    )


def _code(workspace: Workspace, script: str) -> CodeVersion:
    """The git commit of the present folder, and as a blob what differs from it."""
    code = provenance.code_version(Path.cwd(), entry=script)
    difference = provenance.code_diff(Path.cwd()) if code.dirty else b""
    if not difference:
        return code
    return replace(code, diff=workspace.blobs.put(difference), diff_bytes=len(difference))
