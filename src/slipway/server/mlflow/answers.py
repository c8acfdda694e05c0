"""What MLflow's routes answer, field by field: for the description of the API, and for the test that holds it to be true.

Whatever is empty is left out of an answer, so nearly every field may be missing.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

__all__ = ["ANSWERS", "Failure", "Nothing"]

Text = str | UnsetType
Whole = int | UnsetType
Number = float | Literal["NaN", "Infinity", "-Infinity"]


class Failure(Struct, forbid_unknown_fields=True):
    """What every answer with a status of 400 and above holds."""

    error_code: str
    message: str


class Nothing(Struct, forbid_unknown_fields=True):
    """It is done; there is nothing to say."""


class KeyValue(Struct, forbid_unknown_fields=True):
    """A tag or a parameter."""

    key: Text = UNSET
    value: Text = UNSET


class Point(Struct, forbid_unknown_fields=True, kw_only=True):
    """A metric's point: `timestamp` in milliseconds since the epoch; the run is named where several are asked for."""

    key: str
    value: Number
    timestamp: int
    step: int
    run_id: Text = UNSET


class ModelPoint(Point, forbid_unknown_fields=True, kw_only=True):
    """A point that was measured of a logged model."""

    model_id: str
    dataset_name: Text = UNSET
    dataset_digest: Text = UNSET


class Experiment(Struct, forbid_unknown_fields=True, kw_only=True):
    """An experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: Literal["active", "deleted"]
    creation_time: int
    last_update_time: int
    tags: list[KeyValue] | UnsetType = UNSET


class ExperimentMade(Struct, forbid_unknown_fields=True):
    """The id of a new experiment."""

    experiment_id: str


class OneExperiment(Struct, forbid_unknown_fields=True):
    """One experiment."""

    experiment: Experiment


class Experiments(Struct, forbid_unknown_fields=True):
    """A page of experiments."""

    experiments: list[Experiment] | UnsetType = UNSET
    next_page_token: Text = UNSET


class RunInfo(Struct, forbid_unknown_fields=True, kw_only=True):
    """How a run stands."""

    run_id: str
    run_uuid: str
    run_name: Text = UNSET
    experiment_id: str
    user_id: Text = UNSET
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
    start_time: int
    end_time: Whole = UNSET
    artifact_uri: str
    lifecycle_stage: Literal["active", "deleted"]


class RunData(Struct, forbid_unknown_fields=True):
    """What a run logged: of each metric the latest point."""

    metrics: list[Point] | UnsetType = UNSET
    params: list[KeyValue] | UnsetType = UNSET
    tags: list[KeyValue] | UnsetType = UNSET


class Dataset(Struct, forbid_unknown_fields=True):
    """A dataset as the client described it."""

    name: str
    digest: str
    source_type: Text = UNSET
    source: Text = UNSET
    schema: Text = UNSET
    profile: Text = UNSET


class DatasetRead(Struct, forbid_unknown_fields=True):
    """A dataset that a run read, and what for."""

    dataset: Dataset
    tags: list[KeyValue] | UnsetType = UNSET


class ModelRead(Struct, forbid_unknown_fields=True):
    """A logged model that a run read."""

    model_id: str


class ModelMade(Struct, forbid_unknown_fields=True):
    """A logged model that a run made."""

    model_id: str
    step: int


class RunInputs(Struct, forbid_unknown_fields=True):
    """What a run read."""

    dataset_inputs: list[DatasetRead] | UnsetType = UNSET
    model_inputs: list[ModelRead] | UnsetType = UNSET


class RunOutputs(Struct, forbid_unknown_fields=True):
    """What a run made."""

    model_outputs: list[ModelMade] | UnsetType = UNSET


class Run(Struct, forbid_unknown_fields=True):
    """A run."""

    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs


class OneRun(Struct, forbid_unknown_fields=True):
    """One run."""

    run: Run


class OneRunInfo(Struct, forbid_unknown_fields=True):
    """How one run stands."""

    run_info: RunInfo


class Runs(Struct, forbid_unknown_fields=True):
    """A page of runs."""

    runs: list[Run] | UnsetType = UNSET
    next_page_token: Text = UNSET


class Points(Struct, forbid_unknown_fields=True):
    """A page of points."""

    metrics: list[Point] | UnsetType = UNSET
    next_page_token: Text = UNSET


class File(Struct, forbid_unknown_fields=True):
    """A file, or a folder, which has no size."""

    path: str
    is_dir: bool
    file_size: Whole = UNSET


class Files(Struct, forbid_unknown_fields=True):
    """What lies in a folder."""

    files: list[File] | UnsetType = UNSET
    root_uri: Text = UNSET


class PartAddress(Struct, forbid_unknown_fields=True):
    """Where a part of an upload is sent."""

    url: str
    part_number: int
    headers: dict[str, str]


class UploadBegun(Struct, forbid_unknown_fields=True):
    """An upload in parts."""

    upload_id: str
    credentials: list[PartAddress]


class Registration(Struct, forbid_unknown_fields=True):
    """A registered version that a logged model became."""

    name: str
    version: str


class LoggedModelInfo(Struct, forbid_unknown_fields=True, kw_only=True):
    """How a logged model stands."""

    model_id: str
    experiment_id: str
    name: Text = UNSET
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: Literal["LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"]
    model_type: Text = UNSET
    source_run_id: Text = UNSET
    status_message: Text = UNSET
    tags: list[KeyValue] | UnsetType = UNSET
    registrations: list[Registration] | UnsetType = UNSET


class LoggedModelData(Struct, forbid_unknown_fields=True):
    """What was said and measured of a logged model."""

    params: list[KeyValue] | UnsetType = UNSET
    metrics: list[ModelPoint] | UnsetType = UNSET


class LoggedModel(Struct, forbid_unknown_fields=True):
    """A logged model."""

    info: LoggedModelInfo
    data: LoggedModelData


class OneLoggedModel(Struct, forbid_unknown_fields=True):
    """One logged model."""

    model: LoggedModel


class LoggedModels(Struct, forbid_unknown_fields=True):
    """A page of logged models."""

    models: list[LoggedModel] | UnsetType = UNSET
    next_page_token: Text = UNSET


class ModelParam(Struct, forbid_unknown_fields=True):
    """A parameter of the logged model behind a version."""

    name: Text = UNSET
    value: Text = UNSET


class Version(Struct, forbid_unknown_fields=True, kw_only=True):
    """A registered version."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    user_id: Text = UNSET
    current_stage: Text = UNSET
    description: Text = UNSET
    source: Text = UNSET
    run_id: Text = UNSET
    status: Literal["READY"]
    tags: list[KeyValue] | UnsetType = UNSET
    run_link: Text = UNSET
    aliases: list[str] | UnsetType = UNSET
    model_id: Text = UNSET
    model_params: list[ModelParam] | UnsetType = UNSET
    model_metrics: list[ModelPoint] | UnsetType = UNSET


