"""MLflow's store of files, a folder `mlruns`, read as it lies, wherever it was copied to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.backends.mlflow_values import files_in, instant, local_path, read_yaml, state_of
from slipway.errors import Corrupt, NotFound
from slipway.ports.foreign_runs import ForeignExperiment, ForeignLogged, ForeignModel, ForeignRun, ForeignVersion
from slipway.records.runs import Dataset, MetricPoint

__all__ = ["MlflowFiles"]

_META = "meta.yaml"


class MlflowFiles:
    """Reads a folder `mlruns`.

    Args:
        address: The folder, or `file:` and its path.

    Raises:
        NotFound: There is no such folder, or no experiment in it.
    """

    def __init__(self, address: str) -> None:
        self._root = local_path(address) or Path(address)
        self.place = str(self._root.resolve())
        if not any(self._root.glob(f"*/{_META}")):
            raise NotFound(
                f"{self._root} holds no runs of MLflow.",
                why="Each experiment there is a folder with a meta.yaml.",
                fix="Name the folder mlruns itself, sqlite:///mlflow.db, or the address of the tracking server.",
            )

    def experiments(self) -> list[ForeignExperiment]:
        """See `ForeignRuns.experiments`."""
        found = []
        for path in sorted(self._root.glob(f"*/{_META}")):
            said = _meta(path)
            if said.get("lifecycle_stage") == "active" and said.get("name") is not None:
                found.append(
                    ForeignExperiment(id=path.parent.name, name=said["name"], tags=_texts(path.parent / "tags"))
                )
        return found

    def run_ids(self, experiment: str) -> list[str]:
        """See `ForeignRuns.run_ids`."""
        found = []
        for path in (self._root / experiment).glob(f"*/{_META}"):
            said = _meta(path)
            if {"run_id", "run_uuid"} & said.keys() and said.get("lifecycle_stage", "active") == "active":
                found.append((int(said.get("start_time") or 0), path.parent.name))
        return [id for _, id in sorted(found)]

    def run(self, experiment: str, id: str) -> ForeignRun:
        """See `ForeignRuns.run`."""
        folder = self._root / experiment / id
        said, tags = _meta(folder / _META), _texts(folder / "tags")
        made = [_meta(path) for path in sorted(folder.glob(f"outputs/*/{_META}"))]
        return ForeignRun(
            id=id,
            experiment_id=experiment,
            name=said.get("run_name") or tags.get("mlflow.runName", ""),
            state=state_of(said.get("status")),
            started_at=instant(said.get("start_time")),
            ended_at=instant(said.get("end_time")),
            user=said.get("user_id") or "",
            params=_texts(folder / "params"),
            tags=tags,
            points=tuple(_points(folder / "metrics")),
            datasets=tuple(self._datasets(experiment, folder)),
            made=tuple((one["destination_id"], int(one.get("step") or 0)) for one in made if one.get("destination_id")),
            files_at=said.get("artifact_uri") or "",
        )

    def _datasets(self, experiment: str, folder: Path) -> Iterator[Dataset]:
        for path in sorted(folder.glob(f"inputs/*/{_META}")):
            used = _meta(path)
            described = self._root / experiment / "datasets" / str(used.get("source_id")) / _META
            if used.get("source_type") == "DATASET" and described.is_file():
                said = _meta(described)
                yield Dataset(
                    name=said.get("name") or "",
                    digest=said.get("digest") or "",
                    source_type=said.get("source_type") or "",
                    source=said.get("source") or "",
                    schema=said.get("schema") or "",
                    profile=said.get("profile") or "",
                    tags={key: str(value) for key, value in (used.get("tags") or {}).items()},
                )

    def logged(self, experiment: str) -> list[ForeignLogged]:
        """See `ForeignRuns.logged`."""
        found = []
        for path in sorted((self._root / experiment / "models").glob(f"*/{_META}")):
            said = _meta(path)
            if said.get("lifecycle_stage", "active") == "active" and said.get("model_id"):
                found.append(
                    ForeignLogged(
                        id=said["model_id"],
                        experiment_id=experiment,
                        name=said.get("name") or "",
                        run_id=said.get("source_run_id") or "",
                        model_type=said.get("model_type") or "",
                        created_at=instant(said.get("creation_timestamp")),
                        params=_texts(path.parent / "params"),
                        tags=_texts(path.parent / "tags"),
                        files_at=said.get("artifact_location") or "",
                    )
                )
        return found

    def models(self) -> list[ForeignModel]:
        """See `ForeignRuns.models`."""
        found = []
        for path in sorted((self._root / "models").glob(f"*/{_META}")):
            said = _meta(path)
            versions = [_version(one) for one in path.parent.glob(f"version-*/{_META}")]
            aliases = {name: int(number) for name, number in _texts(path.parent / "aliases").items()}
            found.append(
                ForeignModel(
                    name=said.get("name") or path.parent.name,
                    description=said.get("description") or "",
                    tags=_texts(path.parent / "tags"),
                    versions=tuple(sorted((one for one in versions if one is not None), key=lambda one: one.number)),
                    aliases=aliases,
                )
            )
        return found

    def files(self, owner: ForeignRun | ForeignLogged, into: Path) -> Iterator[tuple[str, Path]]:
        """See `ForeignRuns.files`."""
        middle = Path("models") / owner.id if isinstance(owner, ForeignLogged) else Path(owner.id)
        beside = self._root / owner.experiment_id / middle / "artifacts"
        folder = beside if beside.is_dir() else local_path(owner.files_at)
        if folder is None:
            raise NotFound(
                f"The files of {owner.id} are at {owner.files_at[:120]}.",
                why="Only files on this machine are read out of a folder mlruns.",
                fix="Import from a tracking server that serves them: mlflow server --serve-artifacts",
            )
        yield from files_in(folder)

    def close(self) -> None:
        """See `ForeignRuns.close`: nothing stays open."""


def _meta(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise Corrupt(f"{path} cannot be read: {problem}.", fix="Copy the store again.") from problem


def _texts(folder: Path) -> dict[str, str]:
    return {name: path.read_text("utf-8") for name, path in files_in(folder)} if folder.is_dir() else {}


def _points(folder: Path) -> Iterator[MetricPoint]:
    for key, path in files_in(folder) if folder.is_dir() else ():
        for line in path.read_text("utf-8").splitlines():
            parts = line.split()
            try:
                step = int(parts[2]) if len(parts) > 2 else 0
                yield MetricPoint(key, float(parts[1]), step, int(parts[0]) * 1000)
            except (ValueError, IndexError) as problem:
                raise Corrupt(f"{path} holds no point in {line[:60]!r}.", fix="Copy the store again.") from problem


def _version(path: Path) -> ForeignVersion | None:
    said = _meta(path)
    if said.get("current_stage") == "Deleted_Internal":
        return None
    return ForeignVersion(
        number=int(said["version"]),
        source=said.get("source") or "",
        run_id=said.get("run_id") or "",
        logged_id=said.get("model_id") or "",
        description=said.get("description") or "",
        stage=said.get("current_stage") or "None",
        run_link=said.get("run_link") or "",
        tags=_texts(path.parent / "tags"),
    )
