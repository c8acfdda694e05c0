"""A run that a script or a notebook logs to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway.errors import InvalidInput, UserError
from slipway.hashing import fingerprint
from slipway.ledger import artifacts, provenance, run_log
from slipway.ledger.experiments import check_experiment
from slipway.ledger.run_log import RunLog
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, Run
from slipway.runs.experiments import experiment_named
from slipway.runs.receiving import artifact_name
from slipway.schema.fingerprints import of_value

__all__ = ["ActiveRun", "ModelLogger", "start"]

ModelLogger = Callable[..., Any]


class ActiveRun:
    """A run under way. Safe for threads; a call costs microseconds, files aside.

    Args:
        log: Writes the record.
        model_logger: Packages and records a fitted model: called with this run, the estimator and the options of
            `log_model`.

    Example:
        with slipway.run("baseline", params={"depth": 6}) as run:
            run.log_metric("auc", 0.71)
    """

    def __init__(self, log: RunLog, *, model_logger: ModelLogger | None = None) -> None:
        self._log = log
        self._model_logger = model_logger

    @property
    def id(self) -> str:
        """The run's id: 32 hex digits."""
        return self._log.id

    @property
    def record(self) -> Run:
        """The record as it stands."""
        return self._log.run

    def log_param(self, key: str, value: object) -> None:
        """Record a parameter. It is written once; the same value again is fine.

        Args:
            key: At most 250 characters.
            value: Plain scalars keep their type, everything else is kept as text of at most 6000 characters.

        Raises:
            Conflict: It has another value already.
            InvalidInput: Key or value does not fit.
        """
        self._log.log_params({key: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record several parameters; see `log_param`. All or none are recorded."""
        self._log.log_params(params)

    def log_metric(self, key: str, value: object, step: int | None = None) -> None:
        """Record one point of a metric.

        Args:
            key: At most 250 characters; a slice is written `auc[carrier=AA]`.
            value: A number; NaN and infinities are kept.
            step: Orders the points, 0 when None. The latest point is the greatest by (step, time, value).

        Raises:
            InvalidInput: The key does not fit, or the value is not a number.
        """
        self._log.log_metric(key, value, 0 if step is None else step)

    def log_metrics(self, metrics: Mapping[str, object], step: int | None = None) -> None:
        """Record a point of several metrics; see `log_metric`."""
        for key, value in metrics.items():
            self._log.log_metric(key, value, 0 if step is None else step)

    def set_tag(self, key: str, value: object) -> None:
        """Set a tag: text of at most 8000 characters that may be set again.

        Raises:
            InvalidInput: Key or value does not fit.
        """
        self._log.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set several tags; see `set_tag`."""
        self._log.set_tags(tags)

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
        if value is ...:
            name, value = Path(name).name, Path(name)
        path = artifact_name(str(name))
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
                why="It was opened by a part of Slipway that only logs.",
                fix="Open it with `slipway.run(...)`.",
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
            self._log.add_artifact(artifact)
        return stored


@contextmanager
def start(
    workspace: Workspace,
    name: str | None = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    model_logger: ModelLogger | None = None,
) -> Iterator[ActiveRun]:
    """Record a run around a `with` block; inside another run it becomes that run's child.

    Python, platform, installed distributions, git commit and command line are recorded unasked. An exception marks the
    run failed, with its type, message and the user's traceback, and goes on.

    Args:
        workspace: Where it is recorded.
        name: What people call it; the script's name when None.
        experiment: The experiment's name, made when it is new; the default one when None.
        params: Parameters known from the start.
        tags: Tags known from the start.
        model_logger: See `ActiveRun`.

    Raises:
        InvalidInput: A name, parameter or tag does not fit.
        Conflict: See `ActiveRun.log_param`.
    """
    script = Path(sys.argv[0] or "notebook")
    is_here = workspace.run_server is None
    log = run_log.start(
        workspace,
        name=name if name is not None else script.stem,
        experiment_id=experiment_named(workspace, experiment).id if experiment is not None and is_here else "0",
        experiment="" if experiment is None or is_here else check_experiment(experiment),
        params=params,
        tags={"slipway.command": provenance.command_line()[:8000], **(tags or {})},
        code=provenance.code_version(Path.cwd(), entry=script.name),
    )
    try:
        with run_log.current_run.filled(log):
            yield ActiveRun(log, model_logger=model_logger)
    except SystemExit as leaving:
        log.finish(None if leaving.code in (None, 0) else leaving)
        raise
    except BaseException as error:
        log.finish(error)
        raise
    log.finish()
