"""A pipeline's run as a Kubeflow pipeline of one task: the intermediate form of KFP 2, as its compiler writes it."""

from __future__ import annotations

import typing
from types import NoneType
from typing import Any

from slipway.pipelines.declare import Pipeline
from slipway.pipelines.workload import Document, Workload

__all__ = ["kubeflow_pipeline"]

_TASK = "run"
_COMPONENT = "comp-run"
_EXECUTOR = "exec-run"
_KINDS: dict[Any, str] = {bool: "BOOLEAN", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE"}


def kubeflow_pipeline(work: Workload, pipeline: Pipeline[..., Any]) -> list[Document]:
    """The pipeline, and the part of it that is Kubernetes' own: its secrets and its volume.

    Its parameters are those of the pipeline, which `work.params` sets otherwise than they are declared; one whose value
    is None is left to the pipeline.

    Args:
        work: The run.
        pipeline: Its declaration.
    """
    inputs = _inputs(work, pipeline)
    texts = [word for name in inputs for word in ("--set", f"{name}={{{{$.inputs.parameters['{name}']}}}}")]
    container: Document = {
        "args": texts,
        "command": work.command,
        "env": [{"name": "SLIPWAY_STORE", "value": work.store}],
        "image": work.image,
        "resources": _resources(work),
    }
    if not texts:
        del container["args"]
    component: Document = {"executorLabel": _EXECUTOR}
    task: Document = {
        "cachingOptions": {},  # Slipway's own cache decides what need not run
        "componentRef": {"name": _COMPONENT},
        "retryPolicy": {
            "backoffDuration": "10s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": "600s",
            "maxRetryCount": work.retries,
        },
        "taskInfo": {"name": _TASK},
    }
    root: Document = {"dag": {"tasks": {_TASK: task}}}
    if inputs:
        component["inputDefinitions"] = {"parameters": inputs}
        task["inputs"] = {"parameters": {name: {"componentInputParameter": name} for name in inputs}}
        root["inputDefinitions"] = {"parameters": inputs}
    spec: Document = {
        "components": {_COMPONENT: component},
        "deploymentSpec": {"executors": {_EXECUTOR: {"container": container}}},
        "pipelineInfo": {"name": work.name},
        "root": root,
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.3",
    }
    return [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {_EXECUTOR: _platform(work)}}}}}]


def _inputs(work: Workload, pipeline: Pipeline[..., Any]) -> Document:
    hints = typing.get_type_hints(pipeline.function)
    found: Document = {}
    for name, parameter in sorted(pipeline.signature.parameters.items()):
        kind = _KINDS.get(_plain(hints.get(name)), "STRING")
        default = work.params.get(name, None if parameter.default is parameter.empty else parameter.default)
        if default is None and parameter.default is None:
            continue
        found[name] = {"parameterType": kind}
        if default is not None:
            value = default if kind == "STRING" or not isinstance(default, str) else _read(default, kind)
            found[name] |= {"defaultValue": str(value) if kind == "STRING" else value, "isOptional": True}
    return found


def _plain(hint: Any) -> Any:
    choices = [choice for choice in typing.get_args(hint) if choice is not NoneType]
    return choices[0] if len(choices) == 1 and NoneType in typing.get_args(hint) else hint


def _read(text: str, kind: str) -> object:
    if kind == "BOOLEAN":
        return text.lower() in ("true", "1")
    return int(text) if kind == "NUMBER_INTEGER" else float(text)


def _resources(work: Workload) -> Document:
    amounts = work.amounts
    found: Document = {
        "cpuLimit": work.cpus,
        "cpuRequest": work.cpus,
        "resourceCpuLimit": amounts["cpu"],
        "resourceCpuRequest": amounts["cpu"],
    }
    if work.memory_bytes:
        gigabytes = work.memory_bytes / 1e9
        found |= {
            "memoryLimit": gigabytes,
            "memoryRequest": gigabytes,
            "resourceMemoryLimit": amounts["memory"],
            "resourceMemoryRequest": amounts["memory"],
        }
    if work.gpus:
        count, kind = amounts["nvidia.com/gpu"], "nvidia.com/gpu"
        found["accelerator"] = {"count": count, "resourceCount": count, "resourceType": kind, "type": kind}
    return found


def _platform(work: Workload) -> Document:
    found: Document = {"pvcMount": [{"constant": work.claim, "mountPath": work.store}]}
    if work.variables:
        keys = [{"envVar": name, "secretKey": name} for name in work.variables]
        found["secretAsEnv"] = [{"keyToEnv": keys, "secretName": work.secret}]
    return found
