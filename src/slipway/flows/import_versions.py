"""The registry of another tracking store: names, numbers, aliases and stages stay, and what can be proven becomes a bundle."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from slipway.errors import Conflict, Corrupt, InvalidInput, MissingExtra, NotFound, near
from slipway.flows.import_model import Kept, Original, import_model, open_original, take_columns
from slipway.flows.import_runs import FROM, Moved
from slipway.hashing import digest_file
from slipway.ids import fitting_name
from slipway.ledger import entries
from slipway.models import numbered, registered, registered_versions
from slipway.operations.declare import check_allowed
from slipway.plugins import load
from slipway.ports.foreign_runs import ForeignModel, ForeignRuns, ForeignVersion
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion, RegisteredModel
from slipway.records.runs import Artifact, Run
from slipway.runs import outside

__all__ = ["Asked", "check_samples", "import_versions"]

_OF_RUN = re.compile(r"(?:^runs:/+([0-9a-f]{32})|/([0-9a-f]{32})/artifacts)(?:/(.*))?$")
_OF_LOGGED = re.compile(r"(m-[0-9a-f]{32})(?:/artifacts)?(?:/(.*))?$")
_PROMPT = "mlflow.prompt.is_prompt"
_CALLED = "slipway.imported.name"  # the tag of a model that has another name there
_PICKLES = ("cloudpickle", "pickle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How versions are proven.

    Args:
        samples: Rows by the model's name, there or here, "" for all others; pandas frames.
        target: A column of the samples that is the truth.
        trust: Whether pickles are loaded.
        python: The Python of an environment with MLflow and the models' libraries; "" for this process.
        accept: Why rows that are answered differently are taken.
    """

    samples: Mapping[str, Any]
    target: str = ""
    trust: bool = False
    python: str = ""
    accept: str = ""


def check_samples(source: ForeignRuns, samples: Mapping[str, Any]) -> None:
    """Refuse rows for a model that the other store does not have.

    Raises:
        InvalidInput: There are some.
    """
    known = {name for one in source.models() for name in (one.name, fitting_name(one.name))}
    for name in samples:
        if name and name not in known:
            raise InvalidInput(
                f"There is no model {name!r} there, which a sample is given for.",
                fix=near(name, sorted(known), what="models"),
                field="sample",
            )


def import_versions(workspace: Workspace, source: ForeignRuns, asked: Asked, moved: Moved) -> None:
    """Take in registered models, after the runs and logged models that their versions come from.

    A version whose files cannot be packaged, or whose bundle answers a row differently, stays a version with files only,
    which cannot be deployed; why is said. It is tried again the next time.

    Args:
        workspace: Where it goes.
        source: The other store.
        asked: How versions are proven.
        moved: Counts what comes.

    Raises:
        Denied: The actor may not register models.
    """
    check_allowed(workspace, "models.register", "models.write")
    models = source.models()
    check_samples(source, asked.samples)
    asked = replace(asked, samples={fitting_name(name) if name else "": rows for name, rows in asked.samples.items()})
    taken = _taken(workspace, models)
    for given in models:
        if _PROMPT in given.tags:
            moved.left.append((f"prompt {given.name!r}", "prompts are not models"))
            continue
        try:
            model = _named(given, taken)
            _keep_model(workspace, model)
        except (InvalidInput, Conflict) as problem:
            moved.left.append((f"model {given.name!r}", f"{problem.what} {problem.fix}".strip()))
            continue
        if model.name != given.name:
            moved.renamed.append((given.name, model.name))
        versions = [_keep_version(workspace, source, model, version, moved) for version in model.versions]
        _keep_aliases(workspace, model, moved)
        for kept in versions:
            if kept is not None and not kept.bundle:
                _prove(workspace, kept, asked, moved)
            elif kept is not None:
                moved.there["proven versions"] = moved.there.get("proven versions", 0) + 1


def _taken(workspace: Workspace, models: Sequence[ForeignModel]) -> dict[str, str]:
    """Which model has a name here: those that came before, then those that have the same name there."""
    with workspace.ledger.read() as tx:
        here = entries.every(tx, RegisteredModel, project=workspace.project, state="")
    taken = {one.name: one.tags[_CALLED] for one in here if _CALLED in one.tags}
    for one in models:
        if fitting_name(one.name) == one.name:
            taken.setdefault(one.name, one.name)
    return taken


