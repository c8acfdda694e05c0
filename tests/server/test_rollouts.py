"""What the endpoint's page shows of a roll-out: where it stands or ended, the plan in words, the evidence in a picture."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from filled_loop import loop_records, on
from slipway.records.rollouts import CanarySpec, Look, Rollout, RolloutSpec, ShadowSpec
from slipway.server.rollouts import evidence_chart, plan, stages

PROMOTED, STOPPED, UNDER_WAY = (one for one in loop_records("d" * 64) if isinstance(one, Rollout))


def places(rollout: Rollout) -> str:
    return ", ".join(f"{stage.title} {stage.place}" for stage in stages(rollout))


def test_the_way_says_where_a_rollout_stands() -> None:
    assert places(UNDER_WAY) == "shadow passed, 10 % passed, 50 % present, 100 % ahead, promoted ahead"
    assert places(PROMOTED) == "shadow passed, 10 % passed, 50 % passed, 100 % passed, promoted present"
    assert places(STOPPED) == "shadow ended, 10 % ahead, 50 % ahead, 100 % ahead, promoted ahead"


@pytest.mark.parametrize(
    ("changed", "way"),
    [
        ({"spec": RolloutSpec(shadow=ShadowSpec()), "state": "shadow", "step": 0}, "shadow present, promoted ahead"),
        ({"spec": RolloutSpec(canary=CanarySpec(steps=(20, 100))), "step": 0}, "20 % present, 100 % ahead, promoted ahead"),
        (
            {"spec": RolloutSpec(canary=CanarySpec(steps=(20, 100))), "state": "superseded", "looks": (), "ended_at": on(12, 23)},
            "20 % passed, 100 % ended, promoted ahead",
        ),
        (
            {"state": "undecided", "ended_at": on(12, 30)},
            "shadow passed, 10 % ended, 50 % ahead, 100 % ahead, promoted ahead",
        ),
    ],
)  # fmt: skip
def test_any_plan_can_be_shown(changed: dict[str, Any], way: str) -> None:
    assert places(msgspec.structs.replace(UNDER_WAY, **changed)) == way


def test_the_plan_in_words() -> None:
    assert plan(UNDER_WAY) == (
        "in shadow for 3 days to 12 days, until log loss is shown to be less than 0.01 worse; then 10, 50, 100 % of the "
        "rows, while failures are shown to be less than 0.03 more frequent"
    )
    canary = msgspec.structs.replace(UNDER_WAY, spec=RolloutSpec(canary=CanarySpec(steps=(100,))))
    assert plan(canary).startswith("100 % of the rows")
    short = RolloutSpec(shadow=ShadowSpec(min_us=43_200_000_000, deadline_us=86_400_000_000))
    assert plan(msgspec.structs.replace(UNDER_WAY, spec=short)).startswith("in shadow for 0.5 days to 1 day,")


def test_the_picture_is_of_the_looks_in_shadow_that_have_figures() -> None:
    svg = evidence_chart(STOPPED)
    assert "5 looks; the last, 21 Jun: 0.0214" in svg
    assert ">margin<" in svg
    bare = Look(at=on(6, 22), phase="shadow", verdict="undecided", sentence="", values={"difference": "x"})
    assert "5 looks" in evidence_chart(msgspec.structs.replace(STOPPED, looks=(*STOPPED.looks, bare)))
    assert evidence_chart(msgspec.structs.replace(STOPPED, looks=STOPPED.looks[:1])) == ""
    canary = [msgspec.structs.replace(look, phase="canary", at=look.at + timedelta(days=1)) for look in STOPPED.looks]
    assert evidence_chart(msgspec.structs.replace(STOPPED, looks=tuple(canary))) == ""
