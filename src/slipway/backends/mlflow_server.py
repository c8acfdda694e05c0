"""MLflow's tracking server, asked by its REST API: releases 2 and 3, and whatever else speaks it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from slipway.backends.mlflow_values import as_logged, instant, state_of
from slipway.errors import BackendError, Denied, NotFound, Unavailable
from slipway.ports.foreign_runs import ForeignExperiment, ForeignLogged, ForeignModel, ForeignRun, ForeignVersion
from slipway.ports.trust import trusted, untrusted
from slipway.records.runs import Dataset, MetricPoint

__all__ = ["MlflowServer"]

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_PAGE = 1000
_POINTS = 25_000
_AGAIN = "What came is whole; say the same command again, and it goes on from there."


class MlflowServer:
    """Reads a tracking server. Who asks is said by MLflow's own variables: MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD.

    Args:
        address: Where it answers: "http://127.0.0.1:5000".
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.place = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}".rstrip(
            "/"
        )
        token, user = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME")
        name, word = parts.username or user, parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        self._http = httpx.Client(
            base_url=self.place,
            headers={"authorization": f"Bearer {token}"} if token else {},
            auth=(name, word) if name and not token else None,
            timeout=60,
            trust_env=False,
            verify=trusted(self.place),
        )
        self._runs: dict[str, dict[str, Any]] = {}

    def _ask(self, method: str, path: str, /, *, json: Any = None, **query: Any) -> dict[str, Any]:
        answer = self._send(method, path, json=json, params=query or None)
        try:
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            raise self._strange(path, answer) from problem

    def _send(self, method: str, path: str, /, **more: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.TransportError as problem:
            nobody = Unavailable(f"{self.place} does not answer: {problem or type(problem).__name__}.", fix=_AGAIN)
            raise untrusted(self.place, problem) or nobody from problem
        if answer.status_code in (401, 403):
            raise Denied(
                f"{self.place} answered {answer.status_code}: it wants to know who asks.",
                fix="Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
            )
        if answer.status_code == 404:
            raise NotFound(f"{self.place} has nothing at {path}.", fix="Name the address that MLflow's clients use.")
        if answer.status_code in (429, 502, 503, 504):
            raise Unavailable(f"{self.place} answered {answer.status_code}.", fix=_AGAIN)
        if not answer.is_success:
            raise self._strange(path, answer)
        return answer

    def _strange(self, path: str, answer: httpx.Response) -> BackendError:
        return BackendError(
            f"{self.place}{path} answered {answer.status_code} {answer.text[:120]!r}.",
            why="That is no answer of a tracking server of MLflow.",
            fix="Check the address.",
        )

    def _pages(self, path: str, key: str, /, *, post: bool = True, **asked: Any) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            more = {**asked, **({"page_token": token} if token else {})}
            said = self._ask("POST", path, json=more) if post else self._ask("GET", path, **more)
            yield from said.get(key) or ()
            token = said.get("next_page_token") or ""
            if not token:
                return

    def experiments(self) -> list[ForeignExperiment]:
        """See `ForeignRuns.experiments`."""
        found = self._pages(f"{_API}/experiments/search", "experiments", max_results=_PAGE, view_type="ACTIVE_ONLY")
        return [
            ForeignExperiment(id=one["experiment_id"], name=one["name"], tags=_pairs(one.get("tags"))) for one in found
        ]

    def run_ids(self, experiment: str) -> list[str]:
        """See `ForeignRuns.run_ids`."""
        found = self._pages(
            f"{_API}/runs/search",
            "runs",
            experiment_ids=[experiment],
            max_results=_PAGE,
            run_view_type="ACTIVE_ONLY",
            order_by=["attributes.start_time ASC"],
        )
        self._runs = {one["info"]["run_id"]: one for one in found}
        return list(self._runs)

    def run(self, experiment: str, id: str) -> ForeignRun:
        """See `ForeignRuns.run`."""
        said = self._runs.get(id) or self._ask("GET", f"{_API}/runs/get", run_id=id)["run"]
        info, data = said["info"], said.get("data") or {}
        tags = _pairs(data.get("tags"))
        outputs = (said.get("outputs") or {}).get("model_outputs") or ()
        return ForeignRun(
            id=id,
            experiment_id=experiment,
            name=info.get("run_name") or tags.get("mlflow.runName", ""),
            state=state_of(info.get("status")),
            started_at=instant(info.get("start_time")),
            ended_at=instant(info.get("end_time")),
            user=info.get("user_id") or "",
            params=_pairs(data.get("params")),
            tags=tags,
            points=tuple(point for one in data.get("metrics") or () for point in self._points(id, one["key"])),
            datasets=tuple(_dataset(one) for one in (said.get("inputs") or {}).get("dataset_inputs") or ()),
            made=tuple((one["model_id"], int(one.get("step") or 0)) for one in outputs),
            files_at=info.get("artifact_uri") or "",
        )

    def _points(self, id: str, key: str) -> Iterator[MetricPoint]:
        asked = {"run_id": id, "metric_key": key, "max_results": _POINTS}
        for one in self._pages(f"{_API}/metrics/get-history", "metrics", post=False, **asked):
            yield MetricPoint(
                key, as_logged(one["value"]), int(one.get("step") or 0), int(one.get("timestamp") or 0) * 1000
            )

    def logged(self, experiment: str) -> list[ForeignLogged]:
        """See `ForeignRuns.logged`."""
        try:
            found = list(self._pages(f"{_API}/logged-models/search", "models", experiment_ids=[experiment]))
        except NotFound:  # MLflow 2 has none
            return []
        return [_logged(one["info"], one.get("data") or {}, experiment) for one in found]

    def models(self) -> list[ForeignModel]:
        """See `ForeignRuns.models`."""
        found = self._pages(f"{_API}/registered-models/search", "registered_models", post=False, max_results=100)
        return [
            ForeignModel(
                name=one["name"],
                description=one.get("description") or "",
                tags=_pairs(one.get("tags")),
                versions=tuple(self._versions(one["name"])),
                aliases={said["alias"]: int(said["version"]) for said in one.get("aliases") or ()},
            )
            for one in found
        ]

    def _versions(self, name: str) -> list[ForeignVersion]:
        quoted = name.replace("'", "\\'")
        asked = {"filter": f"name='{quoted}'", "max_results": _PAGE}
        found = self._pages(f"{_API}/model-versions/search", "model_versions", post=False, **asked)
        return sorted(map(_version, found), key=lambda one: one.number)

    def files(self, owner: ForeignRun | ForeignLogged, into: Path) -> Iterator[tuple[str, Path]]:
        """See `ForeignRuns.files`."""
        for number, (path, address, query) in enumerate(self._listed(owner)):
            target = into / f"{number}.part"
            with target.open("wb") as file:
                file.write(self._send("GET", address, params=query).content)
            yield path, target
            target.unlink(missing_ok=True)

    def _listed(self, owner: ForeignRun | ForeignLogged) -> Iterator[tuple[str, str, dict[str, str] | None]]:
        """The files of an owner: the path in it, and how each is asked for."""
        if owner.files_at.startswith("mlflow-artifacts:"):
            root = urlsplit(owner.files_at).path.strip("/")
            for path in self._walk(lambda at: (_PROXY, {"path": f"{root}/{at}".rstrip("/")}), below=True):
                yield path, f"{_PROXY}/{quote(f'{root}/{path}')}", None
        elif isinstance(owner, ForeignRun):
            for path in self._walk(lambda at: (f"{_API}/artifacts/list", {"run_id": owner.id, "path": at})):
                yield path, "/get-artifact", {"run_uuid": owner.id, "path": path}
        else:
            base = f"/ajax-api/2.0/mlflow/logged-models/{owner.id}/artifacts"
            for path in self._walk(lambda at: (f"{base}/directories", {"artifact_directory_path": at})):
                yield path, f"{base}/files", {"artifact_file_path": path}

    def _walk(self, asked: Any, at: str = "", *, below: bool = False) -> Iterator[str]:
        where, query = asked(at)
        for one in self._ask("GET", where, **{key: value for key, value in query.items() if value}).get("files") or ():
            path = f"{at}/{one['path']}".lstrip("/") if below else one["path"]
            if one.get("is_dir"):
                yield from self._walk(asked, path, below=below)
            else:
                yield path

    def close(self) -> None:
        """See `ForeignRuns.close`."""
        self._http.close()


def _pairs(said: Any) -> dict[str, str]:
    return {one["key"]: str(one.get("value", "")) for one in said or ()}


def _dataset(said: dict[str, Any]) -> Dataset:
    one = said["dataset"]
    return Dataset(
        name=one.get("name") or "",
        digest=one.get("digest") or "",
        source_type=one.get("source_type") or "",
        source=one.get("source") or "",
        schema=one.get("schema") or "",
        profile=one.get("profile") or "",
        tags=_pairs(said.get("tags")),
    )


def _logged(info: dict[str, Any], data: dict[str, Any], experiment: str) -> ForeignLogged:
    return ForeignLogged(
        id=info["model_id"],
        experiment_id=experiment,
        name=info.get("name") or "",
        run_id=info.get("source_run_id") or "",
        model_type=info.get("model_type") or "",
        created_at=instant(info.get("creation_timestamp_ms")),
        params=_pairs(data.get("params")),
        tags=_pairs(info.get("tags")),
        files_at=info.get("artifact_uri") or "",
    )


def _version(said: dict[str, Any]) -> ForeignVersion:
    return ForeignVersion(
        number=int(said["version"]),
        source=said.get("source") or "",
        run_id=said.get("run_id") or "",
        logged_id=said.get("model_id") or "",
        description=said.get("description") or "",
        stage=said.get("current_stage") or "None",
        run_link=said.get("run_link") or "",
        tags=_pairs(said.get("tags")),
    )
