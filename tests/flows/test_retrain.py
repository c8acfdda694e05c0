"""What can be declared of a retraining, and what cannot."""

from datetime import date, timedelta
from typing import Any

import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration, SlipwayError
from slipway.records.loop import RetrainSpec, TriggerSpec

DAILY = sw.cron("0 3 * * *")


@sw.pipeline
def release(until: date = date(2013, 4, 1), rounds: int = 3) -> int:
    return rounds


@sw.pipeline
def plain() -> int:
    return 1


@sw.pipeline
def asking(until: date, depth: int) -> int:
    return depth


@sw.pipeline
def dated(until: date) -> int:
    return until.day


def test_a_retraining_as_data() -> None:
    spec = sw.Retrain(release, when=[sw.cron("0 3 1 * *", timezone="Europe/Berlin"), sw.degraded]).spec()
    assert spec == RetrainSpec(
        pipeline="release",
        definition=spec.definition,
        when=(
            TriggerSpec(kind="schedule", cron="0 3 1 * *", timezone="Europe/Berlin"),
            TriggerSpec(kind="degraded"),
        ),
        cooldown_us=timedelta(days=14) // timedelta(microseconds=1),
        until="until",
    )
    assert len(spec.definition) == 64
    assert sw.Retrain(plain, when=[DAILY]).spec().definition != spec.definition, "other code, other definition"


@pytest.mark.parametrize(("pipeline", "until"), [(release, "until"), (dated, "until"), (plain, "")])
def test_the_business_day_goes_to_a_parameter_of_that_name(pipeline: Any, until: str) -> None:
    assert sw.Retrain(pipeline, when=[DAILY]).spec().until == until


@pytest.mark.parametrize(
    "cron", ["", "daily", "0 3 1 *", "61 3 * * *", "0 3 32 * *", "0 3 30 2 *", "0 3 * * 1 2 3", None, 5]
)
def test_what_is_no_schedule(cron: Any) -> None:
    with pytest.raises(InvalidDeclaration, match=r"is no schedule.*Write five fields"):
        sw.cron(cron)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "", "../../etc/passwd", "/etc/passwd", None])
def test_what_is_no_time_zone(zone: Any) -> None:
    with pytest.raises(InvalidDeclaration, match=r"There is no time zone .*Europe/Berlin"):
        sw.cron("0 3 * * *", timezone=zone)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pipeline": "release"}, "'release' as its pipeline.*under @sw.pipeline"),
        ({"when": []}, r"\[\] as what asks for it.*sw.degraded"),
        ({"when": ["0 3 * * *"]}, r"\['0 3 \* \* \*'\] as what asks for it"),
        ({"when": sw.degraded}, "as what asks for it"),
        ({"pipeline": asking}, "needs 'depth', which a retraining cannot give.*default value"),
    ],
)
def test_what_is_no_retraining(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidDeclaration, match=words):
        sw.Retrain(**{"pipeline": release, "when": [DAILY], **given})


@pytest.mark.parametrize("cooldown", ["soon", "-3d", "", 14])
def test_a_cooldown_that_is_no_length_of_time(cooldown: Any) -> None:
    with pytest.raises(SlipwayError):
        sw.Retrain(release, when=[DAILY], cooldown=cooldown)


def test_an_endpoint_takes_a_retraining_and_nothing_else() -> None:
    sw.Endpoint("one", retrain=sw.Retrain(release, when=[DAILY]))
    with pytest.raises(InvalidDeclaration, match="as its retrain"):
        sw.Endpoint("one", retrain="0 3 * * *")  # type: ignore[arg-type]
