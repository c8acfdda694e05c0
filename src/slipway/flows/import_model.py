"""A model from elsewhere becomes a version: packaged, and proven to answer a thousand rows as its original does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import InvalidInput, MissingExtra, near
from slipway.flows.import_proof import ROWS, Before, compared
from slipway.flows.package import Moving, package
from slipway.hashing import digest
from slipway.ids import new_run_id
from slipway.ledger import provenance
from slipway.models.bundle import LoadedModel
from slipway.models.inputs import inputs as fix_inputs
from slipway.models.model import Model
from slipway.operations.declare import check_allowed
from slipway.plugins import load
from slipway.ports.model_format import Task
from slipway.ports.workspace import Workspace
from slipway.records.models import ImportProof, ModelVersion
from slipway.records.runs import Artifact, Run

__all__ = ["Kept", "Original", "import_model", "open_original", "read_rows", "take_columns"]

_OPTIONS = {
    "trust": "--trust --keep-pickle, if you know the code of these types: the endpoint then loads it as a pickle.",
    "task=": "--task classification, or --task regression.",
}
"""What the command calls the arguments of `sw.Model` that errors name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where an original lies, and who can open it.

    Args:
        kind: See `slipway.backends.original_models.opened`.
        path: The file or folder.
        python: The Python of an environment that can open it; "" for this process.
        as_kind: The kind by which that environment opens it, "" for the same.
        as_path: The path that it opens then, None for the same.
        folders: Folders in which modules are looked for that a pickle names, where no installed package has them.
    """

    kind: str
    path: Path
    python: str = ""
    as_kind: str = ""
    as_path: Path | None = None
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A model from elsewhere, opened, and what is known of it.

    Args:
        door: How it comes: "pickle", "onnx", "mlflow", "script".
        source: Where from, in words.
        digest: Of its bytes, "" where it came as an object.
        model: The opened model.
        rows: Rows that it was asked with, with its columns in its order; a pandas frame.
        kept: Where it lies; None where it came as an object.
        files: Files that are kept with the run: name -> path.
    """

    door: str
    source: str
    digest: str
    model: Any
    rows: Any
    kept: Kept | None = None
    files: dict[str, Path] = field(default_factory=dict)


def read_rows(path: Path) -> Any:
    """The rows of a CSV or Parquet file, as a pandas frame.

    Raises:
        InvalidInput: It cannot be read, or has no rows.
        MissingExtra: pandas is not installed.
    """
    return load("sample", "read")(path)


def open_original(kept: Kept) -> Any:
    """The model in a file.

    Raises:
        InvalidInput: It cannot be opened: it is damaged, or what it needs is not here.
    """
    what = kept.path.name
    try:
        found = load("original", "open")(kept.kind, str(kept.path))
    except MissingExtra:
        raise
    except ModuleNotFoundError as problem:
        raise InvalidInput(
            f"{what} needs the module {problem.name!r}, which is not here.",
            why="A pickle holds the names of classes and functions, not their code.",
            fix="Install what defines it, or say this in the folder that has it (the pickle's own does, too).",
        ) from problem
    except FileNotFoundError as problem:
        raise InvalidInput(f"There is no file {kept.path}.", fix="Give the path of the model's file.") from problem
    except Exception as problem:  # whatever the code in the file raises; it is said
        raise InvalidInput(
            f"{what} cannot be opened: {type(problem).__name__}: {' '.join(str(problem).split())[:200]}",
            why="It is damaged, cut off, of another kind, or made by another release of its library.",
            fix="Copy it again, or name the kind that it is: slipway import --help",
        ) from problem
    _check_one(found, what)
    return found


def _check_one(found: Any, what: str) -> None:
    """Refuse several objects where one is to be asked."""
    if not isinstance(found, dict | tuple | list):
        return
    held = [f"{name!r} ({type(one).__name__})" for name, one in found.items()] if isinstance(found, dict) else []
    held = held or [type(one).__name__ for one in found]
    raise InvalidInput(
        f"{what} holds a {type(found).__name__} and no model by itself: {', '.join(held[:5]) or 'nothing'}.",
        why="One object is asked, with rows as they come; what prepares them must be in it.",
        fix="Make one of them, which needs no new fit, and dump that: sklearn.pipeline.make_pipeline(scaler, model)",
    )


