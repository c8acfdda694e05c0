"""A pipeline's run as a container elsewhere: what it is started with, as Kubernetes and Kubeflow are told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.errors import InvalidInput

__all__ = ["Document", "Workload", "as_yaml", "kubernetes_job", "label"]

Document = dict[str, Any]

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_IMAGE = re.compile(r"[a-z0-9][\w.:/@-]*", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One pipeline's run as one container.

    Args:
        project: The project's name.
        pipeline: The pipeline's name.
        environment: The environment of slipway.toml.
        image: The container image: the project's folder with Slipway and what the project imports.
        folder: Where the project lies in the image.
        store: Where the store's folder lies in the container, an absolute path.
        claim: The persistent volume claim that is mounted there.
        secret: The Kubernetes secret that has the variables.
        variables: Environment variables that the secret has, by the same names as keys.
        params: Parameters as texts.
        cpus: Processors.
        memory_bytes: Memory, 0 where nothing is said.
        gpus: Graphics processors.
        retries: How often a pod that fails is started again; it finds the steps that finished.
    """

    project: str
    pipeline: str
    environment: str
    image: str
    folder: str
    store: str
    claim: str
    secret: str
    variables: tuple[str, ...] = ()
    params: Mapping[str, str]
    cpus: float = 1.0
    memory_bytes: int = 0
    gpus: float = 0.0
    retries: int = 2

    def __post_init__(self) -> None:
        if not _IMAGE.fullmatch(self.image):
            raise InvalidInput(
                f"{self.image!r} is no container image.", fix="For example registry.example.org/flights:1.4"
            )
        for name, given in (("store", self.store), ("folder", self.folder)):
            if not given.startswith("/"):
                raise InvalidInput(f"The {name} {given!r} is no absolute path.", fix="For example /project/.slipway")
        if self.gpus != int(self.gpus):
            raise InvalidInput(
                f"{self.gpus:g} graphics processors cannot be asked for.", fix="Kubernetes gives whole ones."
            )
        for variable in self.variables:
            if not _VARIABLE.fullmatch(variable):
                raise InvalidInput(f"{variable!r} is no environment variable.", fix="For example PGPASSWORD.")
        for given in (self.claim, self.secret):
            if given != label(given):
                raise InvalidInput(
                    f"{given!r} cannot be a name in Kubernetes.",
                    fix=f"It has small letters, digits and hyphens: {label(given)!r}.",
                )

    @property
    def name(self) -> str:
        """A name for it in Kubernetes."""
        return label(f"{self.project}-{self.pipeline}")

    @property
    def command(self) -> list[str]:
        """What the container runs, without parameters."""
        return ["slipway", "run", self.pipeline, "-C", self.folder, "--env", self.environment]

    @property
    def amounts(self) -> dict[str, str]:
        """What it is given: requested, and the limit."""
        found = {"cpu": f"{self.cpus:g}"}
        if self.memory_bytes:
            found["memory"] = str(self.memory_bytes)
        if self.gpus:
            found["nvidia.com/gpu"] = f"{self.gpus:g}"
        return found


def label(text: str) -> str:
    """A text as a name that Kubernetes takes: a DNS label of at most 63 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-") or "pipeline"


def kubernetes_job(work: Workload) -> Document:
    """A Kubernetes Job that runs a pipeline once, in one pod."""
    labels = {
        "app.kubernetes.io/name": "slipway",
        "app.kubernetes.io/instance": work.name,
        "app.kubernetes.io/component": "pipeline",
    }
    given = [word for name, text in sorted(work.params.items()) for word in ("--set", f"{name}={text}")]
    container: Document = {
        "name": "pipeline",
        "image": work.image,
        "command": work.command,
        "args": given,
        "workingDir": work.folder,
        "env": [
            {"name": "SLIPWAY_STORE", "value": work.store},
            *(
                {"name": name, "valueFrom": {"secretKeyRef": {"name": work.secret, "key": name}}}
                for name in work.variables
            ),
        ],
        "resources": {"requests": work.amounts, "limits": work.amounts},
        "volumeMounts": [{"name": "store", "mountPath": work.store}],
    }
    if not given:
        del container["args"]
    pod: Document = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "store", "persistentVolumeClaim": {"claimName": work.claim}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"{work.name[:57].rstrip('-')}-", "labels": labels},
        "spec": {"backoffLimit": work.retries, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def as_yaml(documents: Iterable[Document]) -> str:
    """Documents as YAML text; the same ones give the same text."""
    return "---\n".join("\n".join(_block(document, 0)) + "\n" for document in documents)


def _block(value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        lines = []
        for key, item in value.items():
            if isinstance(item, Mapping | list) and item:
                lines += [f"{pad}{_scalar(key)}:", *_block(item, depth + 1)]
            else:
                lines.append(f"{pad}{_scalar(key)}: {_scalar(item)}")
        return lines
    lines = []
    for item in value:
        if isinstance(item, Mapping | list) and item:
            first, *rest = _block(item, depth + 1)
            lines += [f"{pad}- {first.strip()}", *rest]
        else:
            lines.append(f"{pad}- {_scalar(item)}")
    return lines


def _scalar(value: Any) -> str:
    """One value: what JSON says is also YAML, and a plain word needs no quotes."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=True)
