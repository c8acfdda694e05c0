"""A pipeline as a Kubernetes Job and as a Kubeflow pipeline: whole, the same each time, and what their own tools take."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.pipelines.workload import as_yaml, label

MODULE = """
from datetime import date
import slipway as sw

@sw.step(cpus=2, memory="4GB")
def train(until: date, rate: float) -> float:
    return rate

@sw.pipeline
def release(n: int, until: date = date(2013, 4, 1), rate: float = 0.5, on: bool = False, seed: int | None = None,
            name: str = "yes: no") -> float:
    return train(until, rate)

@sw.pipeline
def plain() -> int:
    return 1
"""
SETTINGS = """
[project]
name = "late_flights"
module = "exported_flow"

[environments.prod]
ledger = "postgresql://slipway:${PGPASSWORD}@db/slipway"
online = "env:REDIS_URL"
blobs = "s3://bucket/prefix"
store = "state"
"""
JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  generateName: late-flights-release-
  labels:
    app.kubernetes.io/name: slipway
    app.kubernetes.io/instance: late-flights-release
    app.kubernetes.io/component: pipeline
spec:
  backoffLimit: 2
  template:
    metadata:
      labels:
        app.kubernetes.io/name: slipway
        app.kubernetes.io/instance: late-flights-release
        app.kubernetes.io/component: pipeline
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      containers:
        - name: pipeline
          image: "registry.example.org/flights:1.4"
          command:
            - slipway
            - run
            - release
            - "-C"
            - /project
            - "--env"
            - dev
          args:
            - "--set"
            - "n=3"
          workingDir: /project
          env:
            - name: SLIPWAY_STORE
              value: /project/.slipway
          resources:
            requests:
              cpu: "2"
              memory: "4000000000"
            limits:
              cpu: "2"
              memory: "4000000000"
          volumeMounts:
            - name: store
              mountPath: /project/.slipway
      volumes:
        - name: store
          persistentVolumeClaim:
            claimName: late-flights-dev
"""
IMAGE = ("--image", "registry.example.org/flights:1.4")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text(SETTINGS.split("[environments.prod]")[0])
    (tmp_path / "exported_flow.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "exported_flow", raising=False)
    return tmp_path


def _export(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["export", *arguments])


def _documents(kind: str, *arguments: str) -> Any:
    answer = _export(kind, *arguments, *IMAGE, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_a_job_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    first = _export("kubernetes", "release", "--set", "n=3", *IMAGE)
    assert first.exit_code == 0, first.output
    assert first.stdout == JOB
    _export("kubernetes", "release", "--set", "n=3", *IMAGE, "-o", "job.yaml")
    assert (tmp_path / "job.yaml").read_text() == JOB


def test_secrets_are_named_and_neither_read_nor_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "slipway.toml").write_text(SETTINGS)
    monkeypatch.setenv("PGPASSWORD", "hunter2secret")
    job = _documents("kubernetes", "plain", "--env", "prod")  # its database is not reached, nor need it be
    (container,) = job["spec"]["template"]["spec"]["containers"]
    names = ["SLIPWAY_STORE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "REDIS_URL"]
    assert [one["name"] for one in container["env"]] == names
    assert container["env"][3]["valueFrom"] == {"secretKeyRef": {"name": "late-flights-prod", "key": "PGPASSWORD"}}
    assert container["env"][0]["value"] == "/project/state"
    assert "hunter2secret" not in as_yaml([job])
    assert not (folder / "state").exists()


def test_an_environment_behind_a_server_runs_no_pipelines(folder: Path) -> None:
    (folder / "slipway.toml").write_text(SETTINGS + 'server = "http://127.0.0.1:1"\n')
    answer = _export("kubernetes", "plain", "--env", "prod", *IMAGE)
    assert answer.exit_code != 0
    assert "is kept by the server http://127.0.0.1:1" in answer.output


def test_a_kubeflow_pipeline_has_the_parameters_of_the_pipeline() -> None:
    spec, platform = _documents(
        "kubeflow", "release", "--set", "rate=0.25", "--gpus", "1", "--secret-variable", "TOKEN"
    )
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters == {
        "n": {"parameterType": "NUMBER_INTEGER"},
        "name": {"parameterType": "STRING", "defaultValue": "yes: no", "isOptional": True},
        "on": {"parameterType": "BOOLEAN", "defaultValue": False, "isOptional": True},
        "rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.25, "isOptional": True},
        "until": {"parameterType": "STRING", "defaultValue": "2013-04-01", "isOptional": True},
    }
    container = spec["deploymentSpec"]["executors"]["exec-run"]["container"]
    assert container["args"][:2] == ["--set", "n={{$.inputs.parameters['n']}}"]
    assert container["resources"]["resourceMemoryLimit"] == "4000000000"
    assert container["resources"]["accelerator"]["count"] == "1"
    executor = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-run"]
    assert executor["secretAsEnv"][0]["keyToEnv"] == [{"envVar": "TOKEN", "secretKey": "TOKEN"}]
    assert executor["pvcMount"] == [{"constant": "late-flights-dev", "mountPath": "/project/.slipway"}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["releas", *IMAGE], "Did you mean 'release'?"),
        (["release", "--image", "not an image"], "is no container image"),
        (["release", *IMAGE, "--set", "m=1"], "has no parameter 'm'"),
        (["release", *IMAGE, "--set", "n=x"], "does not fit the parameter 'n'"),
        (["release", *IMAGE, "--claim", "My_Claim"], "cannot be a name in Kubernetes"),
        (["release", *IMAGE, "--secret-variable", "A-B"], "is no environment variable"),
        (["release", *IMAGE, "--in-image", "project"], "is no absolute path"),
        (["release", *IMAGE, "--memory", "lots"], "is no amount of memory"),
    ],
)
def test_what_does_not_fit_is_a_sentence(arguments: list[str], words: str) -> None:
    for kind in ("kubernetes", "kubeflow"):
        answer = _export(kind, *arguments)
        assert answer.exit_code != 0
        assert words in answer.output


