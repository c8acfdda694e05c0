"""What counts once: that failures which come together are no more evidence than one, and that sampling moves no share."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from slipway.records.rollouts import CanarySpec
from slipway.rollout.guardrails import Seen
from slipway.rollout.judge_canary import judge_canary, judge_guards
from slipway.rollout.units import arm_counts, once
from slipway.tables.log_sampling import is_logged

BEGAN = datetime(2013, 4, 15, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
FAILED = {"at": INSTANT, "answered_at": INSTANT, "revision": pl.Int64, "arm": pl.String, "rows": pl.Int64,
          "was_covered": pl.Boolean, "kind": pl.String}  # fmt: skip
SPEC = CanarySpec()
ARMS = ("champion", "challenger")


class Traffic(NamedTuple):
    """The log of a canary, and its counts as they would be by rows."""

    answered: pl.DataFrame
    failed: pl.DataFrame
    by_row: pl.DataFrame


def traffic(
    random: np.random.Generator,
    rates: tuple[float, float] = (0.05, 0.05),
    *,
    hours: int = 6,
    requests: int = 25,
    sizes: tuple[int, ...] = (50,),
    fraction: float = 0.5,
    log_share: float = 1.0,
) -> Traffic:
    """Requests whose rows are drawn one by one; each arm is asked once a request, and that call fails as a whole.

    Where one arm fails the other answers in its place, if it was asked at all.
    """
    rows: list[tuple[Any, ...]] = []
    failed: list[tuple[Any, ...]] = []
    counted = {name: [0] * hours for name in ("champion_rows", "champion_failures", "challenger_rows", "challenger_failures")}  # fmt: skip
    for place in range(hours * requests):
        hour, size = place // requests, int(random.choice(sizes))
        at = BEGAN + timedelta(hours=hour, seconds=3600 * (place % requests) / requests)
        theirs = int(random.binomial(size, fraction))
        of = dict(zip(ARMS, (size - theirs, theirs), strict=True))
        fails = {arm: n > 0 and random.random() < rate for (arm, n), rate in zip(of.items(), rates, strict=True)}
        for arm, n in of.items():
            counted[f"{arm}_rows"][hour] += n
            counted[f"{arm}_failures"][hour] += n * fails[arm]
            other = ARMS[1 - ARMS.index(arm)]
            is_covered = arm == "challenger" or (of[other] > 0 and not fails[other])
            if fails[arm]:
                failed.append((at, at, 2, arm, n, is_covered, "error"))
            if not fails[arm] or is_covered:
                side = (arm, fraction if arm == "challenger" else 1 - fraction) if not fails[arm] else (other, 1.0)
                ids = (f"{place}.{arm}.{i}" for i in range(n))
                rows += [(id, at, *side) for id in ids if log_share >= 1 or is_logged(id, log_share)]
    schema = {"id": pl.String, "at": INSTANT, "arm": pl.String, "propensity": pl.Float64}
    answered = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        answered_at="at", bundle=pl.lit(""), key=pl.lit(""), score=0.5, decision=None, revision=pl.lit(2, pl.Int64),
        log_share=log_share, fallback=pl.lit(""), label=None,
    )  # fmt: skip
    blocks = pl.DataFrame({"at": [BEGAN + timedelta(hours=hour) for hour in range(hours)], **counted})
    return Traffic(answered, pl.DataFrame(failed, schema=FAILED, orient="row"), blocks)


def is_worse(counts: pl.DataFrame) -> bool:
    return bool(judge_guards(SPEC, counts, Seen()).worse)


def false_rollbacks(runs: int, seed: int, **how: Any) -> tuple[float, float]:
    """The shares of identical canaries that are stopped, by rows and by requests."""
    random = np.random.default_rng(seed)
    wrong = np.zeros(2)
    for _ in range(runs):
        found = traffic(random, **how)
        fraction = how.get("fraction", 0.5)
        wrong += [is_worse(found.by_row), is_worse(arm_counts(found.answered, found.failed, {2: fraction}))]
    return float(wrong[0] / runs), float(wrong[1] / runs)


def test_requests_that_fail_whole_stop_no_canary_that_is_as_good() -> None:
    by_row, by_request = false_rollbacks(12, seed=3)
    assert by_row > 0.3, "counted by rows, a request of fifty is fifty times as certain"
    assert by_request == 0.0


@pytest.mark.full
@pytest.mark.parametrize(
    ("fraction", "sizes"),
    [
        (0.5, (50,)),
        pytest.param(0.1, (50,), marks=pytest.mark.long),
        pytest.param(0.5, (1, 5, 200), marks=pytest.mark.long),
    ],
)
def test_false_rollbacks_stay_within_alpha_whatever_the_size_of_requests(
    fraction: float, sizes: tuple[int, ...]
) -> None:
    by_row, by_request = false_rollbacks(200, seed=11, fraction=fraction, sizes=sizes, hours=20)
    assert by_row > 0.05
    assert by_request <= 0.01


def test_of_single_rows_each_is_a_request() -> None:
    found = traffic(np.random.default_rng(5), sizes=(1,), requests=100)
    counts = arm_counts(found.answered, found.failed, {2: 0.5})
    for name in ("champion_rows", "champion_failures", "challenger_rows", "challenger_failures"):
        assert counts[name].to_list() == found.by_row[name].to_list()


@pytest.mark.parametrize(
    ("requests", "sizes", "most", "runs"),
    [
        pytest.param(200, (1,), 100, 201, marks=pytest.mark.long),
        # Of larger requests both arms have one each: a champion that is seen less often tells less.
        (20, (50,), 200, 5),
        pytest.param(20, (50,), 200, 201, marks=pytest.mark.long),
    ],
)
def test_ten_percent_of_errors_are_found_within_few_requests(
    requests: int, sizes: tuple[int, ...], most: int, runs: int
) -> None:
    random, needed = np.random.default_rng(7), []
    for _ in range(runs):
        found = traffic(random, (0.01, 0.1), requests=requests, hours=14, sizes=sizes, fraction=0.1)
        counts = arm_counts(found.answered, found.failed, {2: 0.1})
        asked = counts["challenger_rows"].cum_sum()
        looks = (int(asked[i]) for i in range(counts.height) if is_worse(counts[: i + 1]))
        needed.append(next(looks, 10**9))
    assert float(np.median(needed)) <= most


def test_a_part_of_a_request_that_a_fallback_answered_is_a_part_of_one() -> None:
    found = traffic(np.random.default_rng(5), (0.0, 0.0), hours=1, requests=1)
    place = found.answered["arm"].to_list().index("champion")
    fallback = ["invalid" if i == place else "" for i in range(50)]
    answered = found.answered.with_columns(fallback=pl.Series(fallback))
    at = answered["at"][0]
    noted = pl.DataFrame([(at, at, 2, "champion", 1, False, "invalid")], schema=FAILED, orient="row")
    counts = arm_counts(answered, noted, {2: 0.5})
    own = answered.filter(pl.col("arm") == "champion").height
    assert counts["champion_rows"].to_list() == [1], "its failure stands in the log twice and counts once"
    for what in ("failures", "invalid", "fallback"):
        assert counts[f"champion_{what}"].to_list() == [pytest.approx(1 / own)]
    assert counts["champion_timeout"].to_list() == counts["challenger_failures"].to_list() == [0.0]


def test_what_neither_model_can_answer_is_no_evidence_however_often_it_is_asked() -> None:
    found = traffic(np.random.default_rng(5), (0.0, 0.0), sizes=(1,), requests=100)
    at = [BEGAN + timedelta(minutes=i) for i in range(200)]  # one caller, again and again: it stays in its arm

    def again(kind: str, *, is_covered: bool) -> pl.DataFrame:
        rows = [(one, one, 2, "challenger", 1, is_covered, kind) for one in at]
        return arm_counts(found.answered, pl.DataFrame(rows, schema=FAILED, orient="row"), {2: 0.5})

    shared = again("error", is_covered=False)
    assert not is_worse(shared)
    look = judge_canary(SPEC, shared, step=0, since=BEGAN, now=BEGAN + timedelta(days=1))
    assert look.verdict == "undecided", "its share of all failures is greater all the same, and no step is taken"
    assert ", the champion too on 200 of them, the champion on 0 of" in look.sentence
    assert is_worse(again("error", is_covered=True))
    assert is_worse(again("timeout", is_covered=False)), "one that hangs may make the other late"


def test_of_a_log_that_is_sampled_the_shares_are_those_of_all() -> None:
    random = np.random.default_rng(9)
    for sizes, fraction in (((1,), 0.5), ((1, 20), 0.1)):
        found = traffic(random, (0.2, 0.2), sizes=sizes, fraction=fraction, requests=500, log_share=0.1)
        counts = arm_counts(found.answered, found.failed, {2: fraction})
        look = judge_canary(SPEC, counts, step=0, since=BEGAN, now=BEGAN + timedelta(days=1))
        assert (
            "since the canary began, by the 0.1 of the rows that is logged and as much of the failures."
            in look.sentence
        )
        assert look.values["log_share"] == 0.1
        counts = counts.sum()
        assert found.failed.height > 500
        for arm in ARMS:
            share, n = counts[f"{arm}_failures"][0] / counts[f"{arm}_rows"][0], counts[f"{arm}_rows"][0]
            assert abs(share - 0.2) < 3.5 * math.sqrt(0.2 * 0.8 / n), "failures are logged always, answers in part"


def test_an_entity_counts_once_with_what_came_first() -> None:
    rows = pl.DataFrame({"id": ["1", "2", "3", "4"], "key": ["a", "", "a", ""], "loss": [0.0, 1.0, 1.0, 0.5]})
    assert once(rows)["loss"].to_list() == [0.0, 1.0, 0.5]