def take_columns(model: Any, rows: Any, *, target: str = "", say: Callable[[str], None] = lambda line: None) -> Any:
    """The columns that a model is asked with, in its order; others are left out, and said.

    Raises:
        InvalidInput: One is missing, or a model that knows no names takes another number of them.
    """
    given = [str(name) for name in rows.columns]
    if target and target not in given:
        raise InvalidInput(
            f"The sample has no column {target!r}.", fix=near(target, given, what="columns"), field="target"
        )
    names = [name for name in given if name != target]
    known = _known_names(model)
    if known is None:
        count = getattr(model, "n_features_in_", None)
        if count is not None and count != len(names):
            raise InvalidInput(
                f"The sample has {len(names)} columns, and the model takes {count}: {', '.join(names[:8])}.",
                why="It was fitted on an array, so it knows how many, and not which.",
                fix="Give just its columns in its order; name the column of the truth: --target NAME",
                field="sample",
            )
        return rows[names]
    missing = [name for name in known if name not in names]
    if missing:
        raise InvalidInput(
            f"The sample lacks {', '.join(repr(name) for name in missing[:5])}, which the model takes.",
            fix=near(missing[0], names, what="columns"),
            field="sample",
        )
    besides = [name for name in names if name not in known]
    if besides:
        say(f"Left out, because the model does not take them: {', '.join(besides[:8])}")
    chosen = rows[known]
    return load("sample", "categories")(chosen) if _has_categories(model) else chosen


def _known_names(model: Any) -> list[str] | None:
    found = getattr(model, "feature_names_in_", None)
    if found is None and callable(getattr(model, "feature_name", None)):
        found = model.feature_name()
        if all(str(name) == f"Column_{place}" for place, name in enumerate(found)):
            return None
    if found is None and type(model).__module__.startswith("xgboost"):
        found = getattr(model, "feature_names", None)  # an estimator that was fitted on an array has none
    if found is None and callable(getattr(model, "get_inputs", None)):
        given = model.get_inputs()
        found = [one.name for one in given] if len(given) > 1 else None
    return None if found is None else [str(name) for name in found]


def _has_categories(model: Any) -> bool:
    booster = getattr(model, "booster_", None) if hasattr(model, "fit") else model
    return bool(getattr(booster, "pandas_categorical", None))


def import_model(
    workspace: Workspace,
    original: Original,
    *,
    name: str,
    task: Task | None = None,
    trust_pickle: bool = False,
    accept: str = "",
    run: Run | None = None,
    onto: ModelVersion | None = None,
) -> ModelVersion:
    """Package a model from elsewhere, prove that it answers as before, and register it.

    Args:
        workspace: Where it goes.
        original: The model and its rows.
        name: The model's name here.
        task: "classification" or "regression", where the model does not say.
        trust_pickle: Keep it as a pickle, which the endpoint loads too.
        accept: Why rows that are answered differently are taken; "" refuses them.
        run: The run that made it, where its history is here; a run that tells of the import is made otherwise.
        onto: The version that has its files already.

    Raises:
        Denied: The actor may not register models.
        InvalidInput: The original does not answer, cannot be served, or its bundle answers a row differently.
    """
    check_allowed(workspace, "models.register", "models.write")
    rows, names = load("sample", "draw")(original.rows, ROWS)
    before, asked = _answers(original, rows)
    with _advising(original):
        model = _model_of(original, task, trust_pickle)
    sample = digest(msgspec.json.encode(load("sample", "columns")(original.rows)))
    known = Before(
        door=original.door,
        source=original.source,
        digest=original.digest,
        asked=asked,
        sample=sample,
        rows=rows,
        names=tuple(names),
        answers=tuple(before),
    )

    def compare(bundle: LoadedModel) -> ImportProof:
        return compared(workspace, known, bundle, accept=accept)

    moving = Moving(key=f"{original.door}:{original.digest}:{sample}", compare=compare, onto=onto, keep_run=run is None)
    with _advising(original):
        return package(workspace, model, run or _run_of(workspace, original, name), name=name, moving=moving)


