"""What the endpoint's page shows of a roll-out: where it stands or ended, the plan in words, the evidence in a picture."""

import math
from typing import Any

import msgspec
import pytest

from filled_loop import loop_records, on
from slipway.records.rollouts import CanarySpec, Look, Rollout, RolloutSpec, ShadowSpec
from slipway.server.rollouts import evidence_charts, plan, stages

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


def test_the_picture_shows_each_look_beside_what_is_allowed() -> None:
    (svg,) = evidence_charts(STOPPED)
    assert "5 looks; the last, 21 Jun: worse, at most" in svg
    assert "where 0.01 is allowed" in svg
    assert svg.count(">?<") == 4
    assert svg.count(">✕<") == 1
    bare = Look(at=on(6, 22), phase="shadow", verdict="undecided", sentence="", values={"difference": "x"})
    assert "5 looks" in evidence_charts(msgspec.structs.replace(STOPPED, looks=(*STOPPED.looks, bare)))[0]
    assert evidence_charts(msgspec.structs.replace(STOPPED, looks=())) == []


def test_steps_of_a_canary_are_marked_with_their_percentage() -> None:
    def look(day: int, step: int, bound: float, verdict: Any) -> Look:
        return Look(at=on(7, day), phase="canary", step=step, verdict=verdict, sentence="", values={"bound": bound})

    looks = (
        look(1, 0, 0.2, "undecided"),
        look(2, 0, 0.02, "not worse"),
        look(9, 1, 0.015, "not worse"),
        look(30, 9, math.nan, "worse"),
    )
    (svg,) = evidence_charts(msgspec.structs.replace(STOPPED, looks=looks))
    assert svg.count(">10 %<") == svg.count(">50 %<") == 1
    assert "3 looks; the last, 9 Jul: not worse, at most 1.5 worse, where 3 is allowed" in svg
