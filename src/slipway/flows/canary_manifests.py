"""One step of a declared roll-out as KServe is told of it: two images, and the share of requests that the second one gets.

KServe splits requests; it compares nothing and decides nothing. What a plan asks beyond that is refused by name, until
somebody says that it may stay behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slipway.errors import InvalidInput
from slipway.flows.judging import declared_endpoint
from slipway.flows.manifests import Serving, inference_service
from slipway.pipelines.workload import Document, label
from slipway.ports.workspace import Workspace
from slipway.records.models import Bundle
from slipway.records.rollouts import RolloutSpec
from slipway.schema.durations import in_words

__all__ = ["PLAN_LEFT_BEHIND", "canary_service", "check_plan"]

PLAN_LEFT_BEHIND = ("evidence", "guardrails", "rollback", "shadow", "sticky", "steps")
"""What a roll-out's plan asks and KServe does not do, by the word under which it may stay behind."""


def check_plan(
    workspace: Workspace, model: str, percent: int, champion: Bundle, challenger: Bundle, *, without: Sequence[str] = ()
) -> None:
    """Refuse a step that is not of the declared plan, and what of the plan would be left out silently.

    Args:
        workspace: Whose endpoint.
        model: The model's name, which is the endpoint's too.
        percent: The share of requests that the challenger gets.
        champion: What answers the others.
        challenger: What is rolled out.
        without: What may stay behind, of `PLAN_LEFT_BEHIND`.

    Raises:
        InvalidInput: No canary is declared, it has no such step, the two take other requests, or the plan asks what
            KServe does not do.
    """
    plan = declared_endpoint(workspace, model, model=model).rollout
    if plan is None or plan.canary is None:
        raise InvalidInput(
            f"The endpoint {model!r} is declared without a canary, so no step of it can be exported.",
            fix="Declare rollout=[sw.Canary(...)], or export without --canary.",
            field="canary",
        )
    steps = [step for step in plan.canary.steps if step < 100]
    if percent not in steps:
        raise InvalidInput(
            f"{percent} % is no step of the canary of {model!r} in which two versions answer.",
            why="At 100 % there is one version: promote it by exporting it alone.",
            fix=f"Its steps are {', '.join(map(str, steps))}." if steps else "Its only step is 100 %.",
            field="percent",
        )
    if champion.signature.inputs != challenger.signature.inputs:
        raise InvalidInput(
            f"The two versions of {model!r} do not take the same requests.",
            why="A caller does not know which of them will answer.",
            fix="Export the new one by itself, under another name.",
            field="canary",
        )
    found = [(word, told) for word, told in _beyond(plan) if word not in without]
    if found:
        raise InvalidInput(
            f"KServe does not do what the roll-out of {model!r} asks: {'; '.join(told for _, told in found)}.",
            why="It splits requests by weight, and leaves the rest to whoever watches.",
            fix="Roll it out by `slipway deploy`, or say that this may stay behind: "
            f"{' '.join(f'--without {word}' for word, _ in found)}.",
            field="without",
        )


def _beyond(plan: RolloutSpec) -> Iterator[tuple[str, str]]:
    canary = plan.canary
    assert canary is not None  # it was asked for
    if plan.shadow is not None:
        yield "shadow", f"first a shadow of at least {in_words(plan.shadow.min_us)}, judged by {plan.shadow.metric}"
    yield (
        "evidence",
        f"a margin of {canary.margin:g} that must be excluded at alpha {canary.alpha:g}, however often one looks",
    )
    yield "guardrails", "failures of both versions compared at the same time"
    yield "sticky", "rows assigned by their keys, so that a case keeps its version"
    if len(canary.steps) > 1:
        yield "steps", f"steps of {', '.join(map(str, canary.steps))} % that are taken by themselves"
    yield "rollback", "a challenger that is worse, or undecided at its deadline, taken back by itself"


def canary_service(champion: Serving, challenger: Serving, percent: int) -> Document:
    """A KServe InferenceService with both images; the second gets some percent of the requests.

    It is the form for plain Deployments, `spec.canary`, which KServe knows since 0.20: there the older field
    `canaryTrafficPercent` is passed over without a word, and everybody would get the new version.

    Args:
        champion: What answers the other requests.
        challenger: What is rolled out.
        percent: From 1 to 99.
    """
    document = inference_service(champion)
    document["spec"]["predictor"]["name"] = label(f"v{champion.number}")
    predictor = {**inference_service(challenger)["spec"]["predictor"], "name": label(f"v{challenger.number}")}
    del predictor["maxReplicas"]  # a canary is not scaled by load, and one that says so is refused
    document["spec"]["canary"] = [{"trafficPercent": percent, "predictor": predictor}]
    document["metadata"]["annotations"] |= {
        "slipway.dev/canary": f"{challenger.model}:{challenger.number}",
        "slipway.dev/canary-bundle": challenger.bundle,
    }
    return document
