"""A model's image as Kubernetes and KServe are told of it: whole, read by their own clients, and nothing left out silently."""

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.linear_model import LogisticRegression
from small_desk import FIRST, Desk

from slipway.cli import main
from slipway.flows.manifests import LEFT_BEHIND, Serving, inference_service, kubernetes_documents, serving_of
from slipway.hosts import session
from slipway.ledger import entries
from slipway.models import registry
from slipway.pipelines.workload import Document
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.endpoints import FallbackSpec, MonitorSpec, StreamSpec, Way
from slipway.records.loop import RetrainSpec
from slipway.records.models import ModelVersion
from slipway.records.people import Person
from slipway.records.rollouts import CanarySpec, RolloutSpec, ShadowSpec

IMAGE = f"registry.example.org/late_flights@sha256:{'a' * 64}"
KSERVE = Path(__file__).parents[2] / ".venv" / "kserve" / "bin" / "python"
READ = """
import json, sys
import kserve, kubernetes
from kserve import ApiClient, Configuration
for name in dir(kubernetes.client.models):  # the parts that are Kubernetes' own
    if not hasattr(kserve.models, name):
        setattr(kserve.models, name, getattr(kubernetes.client.models, name))
document = json.load(sys.stdin)
class Answer:
    data = json.dumps(document)
api = ApiClient(Configuration())
read = api.deserialize(Answer, "V1beta1InferenceService")
print(json.dumps(api.sanitize_for_serialization(read)))
"""


@pytest.fixture
def version(workspace: Workspace) -> ModelVersion:
    rows = pd.DataFrame({"age": np.arange(60), "spent": np.linspace(0, 9, 60)})
    with session.run("Late_Flights") as run:
        found: ModelVersion = run.log_model(
            LogisticRegression().fit(rows, np.arange(60) % 3 == 0), sample=rows, name="late_flights"
        )
    return found


def _declare(workspace: Workspace, **more: Any) -> None:
    id = declared_id(workspace.project, workspace.environment, "late_flights")
    declared = DeclaredEndpoint(
        id=id, project=workspace.project, name="late_flights", created_at=workspace.clock.now(), model="late_flights",
        **more,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, declared, expect=0)


def _serving(workspace: Workspace, version: ModelVersion, *without: str) -> Serving:
    bundle = registry.bundle_of(workspace, version)
    return serving_of(workspace, version, bundle, image=IMAGE, without=without)


def test_what_is_served_is_named_by_digest_with_probes_and_the_declared_workers(
    workspace: Workspace, version: ModelVersion
) -> None:
    _declare(workspace, workers=3)
    deployment, service = kubernetes_documents(_serving(workspace, version))
    spec = deployment["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (container["image"], spec["replicas"]) == (IMAGE, 3)
    assert deployment["metadata"]["annotations"]["slipway.dev/bundle"] == version.bundle
    assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "1000000000"}
    predictor = inference_service(_serving(workspace, version))["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["containers"][0]["name"]) == (3, "kserve-container")


@pytest.mark.parametrize(
    ("word", "more", "told"),
    [
        ("monitors", {"monitors": (MonitorSpec(kind="drift", name="drift"),)}, "it is watched by drift"),
        ("rollout", {"rollout": RolloutSpec(shadow=ShadowSpec(), canary=CanarySpec())}, "by shadow and canary"),
        ("retrain", {"retrain": RetrainSpec(pipeline="release")}, "trained again by itself"),
        ("limit", {"caller_rate": 2.0}, "each caller may send 2 requests a second"),
        ("", {"fallback": FallbackSpec(ways=(Way(by="value"),), within_us=1)}, "another way answers"),
        ("", {"streams": (StreamSpec(url="redis://h", name="late", source="flights"),)}, "it takes in late"),
        ("", {"simulation": True}, "its callers choose the time"),
    ],
)
def test_what_a_container_cannot_do_is_refused_until_somebody_says_that_it_may_stay(
    workspace: Workspace, version: ModelVersion, word: str, more: dict[str, Any], told: str
) -> None:
    _declare(workspace, **more)
    with pytest.raises(Exception, match=told) as refused:
        _serving(workspace, version, *({*LEFT_BEHIND} - {word}))
    assert (f"--without {word}" in str(refused.value)) == bool(word)
    if word:
        assert _serving(workspace, version, word).model == "late_flights"


def test_an_endpoint_that_knows_its_callers_is_not_opened_to_all_unsaid(
    workspace: Workspace, version: ModelVersion
) -> None:
    with workspace.ledger.write() as tx:
        entries.put(tx, Person(id="ada", project="", name="ada", created_at=workspace.clock.now()), expect=0)
    with pytest.raises(Exception, match=r"answers only callers whose tokens it knows[^$]*--without callers"):
        _serving(workspace, version)
    assert _serving(workspace, version, "callers").number == 1


def test_features_that_are_looked_up_and_a_movable_tag_are_refused(desk: Desk) -> None:
    with pytest.raises(Exception, match="its features origin, weather_now are looked up"):
        _serving(desk.workspace, desk.version(FIRST), *LEFT_BEHIND)
    with pytest.raises(Exception, match="does not name one image for good"):
        Serving(name="a", model="a", number=1, bundle="b", image="registry.example.org/a:1")


def _documents(workspace: Workspace, version: ModelVersion) -> tuple[Document, Document, Document]:
    work = msgspec.structs.replace(_serving(workspace, version), cpus=0.5, memory=2_000_000_000)
    deployment, service = kubernetes_documents(work)
    return deployment, service, inference_service(work)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_clients_models_of_kubernetes_take_them_whole(workspace: Workspace, version: ModelVersion) -> None:
    kubernetes = pytest.importorskip("kubernetes")
    deployment, service, _ = _documents(workspace, version)
    misspelled = json.loads(json.dumps(deployment))
    misspelled["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with kubernetes.client.ApiClient(kubernetes.client.Configuration()) as api:
        for document, kind, is_taken in (
            (deployment, "V1Deployment", True),
            (service, "V1Service", True),
            (misspelled, "V1Deployment", False),
        ):

            class Answer:
                data = json.dumps(document)

            assert (api.sanitize_for_serialization(api.deserialize(Answer, kind)) == document) == is_taken


@pytest.mark.full
def test_the_client_of_kserve_takes_the_inference_service_whole(workspace: Workspace, version: ModelVersion) -> None:
    if not KSERVE.exists():
        pytest.skip("kserve is not installed: make .venv/stamps/kserve")
    *_, wanted = _documents(workspace, version)
    assert _read(wanted) == wanted
    wanted["spec"]["predictor"]["minReplica"] = 1
    assert _read(wanted) != wanted


def _read(document: Document) -> Any:
    done = subprocess.run([KSERVE, "-c", READ], input=json.dumps(document), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.full
def test_the_commands_write_them(desk: Desk, tmp_path: Path) -> None:
    def export(*words: str) -> Result:
        root = ("--root", str(desk.workspace.root), "--project", desk.workspace.project)
        return CliRunner().invoke(main, ["export", *words, *root, "--image", IMAGE, "-o", str(tmp_path / "out.yaml")])

    for kind in ("deployment", "kserve"):
        answer = export(kind, "small-delays:1")
        assert answer.exit_code == 2
        assert "are looked up" in answer.output
        assert not (tmp_path / "out.yaml").exists()