def test_names_fit_what_kubernetes_takes() -> None:
    assert label("Late_Flights/Release") == "late-flights-release"
    assert label("_") == "pipeline"
    assert len(label("x" * 200)) == 63


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_clients_model_of_a_job_takes_it() -> None:
    kubernetes = pytest.importorskip("kubernetes")
    for arguments in (["release", "--set", "n=3", "--gpus", "1", "--secret-variable", "TOKEN"], ["plain"]):
        job = _documents("kubernetes", *arguments)
        with kubernetes.client.ApiClient(kubernetes.client.Configuration()) as api:

            class Answer:
                data = json.dumps(job)

            read = api.deserialize(Answer, "V1Job")
            assert api.sanitize_for_serialization(read) == job  # nothing that the model does not know was left out


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_what_the_text_says_is_the_document_and_kubeflow_takes_it() -> None:
    yaml = pytest.importorskip("yaml")
    pytest.importorskip("kfp")
    from google.protobuf import json_format
    from kfp import components
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    for arguments in (["release", "--gpus", "1", "--secret-variable", "TOKEN"], ["plain"]):
        spec, platform = _documents("kubeflow", *arguments)
        text = _export("kubeflow", *arguments, *IMAGE).stdout
        assert list(yaml.safe_load_all(text)) == [spec, platform]
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(
            platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-run"],
            kubernetes_executor_config_pb2.KubernetesExecutorConfig(),
        )
        component = components.load_component_from_text(text)
        assert component.name == spec["pipelineInfo"]["name"]
        assert set(component.component_spec.inputs or {}) == set(
            spec["root"].get("inputDefinitions", {}).get("parameters", {})
        )
        job = _documents("kubernetes", *arguments)
        assert list(yaml.safe_load_all(_export("kubernetes", *arguments, *IMAGE).stdout)) == [job]
