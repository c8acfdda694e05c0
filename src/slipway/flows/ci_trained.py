"""A project's pipelines, trained on a sample in a store that is thrown away; and what is asked of the models."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.features.certificate import is_proof, proof_words
from slipway.features.examples import failed_examples
from slipway.features.scalar_columns import refusal
from slipway.features.scalars import Feature
from slipway.flows.ci_found import Found, look, raised
from slipway.flows.endpoint import Endpoint
from slipway.flows.evidence import collect
from slipway.flows.release import declare_endpoint, release, run_pipeline
from slipway.gates.judge import judge
from slipway.models import registry
from slipway.models.model import Model
from slipway.pipelines.declare import Pipeline
from slipway.ports.workspace import Workspace
from slipway.records.ci import CiCheck, State
from slipway.records.gates import CheckKind, GateSpec
from slipway.records.models import Bundle, ModelVersion

__all__ = [
    "Trained",
    "example_checks",
    "feature_checks",
    "in_vain",
    "model_checks",
    "train",
    "training_checks",
    "without_training",
]

_FEATURES, _MODEL = "features", "model"
_FIGURES: frozenset[CheckKind] = frozenset({"metric", "calibrated"})
_STATES: dict[str, State] = {"passed": "passed", "refused": "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of a pipeline.

    Args:
        name: The model's name.
        pipeline: The pipeline.
        endpoint: The endpoint that it feeds, None for none.
        found: Whether it trained a model.
        seconds: How long that took.
        model: The model, None where there is none.
        version: The version as which it was packed, None where it could not be.
        bundle: Its manifest.
        packed: What came of packing it.
        packing_s: How long that took.
    """

    name: str
    pipeline: Pipeline[..., Any]
    endpoint: Endpoint | None
    found: Found
    seconds: float = 0.0
    model: Model | None = None
    version: ModelVersion | None = None
    bundle: Bundle | None = None
    packed: Found | None = None
    packing_s: float = 0.0


def train(away: Workspace, pipeline: Pipeline[..., Any], endpoint: Endpoint | None) -> Trained:
    """Run a pipeline with its parameters' defaults, and pack the model that it gives.

    Args:
        away: The store that is thrown away.
        pipeline: The pipeline.
        endpoint: The endpoint that it feeds, None for none.
    """
    name = endpoint.name if endpoint else pipeline.name.replace("_", "-")
    known: dict[str, Any] = {"name": name, "pipeline": pipeline, "endpoint": endpoint}
    needed = [one.name for one in pipeline.signature.parameters.values() if one.default is one.empty]
    if needed:
        told = f"The pipeline {pipeline.name} needs {', '.join(needed)}."
        return Trained(**known, found=Found("skipped", told, "Give it a default: then it can be trained here."))
    began = time.monotonic()
    try:
        done = run_pipeline(away, pipeline, {}, endpoint=endpoint, register=False)
    except Exception as problem:  # the project's own code: it is told as a check that failed
        return Trained(**known, found=raised(problem), seconds=time.monotonic() - began)
    known["seconds"] = time.monotonic() - began
    if not isinstance(done.value, Model):
        told = f"The pipeline {pipeline.name} ran and gave a {type(done.value).__name__}, and no model."
        return Trained(**known, found=Found("passed", told))
    known |= {"found": Found("passed", f"The pipeline {pipeline.name} trained a model."), "model": done.value}
    began = time.monotonic()
    try:
        if endpoint is not None:
            declare_endpoint(away, endpoint)
        version = release(away, done.value, done.run, endpoint=endpoint, name=name)
        bundle = registry.bundle_of(away, version)
    except Exception as problem:  # likewise
        return Trained(**known, packed=raised(problem), packing_s=time.monotonic() - began)
    packed = Found("passed", bundle.parity or "The packed model answers as the trained one.")
    return Trained(**known, version=version, bundle=bundle, packed=packed, packing_s=time.monotonic() - began)


def without_training(suite: str, found: Found) -> Iterator[CiCheck]:
    """The one check of a suite for which nothing could be trained."""
    told = Found("skipped", f"Nothing was trained: {found.sentence}", found.fix)
    yield look(suite, "models", lambda: told)


def example_checks(declared: Sequence[Feature]) -> Iterator[CiCheck]:
    """Whether features give what their examples say, and as their vectorised twins do."""
    for feature in declared:
        if feature.examples or feature.twin is not None:
            yield look(_FEATURES, f"{feature.name}: examples", lambda: _examples(feature))  # noqa: B023


def _examples(feature: Feature) -> Found:
    failed = list(failed_examples(feature))
    if feature.twin is not None:
        failed += filter(None, [refusal(feature)])
    if failed:
        fix = "Correct the function, or what is said of it: slipway features test"
        return Found("failed", failed[0], fix, "\n".join(failed))
    twin = ", and its vectorised twin gives the same" if feature.twin is not None else ""
    return Found("passed", f"{len(feature.examples)} examples hold{twin}.")