def _named(model: ForeignModel, taken: dict[str, str]) -> ForeignModel:
    """The model under a name that it can have here."""
    name = fitting_name(model.name)
    if taken.setdefault(name, model.name) != model.name:
        raise Conflict(
            f"It would be called {name!r} here, as {taken[name]!r} is.", fix="Rename it there, and import again."
        )
    return model if name == model.name else replace(model, name=name, tags={**model.tags, _CALLED: model.name})


def _keep_model(workspace: Workspace, model: ForeignModel) -> None:
    with workspace.ledger.write() as tx:
        try:
            found = registered.get(tx, workspace, model.name)
        except NotFound:
            registered.create(tx, workspace, model.name, description=model.description, tags=model.tags)
            return
        if found.tags.get(_CALLED) != model.tags.get(_CALLED):
            raise Conflict(f"{model.name!r} is another model here.", fix="Rename it there, and import again.")


def _keep_version(
    workspace: Workspace, source: ForeignRuns, model: ForeignModel, given: ForeignVersion, moved: Moved
) -> ModelVersion | None:
    """The version of a number here: made now, or known from an earlier import; None where it is another one."""
    called, mark = f"{model.name} {given.number}", f"{source.place}#{given.source}"
    with workspace.ledger.write() as tx:
        found = entries.find(tx, ModelVersion, project=workspace.project, name=model.name, number=given.number, limit=1)
        if found:
            is_same = found[0].tags.get(FROM) == mark and not found[0].state
            moved.count("versions", 1, int(is_same))
            if is_same:
                moved.there["versions"] = moved.there.get("versions", 0) + 1
                return found[0]
            why = (
                "it was deleted here"
                if found[0].tags.get(FROM) == mark
                else "the version of this number is another one here"
            )
            moved.left.append((f"version {called}", why))
            return None
        run_id = given.run_id if given.run_id and tx.get("run", given.run_id) is not None else ""
        logged = _logged_of(tx, given)
        try:
            made = registered_versions.add_version(
                tx,
                workspace,
                model.name,
                source=given.source,
                location=_location(tx, workspace, given, logged),
                run_id=run_id,
                logged_model_id=logged.id if logged else "",
                description=given.description,
                run_link=given.run_link,
                tags={**given.tags, FROM: mark},
                number=given.number,
                stage=given.stage if given.stage in registered_versions.STAGES else "None",
            )
        except InvalidInput as problem:
            moved.left.append((f"version {called}", problem.what))
            moved.count("versions", 1, 0)
            return None
    moved.add("versions")
    moved.count("versions", 1, 1)
    return made


def _logged_of(tx: ReadTransaction, given: ForeignVersion) -> LoggedModel | None:
    match = _OF_LOGGED.search(given.source)
    id = given.logged_id or (match[1] if match else "")
    return entries.get(tx, LoggedModel, id) if id and tx.get("logged_model", id) is not None else None


def _location(tx: ReadTransaction, workspace: Workspace, given: ForeignVersion, logged: LoggedModel | None) -> str:
    """Where its files are among the stored artifacts, "" where they are not here."""
    if logged is not None:
        return f"{logged.experiment_id}/models/{logged.id}/artifacts"
    match = _OF_RUN.search(given.source)
    id = (match[1] or match[2]) if match else ""
    if not match or tx.get("run", id) is None:
        return ""
    run = outside.get(tx, workspace, id)
    return "/".join(part for part in (run.experiment_id, id, "artifacts", (match[3] or "").strip("/")) if part)


def _keep_aliases(workspace: Workspace, model: ForeignModel, moved: Moved) -> None:
    with workspace.ledger.write() as tx:
        standing = numbered.aliases_in(tx, workspace, model.name)
        for alias, number in model.aliases.items():
            if standing.get(alias) == number:
                continue
            if alias in standing:
                moved.left.append((f"alias {alias} of {model.name}", f"it points at version {standing[alias]} here"))
                continue
            try:
                registered_versions.set_alias(tx, workspace, model.name, alias, str(number))
                moved.add("aliases")
            except (InvalidInput, NotFound) as problem:
                moved.left.append((f"alias {alias} of {model.name}", problem.what))


