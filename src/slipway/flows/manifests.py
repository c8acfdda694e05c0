"""An image of a model as Kubernetes and KServe are told of it.

What an endpoint is declared to have and the target cannot do is refused by name, until somebody says that it may stay
behind. What the answers themselves hang on is refused always.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from slipway.errors import InvalidInput, NotFound
from slipway.flows.endpoints import revision_of
from slipway.flows.image import check_alone
from slipway.flows.judging import declared_endpoint
from slipway.ledger import entries
from slipway.pipelines.workload import Document, label
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Revision
from slipway.records.models import Bundle, ModelVersion
from slipway.records.people import Person
from slipway.serving.caller_limit import written

__all__ = ["LEFT_BEHIND", "Serving", "inference_service", "kubernetes_documents", "serving_of"]

_PORT = 8080
_IMAGE = re.compile(r"[a-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}", re.IGNORECASE)
_PLAIN = {"serving.kserve.io/deploymentMode": "RawDeployment"}
"""Plain Deployments: the other mode scales to zero, and takes neither this pod's volume nor its time to stop."""
LEFT_BEHIND = ("callers", "limit", "monitors", "retrain", "rollout")
"""What an endpoint may have and a container has not, by the word under which it may stay behind."""


class Serving(Struct, frozen=True, kw_only=True):
    """An image of a model, to be served by others.

    Args:
        name: A name that Kubernetes takes.
        model: The model's name.
        number: The version's number.
        bundle: The bundle's digest.
        image: The image with its digest.
        replicas: How many containers.
        cpus: Processors of each.
        memory: Memory of each, in bytes.
    """

    name: str
    model: str
    number: int
    bundle: str
    image: str
    replicas: int = 1
    cpus: float = 1.0
    memory: int = 1_000_000_000

    def __post_init__(self) -> None:
        if not _IMAGE.fullmatch(self.image):
            raise InvalidInput(
                f"{self.image!r} does not name one image for good.",
                why="A tag can be moved, and then something else serves than what was exported.",
                fix="Name it with the digest that the export said: registry.example.org/flights@sha256:...",
                field="image",
            )


def serving_of(
    workspace: Workspace,
    version: ModelVersion,
    bundle: Bundle,
    *,
    image: str,
    replicas: int = 0,
    cpus: float = 1.0,
    memory: int = 1_000_000_000,
    without: Sequence[str] = (),
) -> Serving:
    """What is to be served, once nothing stands against it.

    Args:
        workspace: Its store.
        version: The version.
        bundle: Its manifest.
        image: Its image, with a digest.
        replicas: How many containers; the declared workers when 0.
        cpus: Processors of each.
        memory: Memory of each, in bytes.
        without: What may stay behind, of `LEFT_BEHIND`.

    Raises:
        InvalidInput: The endpoint of the model's name has what the target cannot do, or features are looked up.
    """
    check_alone(bundle)
    declared = declared_endpoint(workspace, version.name, model=version.name)
    found = [one for one in _beyond(workspace, declared) if one[0] not in without]
    if found:
        words = [word for word, _ in found if word in LEFT_BEHIND]
        raise InvalidInput(
            f"A container cannot do what the endpoint {declared.name!r} does: {'; '.join(told for _, told in found)}.",
            why="What serves there is one model behind one port, and no Slipway watches it.",
            fix="Serve it by `slipway deploy`"
            + (f", or say that this may stay behind: {' '.join(f'--without {w}' for w in words)}" if words else "")
            + ".",
            field="without",
        )
    return Serving(
        name=label(version.name),
        model=version.name,
        number=version.number,
        bundle=version.bundle,
        image=image,
        replicas=replicas or declared.workers,
        cpus=cpus,
        memory=memory,
    )


def _beyond(workspace: Workspace, declared: DeclaredEndpoint) -> Iterator[tuple[str, str]]:
    """What an endpoint is declared to do, or does, that a container cannot: a word, and the sentence's part."""
    plan = declared.rollout
    if plan is not None:
        phases = [name for name, phase in (("shadow", plan.shadow), ("canary", plan.canary)) if phase is not None]
        yield "rollout", f"new versions are rolled out by {' and '.join(phases)}"
    serving = _serving(workspace, declared.name)
    for rival in () if serving is None else serving.challengers:
        doing = "is being rolled out" if serving is not None and serving.split is None else "is an arm of an A/B test"
        yield "challenger", f"{rival.served.model} {rival.served.number} {doing} on it now"
    with workspace.ledger.read() as tx:
        is_declared = entries.etag(tx, DeclaredEndpoint, declared.id) > 0
    if (
        declared.monitors and is_declared
    ):  # nobody asked for the drift that is watched anyway: it may stay behind unsaid
        yield "monitors", f"it is watched by {', '.join(monitor.name for monitor in declared.monitors)}"
    if declared.retrain is not None:
        yield "retrain", "its model is trained again by itself"
    if declared.fallback is not None:
        yield "fallback", "another way answers where the model does not, which an image has no place for"
    if declared.streams:
        yield "streams", f"it takes in {', '.join(stream.name for stream in declared.streams)}"
    if declared.simulation or (serving is not None and serving.simulation):
        yield "simulation", "its callers choose the time"
    if declared.caller_rate:
        rate = written(declared.caller_rate)
        yield "limit", f"each caller may send {rate}, where each container counts for itself and all callers as one"
    with workspace.ledger.read() as tx:
        if entries.find(tx, Person, limit=1):
            yield "callers", "it answers only callers whose tokens it knows"


def _serving(workspace: Workspace, name: str) -> Revision | None:
    try:
        return revision_of(workspace, name)
    except NotFound:
        return None


def kubernetes_documents(work: Serving) -> list[Document]:
    """A Deployment and the Service before it."""
    labels = _labels(work)
    chosen = {name: labels[name] for name in ("app.kubernetes.io/name", "app.kubernetes.io/instance")}
    about = {"name": work.name, "labels": labels, "annotations": _notes(work)}
    deployment: Document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": about,
        "spec": {
            "replicas": work.replicas,
            "selector": {"matchLabels": chosen},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels, "annotations": _notes(work)}, "spec": _pod(work, "model")},
        },
    }
    service: Document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": about,
        "spec": {
            "type": "ClusterIP",
            "selector": chosen,
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }
    return [deployment, service]


def inference_service(work: Serving) -> Document:
    """A KServe InferenceService whose predictor is the image: it answers the endpoint's requests, not KServe's protocols."""
    pod = _pod(work, "kserve-container")  # the name that KServe looks for
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": work.name, "labels": _labels(work), "annotations": _notes(work) | _PLAIN},
        "spec": {"predictor": {"minReplicas": work.replicas, "maxReplicas": work.replicas, **pod}},
    }


def _labels(work: Serving) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "slipway",
        "app.kubernetes.io/instance": work.name,
        "app.kubernetes.io/component": "model",
        "app.kubernetes.io/version": str(work.number),
    }


def _notes(work: Serving) -> dict[str, str]:
    return {"slipway.dev/model": f"{work.model}:{work.number}", "slipway.dev/bundle": work.bundle}


def _pod(work: Serving, container_name: str) -> Document:
    amounts = {"cpu": f"{work.cpus:g}", "memory": str(work.memory)}
    probe = {"httpGet": {"path": "/health", "port": "http"}}
    container: Document = {
        "name": container_name,
        "image": work.image,
        "ports": [{"name": "http", "containerPort": _PORT, "protocol": "TCP"}],
        "resources": {"requests": amounts, "limits": amounts},
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 6},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 40,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }
