"""What an unmodified client of MLflow is answered."""

from typing import Any

from conformance_journey.world import NAME, World


def _run(world: World) -> str:
    """The id of a run that a client made."""
    if "client" not in world.kept:
        made = world.mlflow("runs/create", experiment_id="0", run_name="from a client")
        world.kept["client"] = made.json()["run"]["info"]["run_id"]
    return str(world.kept["client"])


def _refused(world: World, path: str, **fields: Any) -> tuple[int, str]:
    answer = world.mlflow(path, **fields)
    return answer.status_code, answer.json()["error_code"]


def default_experiment(world: World) -> None:
    """A client finds the experiment 0."""
    found = world.mlflow("experiments/get", "GET", experiment_id="0").json()["experiment"]
    assert (found["name"], found["lifecycle_stage"]) == ("Default", "active")


def experiment_once(world: World) -> None:
    """A client's experiment is made once: its name again is refused as existing."""
    assert world.mlflow("experiments/create", name="trials").status_code == 200
    assert _refused(world, "experiments/create", name="trials") == (400, "RESOURCE_ALREADY_EXISTS")


def created(world: World) -> None:
    """A client's run is running, and is a run like any other."""
    assert world.call("runs.get", id=_run(world)).run.state == "running"


def logged(world: World) -> None:
    """A client's metric has its history by steps."""
    for step in range(3):
        world.mlflow("runs/log-metric", run_id=_run(world), key="m", value=step * 1.5, timestamp=step, step=step)
    points = world.mlflow("metrics/get-history", "GET", run_id=_run(world), metric_key="m").json()["metrics"]
    assert [(one["step"], one["value"]) for one in points] == [(0, 0.0), (1, 1.5), (2, 3.0)]


def parameter_stays(world: World) -> None:
    """A client's parameter is not overwritten."""
    assert world.mlflow("runs/log-parameter", run_id=_run(world), key="p", value="1").status_code == 200
    assert _refused(world, "runs/log-parameter", run_id=_run(world), key="p", value="2") == (
        400,
        "INVALID_PARAMETER_VALUE",
    )


def batch(world: World) -> None:
    """A client's batch brings metrics, parameters and tags at once."""
    one = {"metrics": [{"key": "b", "value": 1, "timestamp": 1, "step": 0}], "params": [{"key": "q", "value": "x"}]}
    assert world.mlflow("runs/log-batch", run_id=_run(world), tags=[{"key": "t", "value": "u"}], **one).json() == {}
    run = world.call("runs.get", id=_run(world)).run
    assert (run.params["q"], run.tags["t"]) == ("x", "u")


def batch_whole(world: World) -> None:
    """A batch of which something does not fit is not logged at all."""
    metrics = [{"key": "never", "value": 1, "timestamp": 1, "step": 0}]
    params = [{"key": "p", "value": "another"}]
    assert world.mlflow("runs/log-batch", run_id=_run(world), metrics=metrics, params=params).status_code == 400
    assert "never" not in {one.key for one in world.call("runs.get", id=_run(world)).metrics}


def found(world: World) -> None:
    """A client finds runs by MLflow's filters."""
    told = world.mlflow("runs/search", experiment_ids=["0"], filter="metrics.m > 2 and params.q = 'x'").json()["runs"]
    assert [one["info"]["run_id"] for one in told] == [_run(world)]


def bad_filter(world: World) -> None:
    """A filter that cannot be read is a client's 400."""
    assert _refused(world, "runs/search", experiment_ids=["0"], filter="metrics.m >") == (
        400,
        "INVALID_PARAMETER_VALUE",
    )


def tagged(world: World) -> None:
    """A client sets a tag and takes it away."""
    world.mlflow("runs/set-tag", run_id=_run(world), key="k", value="v")
    assert world.call("runs.get", id=_run(world)).run.tags["k"] == "v"
    world.mlflow("runs/delete-tag", run_id=_run(world), key="k")
    assert "k" not in world.call("runs.get", id=_run(world)).run.tags


def uploaded(world: World) -> None:
    """A client's file is listed and read again, byte for byte."""
    place = f"/api/2.0/mlflow-artifacts/artifacts/0/{_run(world)}/artifacts/a/b.bin"
    assert world.http.put(place, content=bytes(range(256))).status_code == 200
    assert world.http.get(place).content == bytes(range(256))
    listed = world.mlflow("artifacts/list", "GET", run_id=_run(world), path="a").json()["files"]
    assert [(one["path"], one["file_size"]) for one in listed] == [("a/b.bin", 256)]


def finished(world: World) -> None:
    """A client ends its run."""
    world.mlflow("runs/update", run_id=_run(world), status="FINISHED", end_time=5)
    assert world.call("runs.get", id=_run(world)).run.state == "finished"


def deleted(world: World) -> None:
    """Nothing is written to a run that a client deleted, until it is restored."""
    world.mlflow("runs/delete", run_id=_run(world))
    one = {"key": "m", "value": 1.0, "timestamp": 9, "step": 9}
    assert world.mlflow("runs/log-metric", run_id=_run(world), **one).status_code == 400
    world.mlflow("runs/restore", run_id=_run(world))
    assert world.mlflow("runs/log-metric", run_id=_run(world), **one).status_code == 200


def registered(world: World) -> None:
    """A client's version is found by its alias."""
    world.mlflow("registered-models/create", name="handmade")
    world.mlflow("model-versions/create", name="handmade", source=f"runs:/{_run(world)}/a", run_id=_run(world))
    world.mlflow("registered-models/alias", name="handmade", alias="best", version="1")
    told = world.mlflow("registered-models/alias", "GET", name="handmade", alias="best").json()["model_version"]
    assert (told["version"], told["run_id"]) == ("1", _run(world))


def no_place_elsewhere(world: World) -> None:
    """A client does not choose where a model lies."""
    answer = world.mlflow("model-versions/create", name="handmade", source="s3://elsewhere/model")
    assert answer.status_code == 400


def not_deployed(world: World) -> None:
    """A version that a client registered has no proof, so it is not deployed."""
    answer = world.api("endpoints.deploy", "POST", model="handmade")
    assert answer.status_code == 422
    assert answer.json()["error"]["what"] == "Version 1 of 'handmade' has no signed bundle."


def sees_ours(world: World) -> None:
    """A client sees Slipway's own version and its alias."""
    assert world.deployed.revision
    told = world.mlflow("registered-models/alias", "GET", name=NAME, alias="champion").json()["model_version"]
    assert told["version"] == "1"
    assert told["source"].startswith("slipway-bundle:")


def no_such_run(world: World) -> None:
    """A run that does not exist is MLflow's own error."""
    answer = world.mlflow("runs/get", "GET", run_id="0" * 32)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def not_spoken(world: World) -> None:
    """A part of MLflow's API that is not spoken is answered at once."""
    assert _refused(world, "traces/search") == (404, "ENDPOINT_NOT_FOUND")


def described(world: World) -> None:
    """The routes of MLflow's API are described in OpenAPI."""
    told = world.get("/api/v1/mlflow-openapi.json").json()
    assert told["openapi"].startswith("3.1")
    assert "/api/2.0/mlflow/runs/create" in told["paths"]


BEHAVIOURS = (
    default_experiment,
    experiment_once,
    created,
    logged,
    parameter_stays,
    batch,
    batch_whole,
    found,
    bad_filter,
    tagged,
    uploaded,
    finished,
    deleted,
    registered,
    no_place_elsewhere,
    not_deployed,
    sees_ours,
    no_such_run,
    not_spoken,
    described,
)
