"""Phases as declared: what cannot work is refused where it is written."""

import math
from typing import Any

import msgspec
import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration
from slipway.records.rollouts import CanarySpec, ShadowSpec
from slipway.rollout.declare import METRICS, Canary, Shadow
from slipway.stats.metrics import METRICS as REGISTRY

DAY_US = 86_400_000_000


def test_phases_become_plain_data() -> None:
    shadow = sw.Shadow("brier", margin=0.02, at_least="36h", deadline="10d").spec()
    assert (shadow.metric, shadow.margin, shadow.alpha) == ("brier", 0.02, 0.05)
    assert (shadow.min_us, shadow.deadline_us) == (1.5 * DAY_US, 10 * DAY_US)
    canary = sw.Canary(steps=(5, 25, 100), alpha=0.02, deadline="36h").spec()
    assert (canary.steps, canary.margin, canary.alpha, canary.deadline_us) == ((5, 25, 100), 0.03, 0.02, 1.5 * DAY_US)
    assert msgspec.json.decode(msgspec.json.encode(canary), type=CanarySpec) == canary


def test_what_is_left_out_is_what_the_records_say() -> None:
    assert Shadow().spec() == ShadowSpec()
    assert Canary().spec() == CanarySpec()


def test_metrics_are_means_of_losses_that_the_registry_knows() -> None:
    of_regressions = {
        "absolute_error",
        "squared_error",
    }  # a row's loss; the registry has their means as "mae" and "rmse"
    assert all(REGISTRY[name].better == "lower" for name in set(METRICS) - of_regressions)
    with pytest.raises(InvalidDeclaration, match="log_loss"):
        Shadow("logloss")
    with pytest.raises(InvalidDeclaration, match="mean of losses"):
        Shadow("auc")


@pytest.mark.parametrize(
    "steps", [(), (10, 50), (50, 10, 100), (10, 10, 100), (0, 100), (0.1, 1.0), (10, 200), 100, "10"]
)
def test_steps_rise_to_all_rows(steps: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="steps=\\(10, 50, 100\\)"):
        Canary(steps=steps)


@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, "0.1", True, None])
@pytest.mark.parametrize("name", ["margin", "alpha"])
@pytest.mark.parametrize("phase", [Shadow, Canary])
def test_a_margin_or_alpha_that_cannot_work_is_refused(phase: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidDeclaration, match=f"{name} of a"):
        phase(**{name: value})


def test_shares_stay_below_their_limits() -> None:
    with pytest.raises(InvalidDeclaration, match=r"below 0\.5"):
        Shadow(alpha=0.5)
    with pytest.raises(InvalidDeclaration, match="below 1"):
        Canary(margin=3)


@pytest.mark.parametrize("written", [{"at_least": "12d"}, {"deadline": "2d"}, {"at_least": "0d", "deadline": "0d"}])
def test_a_shadow_has_time_to_be_decided(written: dict[str, str]) -> None:
    with pytest.raises(InvalidDeclaration, match="longer than at_least"):
        Shadow(**written)


def test_durations_are_written_as_everywhere() -> None:
    with pytest.raises(InvalidDeclaration, match="'6h'"):
        Shadow(at_least="3 days")
    with pytest.raises(InvalidDeclaration, match="'6h'"):
        Canary(deadline="1w")
    with pytest.raises(InvalidDeclaration, match="Give each step time"):
        Canary(deadline="0h")
