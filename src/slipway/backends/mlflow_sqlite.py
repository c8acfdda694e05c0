"""MLflow's store in SQLite, opened for reading only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.backends.mlflow_values import as_logged, files_in, instant, local_path, state_of
from slipway.errors import Corrupt, NotFound
from slipway.ports.foreign_runs import ForeignExperiment, ForeignLogged, ForeignModel, ForeignRun, ForeignVersion
from slipway.records.runs import Dataset, MetricPoint

__all__ = ["MlflowSqlite"]


class MlflowSqlite:
    """Reads `sqlite:///mlflow.db`.

    Args:
        address: "sqlite:///" and the path of the file.

    Raises:
        NotFound: There is no such file.
        Corrupt: It is no such database.
    """

    def __init__(self, address: str) -> None:
        path = Path(address.removeprefix("sqlite:///"))
        self.place = f"sqlite:///{path.resolve()}"
        if not path.is_file():
            raise NotFound(f"There is no file {path}.", fix="Name it as MLflow does: sqlite:///mlflow.db")
        self._file = sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True)
        self._file.row_factory = sqlite3.Row
        try:
            self._tables = {row["name"] for row in self._rows("SELECT name FROM sqlite_master")}
        except Corrupt:
            self.close()
            raise
        if "runs" not in self._tables or "experiments" not in self._tables:
            self.close()
            raise Corrupt(f"{path} is no store of MLflow: it has no tables of runs.", fix="Name the right file.")

    def _rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as problem:
            raise Corrupt(f"{self.place} cannot be read: {problem}.", fix="Copy the file again.") from problem

    def _pairs(self, table: str, of: str, id: object, key: str = "key", value: str = "value") -> dict[str, str]:
        if table not in self._tables:
            return {}
        rows = self._rows(f"SELECT {key}, {value} FROM {table} WHERE {of} = ?", id)
        return {row[0]: "" if row[1] is None else str(row[1]) for row in rows}

    def experiments(self) -> list[ForeignExperiment]:
        """See `ForeignRuns.experiments`."""
        rows = self._rows("SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active' ORDER BY 1")
        tags = {row[0]: self._pairs("experiment_tags", "experiment_id", row[0]) for row in rows}
        return [ForeignExperiment(id=str(row[0]), name=row[1], tags=tags[row[0]]) for row in rows]

    def run_ids(self, experiment: str) -> list[str]:
        """See `ForeignRuns.run_ids`."""
        asked = (
            "SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active' ORDER BY start_time, 1"
        )
        return [row[0] for row in self._rows(asked, int(experiment))]

    def run(self, experiment: str, id: str) -> ForeignRun:
        """See `ForeignRuns.run`."""
        (said,) = self._rows("SELECT * FROM runs WHERE run_uuid = ?", id)
        tags = self._pairs("tags", "run_uuid", id)
        points = self._rows("SELECT key, value, is_nan, step, timestamp FROM metrics WHERE run_uuid = ?", id)
        made = []
        if "inputs" in self._tables and "logged_models" in self._tables:
            asked = "SELECT destination_id, step FROM inputs WHERE source_id = ? AND destination_type = 'MODEL_OUTPUT'"
            made = [(row[0], int(row[1] or 0)) for row in self._rows(asked, id)]
        return ForeignRun(
            id=id,
            experiment_id=experiment,
            name=said["name"] or tags.get("mlflow.runName", ""),
            state=state_of(said["status"]),
            started_at=instant(said["start_time"]),
            ended_at=instant(said["end_time"]),
            user=said["user_id"] or "",
            params=self._pairs("params", "run_uuid", id),
            tags=tags,
            points=tuple(MetricPoint(row[0], _value(row), int(row[3]), int(row[4]) * 1000) for row in points),
            datasets=tuple(self._datasets(id)),
            made=tuple(made),
            files_at=said["artifact_uri"] or "",
        )

    def _datasets(self, id: str) -> Iterator[Dataset]:
        if "datasets" not in self._tables:
            return
        asked = "SELECT i.input_uuid, d.* FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id WHERE i.destination_id = ?"
        for row in self._rows(asked, id):
            yield Dataset(
                name=row["name"],
                digest=row["digest"],
                source_type=row["dataset_source_type"] or "",
                source=row["dataset_source"] or "",
                schema=row["dataset_schema"] or "",
                profile=row["dataset_profile"] or "",
                tags=self._pairs("input_tags", "input_uuid", row["input_uuid"], key="name"),
            )

    def logged(self, experiment: str) -> list[ForeignLogged]:
        """See `ForeignRuns.logged`."""
        if "logged_models" not in self._tables:
            return []
        asked = "SELECT * FROM logged_models WHERE experiment_id = ? AND lifecycle_stage = 'active' ORDER BY creation_timestamp_ms"
        return [
            ForeignLogged(
                id=row["model_id"],
                experiment_id=experiment,
                name=row["name"] or "",
                run_id=row["source_run_id"] or "",
                model_type=row["model_type"] or "",
                created_at=instant(row["creation_timestamp_ms"]),
                params=self._pairs("logged_model_params", "model_id", row["model_id"], "param_key", "param_value"),
                tags=self._pairs("logged_model_tags", "model_id", row["model_id"], "tag_key", "tag_value"),
                files_at=row["artifact_location"] or "",
            )
            for row in self._rows(asked, int(experiment))
        ]

    def models(self) -> list[ForeignModel]:
        """See `ForeignRuns.models`."""
        if "registered_models" not in self._tables:
            return []
        aliases: dict[str, dict[str, int]] = {}
        if "registered_model_aliases" in self._tables:
            for row in self._rows("SELECT name, alias, version FROM registered_model_aliases"):
                aliases.setdefault(row[0], {})[row[1]] = int(row[2])
        return [
            ForeignModel(
                name=row["name"],
                description=row["description"] or "",
                tags=self._pairs("registered_model_tags", "name", row["name"]),
                versions=tuple(self._versions(row["name"])),
                aliases=aliases.get(row["name"], {}),
            )
            for row in self._rows("SELECT name, description FROM registered_models ORDER BY name")
        ]

    def _versions(self, name: str) -> Iterator[ForeignVersion]:
        tags: dict[int, dict[str, str]] = {}
        if "model_version_tags" in self._tables:
            for tag in self._rows("SELECT version, key, value FROM model_version_tags WHERE name = ?", name):
                tags.setdefault(int(tag[0]), {})[tag[1]] = tag[2] or ""
        asked = "SELECT * FROM model_versions WHERE name = ? AND current_stage != 'Deleted_Internal' ORDER BY version"
        for row in self._rows(asked, name):
            yield ForeignVersion(
                number=int(row["version"]),
                source=row["source"] or "",
                run_id=row["run_id"] or "",
                description=row["description"] or "",
                stage=row["current_stage"] or "None",
                run_link=row["run_link"] or "",
                tags=tags.get(int(row["version"]), {}),
            )

    def files(self, owner: ForeignRun | ForeignLogged, into: Path) -> Iterator[tuple[str, Path]]:
        """See `ForeignRuns.files`."""
        folder = local_path(owner.files_at)
        if folder is None:
            raise NotFound(
                f"The files of {owner.id} are at {owner.files_at[:120]}.",
                why="Only files on this machine are read beside a database.",
                fix="Import from a tracking server that serves them: mlflow server --serve-artifacts",
            )
        yield from files_in(folder)

    def close(self) -> None:
        """See `ForeignRuns.close`."""
        self._file.close()


def _value(row: Any) -> float:
    return float("nan") if row[2] else as_logged(row[1])
