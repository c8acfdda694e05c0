"""What it takes to run a pipeline's run again: which run is meant, and the versions of all that it read."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.errors import InvalidInput, NotFound
from slipway.ledger import entries
from slipway.ledger.run_tags import SEARCH, TRIAL
from slipway.models import registry
from slipway.pipelines import beside
from slipway.pipelines.reasons import steps_of
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.filesets import FileSetVersion
from slipway.records.models import ModelVersion
from slipway.records.runs import Run
from slipway.records.tables import TableVersion
from slipway.runs import search
from slipway.tables import filesets, versions

__all__ = [
    "beside_of",
    "check_pipelines",
    "check_snapshot",
    "erased_since",
    "pins_of",
    "run_meant",
    "searches_of",
    "trials_of",
]


def run_meant(workspace: Workspace, target: str) -> tuple[Run, str]:
    """The run that is meant, and the bundle that its model was packaged as ("" for none).

    Args:
        workspace: Whose runs and models.
        target: A run's id or the beginning of it, or MODEL or MODEL:VERSION.

    Raises:
        NotFound: There is no such run or version in the project.
        InvalidInput: The version was registered without a run.
    """
    name, _, number = target.partition(":")
    if name not in registry.names(workspace):
        run = search.get_run(workspace, target)
        if run.project != workspace.project:
            raise NotFound(f"There is no run {target!r} in {workspace.project!r}.", fix="See `slipway runs list`.")
        return run, _bundle_of(workspace, run)
    version = registry.get(workspace, name, number or registry.LATEST)
    if not version.run_id:
        raise InvalidInput(
            f"{version.name} {version.number} was registered without a run.",
            why="What is run again is the run that made it.",
            fix="Train it in a pipeline: slipway run PIPELINE",
            field="target",
        )
    return search.get_run(workspace, version.run_id), version.bundle


def _bundle_of(workspace: Workspace, run: Run) -> str:
    with workspace.ledger.read() as tx:
        made = [link.target for link in tx.links(f"run:{run.id}", towards=False) if link.target.startswith("model:")]
        return entries.get(tx, ModelVersion, made[0].partition(":")[2]).bundle if made else ""


def check_pipelines(run: Run) -> None:
    """Refuse a run that is no pipeline's.

    Raises:
        InvalidInput: It is a script's or a notebook's.
    """
    if not run.pipeline:
        raise InvalidInput(
            f"The run {run.id} is no pipeline's.",
            why="Only a pipeline can be run again without its author: what a script did around it is not kept.",
            fix="Write the training as steps under @sw.pipeline and run it: slipway run PIPELINE",
            field="target",
        )


def check_snapshot(run: Run) -> None:
    """Refuse a run whose code was not kept.

    Raises:
        InvalidInput: It has no project snapshot.
    """
    if not run.code.snapshot:
        raise InvalidInput(
            f"The run {run.id} of {run.pipeline!r} has no project snapshot.",
            why="It was started from Python, and its code was not kept.",
            fix=f"Start it with `slipway run {run.pipeline}`, which keeps one, and go on from that run.",
            field="target",
        )


def beside_of(workspace: Workspace, run: Run) -> tuple[dict[str, str], str]:
    """The files beside the code that a run read, its trials too, as they were then; and the folder in which it was.

    Returns:
        The digest of each file by its path relative to the project's folder; the folder relative to that, or "".

    Raises:
        NotFound: One of them is gone.
    """
    with workspace.ledger.read() as tx:
        steps = steps_of(tx, run.id)
        for found in searches_of(tx, run):
            steps += [step for trial in trials_of(tx, found) for step in steps_of(tx, trial.id)]
    files = beside.files_of(run, steps)
    for name, content in files.items():
        if not workspace.blobs.has(content):
            raise NotFound(
                f"The file {name}, which the run {run.id[:12]} read beside its code, is not stored any more.",
                why="It was erased or purged, and no other bytes are those that it read.",
                fix=f"Run its pipeline anew: slipway run {run.pipeline}",
            )
    return files, beside.cwd_of(run, steps)


def searches_of(tx: ReadTransaction, run: Run) -> list[Run]:
    """The searches that a run made, in their order."""
    found = entries.every(tx, Run, parent=run.id)
    return sorted((one for one in found if SEARCH in one.tags), key=lambda one: (one.started_at, one.id))


def trials_of(tx: ReadTransaction, search: Run) -> list[Run]:
    """The trials of a search, in their order."""
    found = (one for one in entries.every(tx, Run, parent=search.id) if TRIAL in one.tags)
    return sorted(found, key=lambda one: int(one.tags[TRIAL]))


def pins_of(workspace: Workspace, run: Run) -> dict[str, str]:
    """The versions of tables and file sets that a run read; tables are verified to the last byte.

    Raises:
        NotFound: One of them is gone, rows of it were erased, or it cannot be told which one was meant.
        Corrupt: One is damaged.
    """
    if told := erased_since(workspace, run):
        raise NotFound(
            told,
            why="What a person asked to be removed is kept nowhere, so the run cannot be made again from what it read.",
            fix=f"Run its pipeline anew: slipway run {run.pipeline}",
        )
    pins: dict[str, str] = {}
    for kind, project, name, version in _read_by(run):
        pin = f"{project}/{name}" if kind == "table" else f"files:{project}/{name}"
        if pin in pins:
            what = "table" if kind == "table" else "file set"
            raise NotFound(
                f"The run read two versions of the {what} '{project}/{name}', and which one as the current one is not "
                "recorded.",
                fix="Let the pipeline name the older version as a parameter.",
            )
        if kind == "table":
            versions.verify(workspace, name, version, project=project)
        else:
            filesets.resolve(workspace, name, version, project=project)
        pins[pin] = version
    return pins


def erased_since(workspace: Workspace, run: Run) -> str:
    """What was erased since from the versions that a run read, in words; "" where nothing was."""
    for kind, project, name, version in _read_by(run):
        try:
            found: TableVersion | FileSetVersion = (
                versions.get(workspace, name, version, project=project)
                if kind == "table"
                else filesets.resolve(workspace, name, version, project=project)
            )
        except NotFound:  # it is gone as a whole, which whoever reads it will say
            continue
        if since := [one for one in found.erased if one.at >= run.started_at]:
            rows = sum(one.rows for one in since)
            told = "; ".join(f"{one.rows:,} on {one.at:%Y-%m-%d} by {one.by}: {one.reason}" for one in since)
            what = "rows of the table" if kind == "table" else "files of the file set"
            return f"Of the {what} {name!r}, version {found.number}, which the run read, {rows:,} were erased ({told})."
    return ""


def _read_by(run: Run) -> Iterator[tuple[str, str, str, str]]:
    """Kind, project, name and version of each table and file set that a run read."""
    for node in run.inputs:
        kind, _, rest = node.partition(":")
        if kind in ("table", "files"):
            place, _, version = rest.rpartition("@")
            project, _, name = place.partition("/")
            yield kind, project, name, version
