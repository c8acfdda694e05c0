"""A step of a roll-out as KServe is told of it: two images and a share, and what KServe does not do is refused by name."""

from typing import Any

import msgspec
import pytest
from test_manifests import IMAGE, KSERVE, _declare, _read, _serving
from test_manifests import version as version  # a fixture

from slipway.errors import InvalidInput
from slipway.flows.canary_manifests import PLAN_LEFT_BEHIND, canary_service, check_plan
from slipway.models import registry
from slipway.pipelines.workload import Document
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.rollouts import CanarySpec, RolloutSpec, ShadowSpec
from slipway.records.schema import Signature

PLAN = RolloutSpec(shadow=ShadowSpec(), canary=CanarySpec(steps=(10, 50, 100)))


def _check(workspace: Workspace, version: ModelVersion, *without: str, percent: int = 10) -> None:
    bundle = registry.bundle_of(workspace, version)
    check_plan(workspace, version.name, percent, bundle, bundle, without=without)


def _document(workspace: Workspace, version: ModelVersion) -> Document:
    work = _serving(workspace, version, "rollout")
    other = msgspec.structs.replace(work, number=2, bundle="b" * 64, image=IMAGE.replace("a" * 64, "c" * 64))
    return canary_service(work, other, 10)


def test_two_images_and_a_share(workspace: Workspace, version: ModelVersion) -> None:
    _declare(workspace, workers=3, rollout=PLAN)
    document = _document(workspace, version)
    stable, (canary,) = document["spec"]["predictor"], document["spec"]["canary"]
    assert (stable["name"], canary["predictor"]["name"], canary["trafficPercent"]) == ("v1", "v2", 10)
    assert stable["containers"][0]["image"] == IMAGE
    assert canary["predictor"]["containers"][0]["image"].endswith("c" * 64)
    assert "maxReplicas" not in canary["predictor"]
    assert document["metadata"]["annotations"]["slipway.dev/canary"] == "late_flights:2"
    assert "canaryTrafficPercent" not in str(document), "plain Deployments pass it over"


@pytest.mark.parametrize("word", PLAN_LEFT_BEHIND)
def test_what_the_plan_asks_beyond_a_share_is_refused_until_somebody_says_that_it_may_stay(
    workspace: Workspace, version: ModelVersion, word: str
) -> None:
    _declare(workspace, rollout=PLAN)
    with pytest.raises(InvalidInput, match=f"--without {word}[.]") as refused:
        _check(workspace, version, *({*PLAN_LEFT_BEHIND} - {word}))
    assert str(refused.value).count("--without") == 1
    _check(workspace, version, *PLAN_LEFT_BEHIND)


@pytest.mark.parametrize(
    ("plan", "percent", "told"),
    [
        (None, 10, "declared without a canary"),
        (RolloutSpec(shadow=ShadowSpec()), 10, "declared without a canary"),
        (PLAN, 20, "Its steps are 10, 50"),
        (RolloutSpec(canary=CanarySpec(steps=(100,))), 10, "Its only step is 100"),
    ],
)
def test_only_a_step_of_the_declared_plan_is_exported(
    workspace: Workspace, version: ModelVersion, plan: RolloutSpec | None, percent: int, told: str
) -> None:
    _declare(workspace, rollout=plan)
    with pytest.raises(InvalidInput, match=told):
        _check(workspace, version, *PLAN_LEFT_BEHIND, percent=percent)


def test_versions_that_take_other_requests_are_refused(workspace: Workspace, version: ModelVersion) -> None:
    _declare(workspace, rollout=PLAN)
    bundle = registry.bundle_of(workspace, version)
    other: Any = msgspec.structs.replace(bundle, signature=Signature((), ()))
    with pytest.raises(InvalidInput, match="do not take the same requests"):
        check_plan(workspace, version.name, 10, bundle, other, without=PLAN_LEFT_BEHIND)


@pytest.mark.full
def test_the_client_of_kserve_takes_it_whole(workspace: Workspace, version: ModelVersion) -> None:
    if not KSERVE.exists():
        pytest.skip("kserve is not installed: make .venv/stamps/kserve")
    _declare(workspace, rollout=PLAN)
    wanted = _document(workspace, version)
    assert _read(wanted) == wanted
    wanted["spec"]["canary"][0]["trafficPercentage"] = 10
    assert _read(wanted) != wanted