@contextmanager
def _advising(original: Original) -> Iterator[None]:
    """Name the options of the command where an error names arguments of `sw.Model`, which nobody wrote."""
    try:
        yield
    except InvalidInput as problem:
        options = next(
            (said for word, said in _OPTIONS.items() if "sw.Model(" in problem.fix and word in problem.fix), ""
        )
        if not options:
            raise
        itself = "" if original.door in ("pickle", "onnx") else "Import its file by itself: slipway import pickle FILE "
        raise InvalidInput(problem.what, why=problem.why, fix=f"{itself}{options}") from problem


def _model_of(original: Original, task: Task | None, trust_pickle: bool) -> Model:
    rows, given = original.rows, original.model
    if original.door == "onnx" or (original.kept is not None and original.kept.kind == "onnx"):
        assert original.kept is not None
        return Model(original.kept.path.read_bytes(), sample=rows, task=task)
    nameless = hasattr(given, "n_features_in_") and _known_names(given) is None
    if nameless and all(kind.kind in "biuf" for kind in rows.dtypes):
        return Model(given, inputs=fix_inputs(rows), task=task, trust_pickle=trust_pickle)
    return Model(given, sample=rows, task=task, trust_pickle=trust_pickle)


def _run_of(workspace: Workspace, original: Original, name: str) -> Run:
    now = datetime.now(UTC)
    files = []
    for path, file in original.files.items():
        stored = workspace.blobs.put_file(file)
        files.append(
            Artifact(name=path, digest=stored, fingerprint=stored, format="bytes", size_bytes=file.stat().st_size)
        )
    return Run(
        id=new_run_id(),
        project=workspace.project,
        name=f"import {name}",
        created_at=workspace.clock.now(),
        actor=workspace.actor,
        started_at=now,
        ended_at=now,
        state="finished",
        tags={"slipway.imported": original.door, "slipway.imported.from": original.source},
        artifacts=tuple(files),
        environment=provenance.environment(),
    )


def _answers(original: Original, rows: Any) -> tuple[list[float], str]:
    """What the original answers, and where it was asked."""
    kept = original.kept
    if kept is None or not kept.python:
        try:
            return load("original", "ask")(original.model, rows), load("original", "describe")()
        except Exception as problem:  # whatever the model raises; it is said
            raise _silent(original, f"{type(problem).__name__}: {problem}") from problem
    asked = {
        "kind": kept.as_kind or kept.kind,
        "path": str((kept.as_path or kept.path).resolve()),
        "columns": load("sample", "columns")(rows),
        "folders": [str(folder.resolve()) for folder in kept.folders],
    }
    script = load("original", "file")()
    try:
        done = subprocess.run(
            [kept.python, str(script)], input=msgspec.json.encode(asked), capture_output=True, check=False
        )
    except OSError as problem:
        raise InvalidInput(
            f"{kept.python} is no Python that can be started: {problem.strerror}.",
            fix="Give the path of the environment's python: --python .venv/bin/python",
            field="python",
        ) from problem
    said = load("original", "said")(done.stdout.decode(errors="replace"))
    if said is None or "problem" in said:
        told = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] if said is None else said["problem"]
        raise _silent(original, f"under {kept.python}: {told}")
    return [float(value) for value in said["answers"]], f"{said['described']}, of {kept.python}"


def _silent(original: Original, told: str) -> InvalidInput:
    return InvalidInput(
        f"The original does not answer the sample's rows: {' '.join(told.split())[:300]}",
        why=f"What {original.source} answered before is what its bundle is compared with.",
        fix="Give rows as it was asked with (its columns, types and missing values), or --python of its own environment.",
        field="sample",
    )