def feature_checks(one: Trained) -> CiCheck:
    """Whether the features of a model are the same in training and serving, over generated edge cases."""
    return look(_FEATURES, f"{one.name}: offline equals online", lambda: _proven(one))


def _proven(one: Trained) -> Found:
    if one.endpoint is not None and one.endpoint.features is None:
        return Found("skipped", "The endpoint declares no features: its model takes a request's fields as they are.")
    if one.endpoint is None:
        return Found("skipped", "The pipeline feeds no endpoint, so that nothing says which features are served.")
    if one.bundle is None:
        return in_vain(one, "failed")
    spec, certificate = one.bundle.features, one.bundle.certificate
    if spec is None or certificate is None:
        return Found("failed", "The model has no skew certificate.", f"slipway features certify {one.name} --anew")
    if is_proof(certificate, spec):
        return Found("passed", proof_words(certificate, spec))
    fix = f"slipway features certify {one.name} --anew shows the first difference of each feature."
    return Found("failed", proof_words(certificate, spec), fix)


def training_checks(one: Trained) -> Iterator[CiCheck]:
    """Whether a pipeline trains a model, and whether that can be packed."""
    yield look(_MODEL, f"{one.name}: trains", lambda: one.found, spent=one.seconds)
    if one.packed is not None:
        packed = one.packed
        yield look(_MODEL, f"{one.name}: packed", lambda: packed, spent=one.packing_s)


def model_checks(away: Workspace, one: Trained, *, is_whole: bool) -> Iterator[CiCheck]:
    """Whether a pipeline trains, evaluates, does so twice alike, and reaches the figures that its gate asks for.

    Args:
        away: The store that is thrown away.
        one: What came of the pipeline.
        is_whole: Whether the rows were all rows.
    """
    yield from training_checks(one)
    if one.model is None:
        return
    yield look(_MODEL, f"{one.name}: evaluated", lambda: _evaluated(one))
    yield look(_MODEL, f"{one.name}: trained twice, the same", lambda: _repeated(away, one))
    yield from _gate(away, one, is_whole)


def _evaluated(one: Trained) -> Found:
    assert one.model is not None
    done = one.model.evaluation
    if done is None:
        return Found(
            "skipped", "The pipeline never evaluates its model.", "Return sw.evaluate(model, rows, label=...)."
        )
    overall = [f"{figure.metric} {figure.value:.4g}" for figure in done.metrics if not figure.slice]
    slices = len({figure.slice for figure in done.metrics if figure.slice})
    among = f"; {slices} slices" if slices else ""
    return Found("passed", f"On {done.rows:,} rows: {', '.join(overall)}{among}.")


def _repeated(away: Workspace, one: Trained) -> Found:
    assert one.model is not None
    again = run_pipeline(away, one.pipeline, {}, endpoint=one.endpoint, register=False, use_cache=False).value
    first, second = one.model.slipway_fingerprint(), again.slipway_fingerprint() if isinstance(again, Model) else ""
    if first == second:
        return Found("passed", f"Trained again with nothing cached, it is the same model: {first[:12]}.")
    told = f"Trained again on the same rows, it is another model: {first[:12]}, then {second[:12]}."
    fix = "Give every random draw a seed; let nothing depend on time, threads or the order of a set."
    return Found("failed", told, fix)


def _gate(away: Workspace, one: Trained, is_whole: bool) -> Iterator[CiCheck]:
    if one.endpoint is None or one.endpoint.gate is None or one.version is None or one.bundle is None:
        return
    version, bundle = one.version, one.bundle
    asked = tuple(check for check in one.endpoint.gate.spec.checks if check.kind in _FIGURES)
    if not asked:
        return
    gate = GateSpec(checks=asked)
    evidence = collect(away, version, bundle, gate)
    outcomes = judge(
        gate, evidence, (), subject=version.bundle, at=away.clock.now(), champion_known=False,
        model=version.name, number=version.number,
    )  # fmt: skip
    for outcome in outcomes:
        state = _STATES.get(outcome.result, "skipped")
        found = Found(state, outcome.found, outcome.fix if state == "failed" else "")
        if state == "failed" and not is_whole:
            told = f"Not on this sample: {outcome.found}. The gate judges the model that learnt from all rows."
            found = Found("skipped", told, "See it with all rows: slipway ci check --rows 0")
        yield look(_MODEL, f"{one.name}: {outcome.check}", lambda: found)  # noqa: B023


def in_vain(one: Trained, state: State = "skipped") -> Found:
    """Why nothing can be asked of a package that is not there.

    Args:
        one: What came of the pipeline.
        state: What it counts as where packing failed: that is a failure once, where it is looked at.
    """
    if one.packed is not None:
        return Found(state, f"There is no package: {one.packed.sentence}", one.packed.fix, one.packed.detail)
    return Found("skipped", f"There is no model: {one.found.sentence}", one.found.fix)