class OneVersion(Struct, forbid_unknown_fields=True):
    """One version."""

    model_version: Version


class Versions(Struct, forbid_unknown_fields=True):
    """A page of versions."""

    model_versions: list[Version] | UnsetType = UNSET
    next_page_token: Text = UNSET


class Address(Struct, forbid_unknown_fields=True):
    """Where a version's files are."""

    artifact_uri: Text = UNSET


class Alias(Struct, forbid_unknown_fields=True):
    """An alias and the version that it points at."""

    alias: str
    version: str


class Model(Struct, forbid_unknown_fields=True, kw_only=True):
    """A registered model with the latest version of each stage."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    user_id: Text = UNSET
    description: Text = UNSET
    latest_versions: list[Version] | UnsetType = UNSET
    tags: list[KeyValue] | UnsetType = UNSET
    aliases: list[Alias] | UnsetType = UNSET


class OneModel(Struct, forbid_unknown_fields=True):
    """One registered model."""

    registered_model: Model


class Models(Struct, forbid_unknown_fields=True):
    """A page of registered models."""

    registered_models: list[Model] | UnsetType = UNSET
    next_page_token: Text = UNSET


class ServerInfo(Struct, forbid_unknown_fields=True):
    """What the server can do."""

    store_type: str
    workspaces_enabled: bool
    trace_archival_enabled: bool
    multipart_uploads_enabled: bool
    multipart_downloads_enabled: bool


ANSWERS: dict[str, type[Struct]] = {
    "GET 3.0/mlflow/server-info": ServerInfo,
    "POST 2.0/mlflow/experiments/create": ExperimentMade,
    "GET 2.0/mlflow/experiments/get": OneExperiment,
    "GET 2.0/mlflow/experiments/get-by-name": OneExperiment,
    "GET 2.0/mlflow/experiments/search": Experiments,
    "POST 2.0/mlflow/experiments/search": Experiments,
    "POST 2.0/mlflow/runs/create": OneRun,
    "GET 2.0/mlflow/runs/get": OneRun,
    "POST 2.0/mlflow/runs/update": OneRunInfo,
    "POST 2.0/mlflow/runs/search": Runs,
    "GET 2.0/mlflow/metrics/get-history": Points,
    "GET 2.0/mlflow/metrics/get-history-bulk": Points,
    "GET 2.0/mlflow/metrics/get-history-bulk-interval": Points,
    "GET 2.0/mlflow-artifacts/artifacts": Files,
    "GET 2.0/mlflow/artifacts/list": Files,
    "POST 2.0/mlflow-artifacts/mpu/create/{path...}": UploadBegun,
    "POST 2.0/mlflow/logged-models": OneLoggedModel,
    "GET 2.0/mlflow/logged-models/{model_id}": OneLoggedModel,
    "PATCH 2.0/mlflow/logged-models/{model_id}": OneLoggedModel,
    "PATCH 2.0/mlflow/logged-models/{model_id}/tags": OneLoggedModel,
    "GET 2.0/mlflow/logged-models/{model_id}/artifacts/directories": Files,
    "POST 2.0/mlflow/logged-models/search": LoggedModels,
    "POST 2.0/mlflow/registered-models/create": OneModel,
    "GET 2.0/mlflow/registered-models/get": OneModel,
    "PATCH 2.0/mlflow/registered-models/update": OneModel,
    "POST 2.0/mlflow/registered-models/rename": OneModel,
    "GET 2.0/mlflow/registered-models/search": Models,
    "GET 2.0/mlflow/registered-models/alias": OneVersion,
    "GET 2.0/mlflow/registered-models/get-latest-versions": Versions,
    "POST 2.0/mlflow/registered-models/get-latest-versions": Versions,
    "POST 2.0/mlflow/model-versions/create": OneVersion,
    "GET 2.0/mlflow/model-versions/get": OneVersion,
    "PATCH 2.0/mlflow/model-versions/update": OneVersion,
    "POST 2.0/mlflow/model-versions/transition-stage": OneVersion,
    "GET 2.0/mlflow/model-versions/get-download-uri": Address,
    "GET 2.0/mlflow/model-versions/search": Versions,
}
"""What a route answers with, by method and path; the others say nothing, or send bytes."""
