"""What a shadow shows before any label: each limit stops a challenger that breaks it, and only those."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from slipway.records.rollouts import ShadowSpec
from slipway.rollout.judge_shadow import judge_shadow
from slipway.rollout.judge_unseen import VETO_ALPHA, Unseen, judge_unseen, unseen_words
from slipway.stats.evidence import log_e_share_above

BEGAN = datetime(2013, 4, 15, 3, tzinfo=UTC)
SPEC = ShadowSpec()
NO_PAIRS = pl.DataFrame(
    schema={
        "at": pl.Datetime("us", "UTC"),
        "label": pl.Float64,
        "champion": pl.Float64,
        "challenger": pl.Float64,
        "source": pl.String,
    }
)


def seen(n: int = 200, *, failed: Any = (), moves: Any = 0.0, flips: Any = False, times: float = 1.0, dropped: int = 0, champion_failures: int = 0, waiting: int = 0) -> Unseen:  # fmt: skip
    """Rows a minute apart; the challenger fails on some, and takes so many times the champion's time in one of eight."""
    is_failed = np.zeros(n, bool)
    is_failed[list(failed)] = True
    compared = np.arange(n) >= dropped
    scores = np.where(is_failed | ~compared, np.nan, 0.5 + np.broadcast_to(moves, n))
    rows = pl.DataFrame(
        {
            "at": pl.Series([BEGAN + timedelta(minutes=i) for i in range(n)], dtype=pl.Datetime("us", "UTC")),
            "answered_at": pl.Series([BEGAN + timedelta(minutes=i) for i in range(n)], dtype=pl.Datetime("us", "UTC")),
            "revision": 2,
            "id": [f"p{i}" for i in range(n)],
            "key": [f"k{i}" for i in range(n)],
            "champion": np.full(n, 0.5),
            "compared": compared,
            "challenger": pl.Series(scores).fill_nan(None),
            "problem": ["invalid" if one else "" for one in is_failed],
            "flips": np.broadcast_to(flips, n),
            "took_ns": np.full(n, int(1000 * times)),
            "beside_ns": [1000 if i % 8 == 0 else 0 for i in range(n)],
        }
    )
    failures = pl.DataFrame(
        {"at": [BEGAN + timedelta(minutes=i) for i in range(champion_failures)], "requests": [1] * champion_failures},
        schema={"at": pl.Datetime("us", "UTC"), "requests": pl.Int64},
    )
    return Unseen(rows=rows, failures=failures, waiting=waiting)


def test_two_equal_models_give_no_veto_and_the_figures_add_up() -> None:
    found = judge_unseen(SPEC, seen(dropped=7, waiting=3))
    values = found.values["unseen"]
    assert found.said == ()
    assert (values["sampled"], values["compared"], values["dropped"], values["waiting"]) == (200, 193, 4, 3)
    words = unseen_words(values, found.values["took"])
    assert words == (
        "Both scored 193 of 200 sampled rows (4 dropped, 3 waiting): the challenger failed on 0, its scores are +0 away on "
        "average (90 % from +0 to +0), 0.0% would be decided otherwise, a row took 1 times the champion's time."
    )


def test_invalid_answers_stop_it_within_few_rows() -> None:
    found = judge_unseen(SPEC, seen(12, failed=range(12)))
    assert found.said == (
        "Worse: it failed on 12 of 12 rows that the champion could score (12 invalid); the champion failed on 0 requests.",
    )
    assert judge_unseen(SPEC, seen(200, failed=[3])).said == ()


def test_rows_of_one_request_tell_what_one_tells() -> None:
    found = seen(200, failed=range(50), flips=np.arange(200) < 50)
    declared = msgspec.structs.replace(SPEC, most_flips=0.05)
    assert judge_unseen(declared, found).said
    at = pl.when(pl.int_range(200) < 50).then(pl.lit(BEGAN)).otherwise("at")
    together = found.rows.with_columns(at.alias("at"), at.alias("answered_at"))
    assert judge_unseen(declared, replace(found, rows=together)).said == ()