def _prove(workspace: Workspace, version: ModelVersion, asked: Asked, moved: Moved) -> None:
    """Make a version's files a bundle; why that cannot be is written down."""
    called = f"{version.name} {version.number}"
    with workspace.ledger.read() as tx:
        run = outside.get(tx, workspace, version.run_id) if version.run_id else None
        files = _files_of(tx, workspace, version)
    try:
        with tempfile.TemporaryDirectory(prefix="slipway-import-") as temporary:
            folder = Path(temporary)
            _fetch(workspace, files, folder)
            moved.proven.append(_packaged(workspace, version, run, folder, asked))
    except (InvalidInput, Corrupt, MissingExtra, NotFound) as problem:
        moved.unproven.append((called, " ".join(str(part) for part in (problem.what, problem.fix) if part)))


def _files_of(tx: ReadTransaction, workspace: Workspace, version: ModelVersion) -> list[tuple[str, Artifact]]:
    """The files of a version, by their path in the model's folder."""
    if version.logged_model_id:
        found, below = entries.get(tx, LoggedModel, version.logged_model_id).artifacts, ""
    elif version.location:
        _, id, _, *rest = version.location.split("/")
        found, below = outside.get(tx, workspace, id).artifacts, "".join(f"{part}/" for part in rest)
    else:
        return []
    return [(one.name.removeprefix(below), one) for one in found if one.name.startswith(below)]


def _fetch(workspace: Workspace, files: list[tuple[str, Artifact]], folder: Path) -> None:
    for path, stored in files:
        target = folder / PurePosixPath(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        workspace.blobs.fetch(stored.digest, target)


def _packaged(workspace: Workspace, version: ModelVersion, run: Run | None, folder: Path, asked: Asked) -> ModelVersion:
    kept = _kept(folder, asked)
    rows = asked.samples.get(version.name, asked.samples.get(""))
    if rows is None:
        rows = _example(folder)
    if rows is None:
        raise InvalidInput(
            "There are no rows to ask it: it was logged without an input example.",
            fix=f"Give some: --sample {version.name}=rows.csv",
        )
    model = open_original(kept)
    original = Original(
        door="mlflow",
        source=version.tags[FROM],
        digest=digest_file(kept.path),
        model=model,
        rows=take_columns(model, rows, target=asked.target if asked.target in rows.columns else ""),
        kept=kept,
    )
    return import_model(workspace, original, name=version.name, accept=asked.accept, run=run, onto=version)


def _kept(folder: Path, asked: Asked) -> Kept:
    """The file in a model's folder that holds the estimator, and what opens it."""
    flavors = _flavors(folder)
    for flavor in ("sklearn", "lightgbm", "xgboost", "onnx"):
        if flavor in flavors:
            break
    else:
        other = sorted(flavors.keys() - {"python_function"})
        loader = (flavors.get("python_function") or {}).get("loader_module", "")
        raise InvalidInput(
            f"Its flavor {', '.join(other) or f'python_function ({loader})'} has no form that Slipway serves.",
            fix="Import the estimator in it by itself (slipway import pickle), or train it here.",
        )
    said = flavors[flavor] or {}
    name = str(said.get("pickled_model") or said.get("data") or "")
    path = folder / name
    if not name or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise Corrupt(
            f"Its MLmodel names the file {name!r}, which is not among its files.", fix="Copy the store again."
        )
    kind: str = "pickle" if path.suffix in (".pkl", ".pickle", ".joblib") else flavor
    if said.get("serialization_format") == "skops":
        kind = "skops"
    if (kind in ("pickle", "skops") or said.get("serialization_format") in _PICKLES) and not asked.trust:
        means = "in skops' form, and any type that it names" if kind == "skops" else "a pickle, and any code in it"
        raise InvalidInput(
            f"{name} is {means} is run when it is loaded.",
            fix="If you know who made it, say so: --trust",
        )
    return Kept(kind=kind, path=path, python=asked.python, as_kind=f"mlflow.{flavor}", as_path=folder)


def _flavors(folder: Path) -> dict[str, Any]:
    path = folder / "MLmodel"
    if not path.is_file():
        raise NotFound("Its files are not here, or hold no MLmodel.", fix="See what was left out above.")
    found = load("foreign_runs", "yaml")(path.read_text("utf-8")).get("flavors")
    return found if isinstance(found, dict) else {}


def _example(folder: Path) -> Any:
    path = folder / "input_example.json"
    if not path.is_file():
        return None
    try:
        said = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError:
        return None
    return load("sample", "split")(said) if isinstance(said, dict) else None
