"""The guardrails of a canary: what each catches, what none of them takes for a fault, and what they leave undecided."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from slipway.records.rollouts import CanarySpec, Look
from slipway.rollout.declare import Canary
from slipway.rollout.guardrails import GUARDRAILS, Seen, guarded, split_evidence
from slipway.rollout.judge_canary import judge_canary
from slipway.rollout.judge_watch import judge_watch
from slipway.stats.evidence import sample_ratio

BEGAN = datetime(2013, 4, 15, 3, tzinfo=UTC)
SPEC = CanarySpec()
NEEDED = math.log(len(GUARDRAILS) / SPEC.alpha)


def counts(*blocks: tuple[float, float, float, float]) -> pl.DataFrame:
    """Blocks of an hour: champion's rows and what counts of them, challenger's rows and what counts of them."""
    names = ("champion_rows", "champion_failures", "challenger_rows", "challenger_failures")
    at = [BEGAN + timedelta(hours=place) for place in range(len(blocks))]
    schema = {"at": pl.Datetime("us", "UTC"), **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(
        {"at": at, **{name: [float(b[i]) for b in blocks] for i, name in enumerate(names)}}, schema=schema
    )


FINE = counts(*[(900, 9, 100, 1)] * 6)


def look(seen: Seen, *, frame: pl.DataFrame = FINE, spec: CanarySpec = SPEC, **more: Any) -> Look:
    return judge_canary(spec, frame, step=0, since=BEGAN, now=BEGAN + timedelta(days=1), seen=seen, **more)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("time-outs", "it takes too long more often"),
        ("invalid outputs", "its output is no valid score more often"),
        ("fallbacks", "the fallback answers for it more often"),
        ("slow answers", "its answers are slow more often"),
        ("KPI", "its labelled rows lose more"),
    ],
)
def test_each_guardrail_stops_a_challenger_and_is_named(name: str, words: str) -> None:
    found = look(Seen(guards={name: counts(*[(900, 9, 100, 20)] * 2)}))
    assert found.verdict == "worse"
    assert words in found.sentence
    assert "800 to 1 stops it" in found.sentence
    again = msgspec.json.decode(msgspec.json.encode(found), type=Look)
    assert again == found
    kept = again.values["guards"][name]
    at = [datetime.fromisoformat(each) for each in kept["at"]]
    columns = {key: value for key, value in kept.items() if key not in ("at", "log_e")}
    assert guarded(name, pl.DataFrame({"at": at, **columns})).log_e == kept["log_e"]
    alike = look(Seen(guards={name: counts(*[(900, 9, 100, 1)] * 2)}))
    assert alike.verdict == "not worse"


def test_answers_that_are_hardly_more_often_slow_stop_nobody() -> None:
    found = look(Seen(guards={"slow answers": counts(*[(90_000, 900, 10_000, 250)] * 6)}))
    assert found.values["guards"]["slow answers"]["log_e"] > NEEDED
    assert found.verdict == "not worse"


def test_a_kpi_that_was_asked_for_is_waited_for() -> None:
    spec = CanarySpec(kpi=0.1)
    none = look(Seen(), spec=spec)
    assert none.verdict == "undecided"
    assert "no row that it answered has a label yet" in none.sentence
    few = look(Seen(guards={"KPI": counts((90, 18, 10, 2))}), spec=spec)
    assert few.verdict == "undecided"
    assert "by 10 labels its mean loss may be up to" in few.sentence
    shown = look(Seen(guards={"KPI": counts(*[(900, 180.5, 300, 60.2)] * 6)}), spec=spec)
    assert shown.verdict == "not worse"


def test_losses_from_0_to_1_are_wrongly_stopped_as_seldom_as_promised() -> None:
    random = np.random.default_rng(5)
    stopped = 0
    for _ in range(300):
        blocks = []
        for _ in range(20):
            a, b = random.beta(0.5, 2.0, 90), random.beta(0.5, 2.0, 30)
            blocks.append((90, float(a.sum()), 30, float(b.sum())))
        stopped += guarded("KPI", counts(*blocks)).log_e >= math.log(1 / 0.05)
    assert stopped <= 15


def test_a_shift_of_scores_leaves_it_undecided_and_stops_nobody() -> None:
    constant = [counts(*[(900, 675, 100, 0)] * 4), counts(*[(900, 450, 100, 0)] * 4), counts(*[(900, 225, 100, 0)] * 4)]
    found = look(Seen(cuts=constant))
    assert found.verdict == "undecided"
    assert "its scores are not distributed as the champion's, by 75 percentage points at one cut" in found.sentence
    assert look(Seen(cuts=constant), is_quality_shown=True).verdict == "not worse", "labels have shown its quality"
    alike = [counts(*[(900, 675, 100, 75)] * 4), counts(*[(900, 450, 100, 51)] * 4), counts(*[(900, 225, 100, 25)] * 4)]
    assert look(Seen(cuts=alike)).verdict == "not worse"
    small = [counts(*[(90_000, 45_000, 10_000, 5_400)] * 4)]
    assert look(Seen(cuts=small)).verdict == "not worse", "four points apart are no shift"


def test_scores_that_are_turned_round_show_in_pairs_though_their_distribution_is_the_same() -> None:
    alike = [counts(*[(900, 450, 100, 50)] * 4)]
    at = [BEGAN + timedelta(hours=place) for place in range(4)]
    turned = pl.DataFrame({"at": at, "rows": [50] * 4, "apart": [49] * 4})
    found = look(Seen(cuts=alike, pairs=turned))
    assert found.verdict == "undecided"
    assert "lie on different sides of the middle for 98% of the same rows" in found.sentence
    usual = pl.DataFrame({"at": at, "rows": [50] * 4, "apart": [10] * 4})
    assert look(Seen(cuts=alike, pairs=usual)).verdict == "not worse"


def split(*blocks: tuple[float, int, int]) -> pl.DataFrame:
    at = [BEGAN + timedelta(hours=place) for place in range(len(blocks))]
    share, champion, challenger = zip(*blocks, strict=True)
    return pl.DataFrame({"at": at, "share": share, "champion": champion, "challenger": challenger})


def test_a_split_that_is_not_the_declared_one_voids_the_verdict() -> None:
    worse = counts(*[(900, 9, 100, 40)] * 6)
    for frame in (FINE, worse):
        found = look(Seen(split=split(*[(0.1, 900, 20)] * 3)), frame=frame)
        assert found.verdict == "undecided"
        assert found.values["is_void"]
        assert "of 2,760 cases the challenger was to have about 276 and had 60" in found.sentence
    steps = split((0.1, 905, 95), (0.5, 480, 520), (1.0, 0, 1000))
    fair = look(Seen(split=steps))
    assert fair.verdict == "not worse"
    assert not fair.values["is_void"]


def test_a_fair_split_is_hardly_ever_void() -> None:
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(300):
        drawn = [int(random.binomial(40, 0.1)) for _ in range(20)]
        wrong += split_evidence(split(*[(0.1, 40 - n, n) for n in drawn])) >= math.log(1 / 0.05)
    assert wrong <= 15
    assert sample_ratio([[0, 0]], (0.9, 0.1))[0] == pytest.approx(0.0)


def test_of_no_row_at_all_nothing_is_shown() -> None:
    nothing = counts()
    empty = dict.fromkeys(("time-outs", "slow answers", "KPI"), nothing)
    found = look(Seen(guards=empty, cuts=[nothing], split=split((0.1, 0, 0)).clear()), frame=nothing)
    assert found.verdict == "undecided"
    assert "nan" not in found.sentence


def test_late_labels_take_a_promoted_one_back() -> None:
    until = BEGAN + timedelta(days=2)
    bad = counts(*[(900, 90, 100, 40)] * 3)
    found = judge_watch(SPEC, bad, None, step=2, until=until, now=BEGAN)
    assert found.verdict == "worse"
    assert "Its 300 labelled rows of the canary lose 0.4 each, 0.1 with the former champion" in found.sentence
    fine = judge_watch(SPEC, counts((900, 90, 100, 10)), None, step=2, until=until, now=BEGAN)
    assert fine.verdict == "undecided"
    for nothing in (None, counts()):
        silent = judge_watch(SPEC, nothing, None, step=2, until=until, now=BEGAN)
        assert (silent.verdict, "its KPI is not known" in silent.sentence) == ("undecided", True)


def test_slow_and_kpi_are_declared() -> None:
    assert (Canary(slow="50ms").spec().slow_us, Canary(slow="2s").spec().slow_us, Canary().spec().slow_us) == (
        50_000, 2_000_000, 0,
    )  # fmt: skip
    assert (Canary(kpi=0.02).spec().kpi, Canary().spec().kpi) == (0.02, None)
    for wrong in ({"slow": "soon"}, {"slow": "0ms"}, {"kpi": 0.0}, {"kpi": 1.5}):
        with pytest.raises(Exception, match="canary"):
            Canary(**wrong)  # type: ignore[arg-type]