def test_an_entity_that_asks_again_is_decided_otherwise_once() -> None:
    found = seen(200, flips=np.arange(200) < 50)
    declared = msgspec.structs.replace(SPEC, most_flips=0.05)
    one = pl.when(pl.int_range(200) < 50).then(pl.lit("k0")).otherwise("key")
    assert judge_unseen(declared, replace(found, rows=found.rows.with_columns(one.alias("key")))).said == ()
    assert judge_unseen(declared, found).said
    failing = seen(50, failed=range(20))
    again = failing.rows.with_columns(key=pl.when(pl.int_range(50) < 20).then(pl.lit("k0")).otherwise("key"))
    assert judge_unseen(SPEC, failing).said
    assert judge_unseen(SPEC, replace(failing, rows=again)).said == ()


def test_a_champion_that_fails_as_often_is_no_evidence() -> None:
    failing = range(0, 200, 10)
    assert judge_unseen(SPEC, seen(failed=failing)).said
    assert judge_unseen(SPEC, seen(failed=failing, champion_failures=20)).said == ()


@pytest.mark.parametrize(
    ("limits", "rows"),
    [
        ({"most_flips": 0.05}, {"flips": np.arange(200) % 4 == 0}),
        ({"most_moved": 0.1}, {"moves": 0.2}),
        ({"most_slower": 2.0}, {"times": 5.0}),
    ],
)
def test_a_limit_stops_where_it_is_declared_and_shows_where_not(limits: dict[str, float], rows: dict[str, Any]) -> None:
    bad = seen(**rows)
    declared = msgspec.structs.replace(SPEC, **limits)
    assert judge_unseen(SPEC, bad).said == ()
    assert len(judge_unseen(declared, bad).said) == 1
    assert judge_unseen(declared, seen()).said == ()


def test_machine_time_is_not_judged_in_simulation() -> None:
    declared = ShadowSpec(most_slower=2.0)
    assert judge_unseen(declared, seen(times=5.0), in_simulation=True).said == ()


def test_a_veto_makes_a_look_worse_without_any_label() -> None:
    look = judge_shadow(SPEC, NO_PAIRS, since=BEGAN, now=BEGAN + timedelta(hours=4), unseen=seen(50, failed=range(50)))
    assert (look.verdict, look.values["unseen"]["problems"]) == ("worse", {"invalid": 50})
    assert "Worse: it failed on 50 of 50 rows" in look.sentence
    still = judge_shadow(SPEC, NO_PAIRS, since=BEGAN, now=BEGAN + timedelta(hours=4), unseen=seen(50))
    assert still.verdict == "undecided"


@pytest.mark.parametrize("metric", ["squared_error", "absolute_error"])
def test_a_regression_is_compared_by_its_errors(metric: str) -> None:
    spec = ShadowSpec(metric=metric, margin=0.5)
    at = [BEGAN + timedelta(days=day, minutes=i) for day in range(-9, 4) for i in range(20)]
    truth = np.array([100.0 + i % 7 for i in range(len(at))])

    def frame(off: float) -> pl.DataFrame:
        noise = np.array([0.01 * ((i // 20) % 3) for i in range(len(at))])
        return pl.DataFrame(
            {
                "at": pl.Series(at, dtype=pl.Datetime("us", "UTC")), "label": truth, "champion": truth + 1.0,
                "challenger": truth + off + noise, "source": ["live" if one >= BEGAN else "replayed" for one in at],
            }
        )  # fmt: skip

    now = BEGAN + timedelta(days=5)
    assert judge_shadow(spec, frame(0.9), since=BEGAN, now=now).verdict == "not worse"
    worse = judge_shadow(spec, frame(3.0), since=BEGAN, now=now)
    assert worse.verdict == "worse"
    assert worse.values["difference"] == pytest.approx(8.0 if metric == "squared_error" else 2.0, rel=0.02)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_share_at_its_limit_is_found_to_be_above_it_seldom_however_often_one_looks(share: float) -> None:
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(300):
        hits = np.cumsum(rng.random(1000) < share)
        wrong += any(
            log_e_share_above(int(hits[n]), n + 1, share=share) >= np.log(1 / VETO_ALPHA) for n in range(0, 1000, 10)
        )
    assert wrong <= 8  # 1 % of 300 is 3
    assert log_e_share_above(100, 1000, share=0.05) > np.log(1 / VETO_ALPHA)
    assert log_e_share_above(0, 0, share=share) == pytest.approx(0.0)
