"""What the log of a canary comes to, guardrail by guardrail."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest

import slipway as sw
from slipway.loop.evidence import canary_counts
from slipway.loop.guards import labelled, seen
from slipway.loop.kpi_guard import kpi_of
from slipway.records.endpoints import Contract, Served
from slipway.records.models import Bundle
from slipway.records.predictions import Arm, FailureRow, LabelRow, PredictionRow, ShadowRow
from slipway.records.rollouts import CanarySpec, Rollout, RolloutSpec
from slipway.records.schema import Field, Signature
from slipway.rollout.guardrails import COUNTS, Seen, guarded, shifted, split_evidence
from slipway.rollout.judge_canary import judge_canary
from slipway.tables.log_reader import LogReader
from slipway.tables.segments import SegmentWriter

BEGAN = datetime(2013, 4, 15, tzinfo=UTC)
CONTRACT = Contract(fields=(Field("k", "string"),), key=("k",))
SIGNATURE = Signature((Field("x", "float"),), ())
BUNDLES: dict[Arm, str] = {"champion": "1" * 16, "challenger": "2" * 16}
ROLLOUT = Rollout(
    id="r",
    project="p",
    name="e",
    created_at=BEGAN,
    parent_id="p/e",
    state="canary",
    champion=Served(model="m", number=1, bundle="1" * 64),
    challenger=Served(model="m", number=2, bundle="2" * 64),
    spec=RolloutSpec(canary=CanarySpec()),
    since=BEGAN,
)


def us(minute: float) -> int:
    return int((BEGAN + timedelta(minutes=minute)).timestamp() * 1e6)


def answered(place: int, arm: Arm, **changes: Any) -> PredictionRow:
    plain: dict[str, Any] = {
        "id": f"p{place}", "at_us": us(place), "answered_us": us(place), "version": 1, "bundle": BUNDLES[arm],
        "key": f"k{place}", "request": [f"k{place}"], "features": [1.0], "score": (place * 37 % 100) / 100,
        "revision": 2, "arm": arm, "propensity": 0.5, "took_us": 1000 + place % 100,
    }  # fmt: skip
    return PredictionRow(**{**plain, **changes})


def arm_at(place: int) -> Arm:
    return "challenger" if place * 7 % 10 < 5 else "champion"


def written(folder: Path, rows: Iterable[PredictionRow], **more: list[Any]) -> LogReader:
    for kind, some in {"predictions": list(rows), **more}.items():
        if some:
            writer = SegmentWriter(folder, kind)
            writer.append(some)
            writer.close()
    reader = LogReader(folder)
    reader.refresh(lambda number, bundle: (CONTRACT, SIGNATURE), BEGAN)
    return reader


SPEC = CanarySpec()


def looked(
    reader: LogReader,
    *,
    is_timed: bool = True,
    spec: CanarySpec = SPEC,
    costs: dict[str, float] | None = None,
) -> Seen:
    decision = SimpleNamespace(threshold=0.5 if costs else None, costs=costs or {})
    bundle = cast("Bundle", SimpleNamespace(task="classification", decision=decision))
    bundles: dict[Arm, Bundle] = {"champion": bundle, "challenger": bundle}
    counts = canary_counts(reader, ROLLOUT, {2: 0.5})
    return seen(reader, ROLLOUT, spec, {2: 0.5}, counts, bundles, is_timed=is_timed)


def totals(frame: pl.DataFrame) -> tuple[float, float, float, float]:
    found = frame.sum().select("champion_failures", "champion_rows", "challenger_failures", "challenger_rows").row(0)
    return cast("tuple[float, float, float, float]", found)


def test_failures_are_told_apart_by_their_kind(tmp_path: Path) -> None:
    failed = [
        FailureRow(us(5), us(5), 2, "challenger", BUNDLES["challenger"], 3, "predict", True, "timeout"),
        FailureRow(us(6), us(6), 2, "challenger", BUNDLES["challenger"], 2, "predict", True, "invalid"),
        FailureRow(us(7), us(7), 2, "champion", BUNDLES["champion"], 1, "predict", False, "error"),
    ]
    reader = written(tmp_path, (answered(i, arm_at(i)) for i in range(100)), failures=failed)
    found = looked(reader)
    assert totals(found.guards["time-outs"]) == (0, 51, 1, 52), "a request counts once, whatever its rows"
    assert totals(found.guards["invalid outputs"]) == (0, 51, 1, 52)
    assert totals(found.guards["fallbacks"]) == (0, 51, 0, 52)


def test_rows_that_one_arm_answers_for_the_other_are_the_other_s(tmp_path: Path) -> None:
    rows = [
        answered(i, "challenger" if i < 20 else "champion", propensity=1.0 if i < 5 or i >= 90 else 0.5)
        for i in range(100)
    ]
    failed = [
        FailureRow(us(2), us(2), 2, "champion", BUNDLES["champion"], 5, "predict", True, "error"),
        FailureRow(us(95), us(95), 2, "challenger", BUNDLES["challenger"], 10, "predict", True, "error"),
    ]
    reader = written(tmp_path, rows, failures=failed)
    counted = canary_counts(reader, ROLLOUT, {2: 0.5}).sum()
    assert counted.select("champion_rows", "champion_failures", "challenger_rows", "challenger_failures").row(0) == (
        71, 1, 16, 1,
    )  # fmt: skip
    split = looked(reader).split
    assert split is not None
    assert split.sum().select("champion", "challenger").row(0) == (75, 25)


def test_slow_answers_are_those_that_take_twice_the_champion_s_usual_time(tmp_path: Path) -> None:
    rows = [
        answered(i, arm_at(i), took_us=(5000 if arm_at(i) == "challenger" else 1000) + i % 100) for i in range(1000)
    ]
    found = looked(written(tmp_path, rows))
    _, champion, slow, challenger = totals(found.guards["slow answers"])
    assert slow == challenger > 250 < champion
    assert guarded("slow answers", found.guards["slow answers"]).log_e > 20
    assert [of for of, _ in found.slow_us] == ["1"]
    assert "slow answers" not in looked(written(tmp_path / "again", rows), is_timed=False).guards
    declared = looked(written(tmp_path / "more", rows), spec=CanarySpec(slow_us=10_000))
    assert totals(declared.guards["slow answers"])[2] == 0


def test_arms_with_more_rows_in_a_request_are_not_slow_for_that(tmp_path: Path) -> None:
    rows = []
    for i in range(1000):  # each a request of nine rows of the champion and one of the challenger
        same = {"at_us": us(i), "answered_us": us(i)}
        rows += [answered(10 * i + j, "champion", took_us=9000 + i % 100, **same) for j in range(9)]
        rows.append(answered(10 * i + 9, "challenger", took_us=1000 + i % 100, **same))
    found = looked(written(tmp_path, rows))
    shown = guarded("slow answers", found.guards["slow answers"])
    assert (shown.log_e, shown.difference) == (0.0, 0.0), "nothing of one size is beside nothing of another"


def test_the_kpi_is_the_loss_of_each_arm_s_own_labelled_rows(tmp_path: Path) -> None:
    rows = [answered(i, arm_at(i), score=0.9, decision=True) for i in range(200)]
    labels = [
        LabelRow("", f"k{i}", 0.0 if arm_at(i) == "challenger" else 1.0, us(i + 60), us(i + 60)) for i in range(100)
    ]
    reader = written(tmp_path, rows, labels=labels)
    lost, champion, worse, challenger = totals(looked(reader).guards["KPI"])
    assert (champion, challenger) == (50, 50)
    assert (round(lost, 6), round(worse, 6)) == (round(50 * 0.01, 6), round(50 * 0.81, 6))
    costly = looked(reader, costs={"false_positive": 4.0, "false_negative": 1.0}).guards["KPI"]
    assert totals(costly) == (0.0, 50, 50.0, 50)


def test_an_entity_that_asks_again_is_judged_by_its_first_labelled_answer(tmp_path: Path) -> None:
    rows = [answered(i, arm_at(i), score=0.9) for i in range(40)]
    again = [answered(100 + i, "challenger", key="k0", request=["k0"], score=0.9) for i in range(500)]
    labels = [LabelRow("", f"k{i}", 0.0 if i == 0 else 1.0, us(999), us(999)) for i in range(40)]
    found = looked(written(tmp_path, rows + again, labels=labels)).guards["KPI"]
    _, champion, lost, challenger = totals(found)
    assert (champion, challenger) == (20, 20)
    assert round(lost, 6) == round(0.81 + 19 * 0.01, 6)


def test_what_one_model_answered_for_the_other_is_nobody_s_evidence(tmp_path: Path) -> None:
    rows = [answered(i, arm_at(i), propensity=1.0 if i < 10 else 0.5) for i in range(40)]
    labels = [LabelRow("", f"k{i}", 1.0, us(999), us(999)) for i in range(40)]
    _, champion, _, challenger = totals(looked(written(tmp_path, rows, labels=labels)).guards["KPI"])
    assert (champion, challenger) == (15, 15)


def test_a_request_of_many_rows_that_nobody_answers_does_not_void_the_split(tmp_path: Path) -> None:
    rows = [answered(i, arm_at(i)) for i in range(400)]
    lost: list[FailureRow] = []
    for i in range(40):  # all rows of one key, or mixed; every request fails for both models
        of = {"champion": 45, "challenger": 5} if i % 4 == 0 else {arm_at(i): 500}
        lost += [FailureRow(us(i), us(i), 2, arm, BUNDLES[arm], n, "features", False, "error") for arm, n in of.items()]
    split = looked(written(tmp_path, rows, failures=lost)).split
    assert split is not None
    assert split.sum().select(pl.sum_horizontal("champion", "challenger")).item() == 440
    assert split_evidence(split) < 4


def test_a_labelled_row_without_a_decision_costs_nothing_and_is_told(tmp_path: Path) -> None:
    rows = [answered(i, arm_at(i), score=0.9, decision=None if arm_at(i) == "challenger" else True) for i in range(200)]
    labels = [LabelRow("", f"k{i}", 1.0, us(i + 60), us(i + 60)) for i in range(100)]
    reader = written(tmp_path, rows, labels=labels)
    dear = {"false_positive": 1.0, "false_negative": 9.0}
    found = looked(reader, costs=dear)
    assert totals(found.guards["KPI"]) == (0.0, 50, 0.0, 0), "a row on which nothing was decided is no 'no'"
    assert found.without_decision == {"champion": 0, "challenger": 50}
    spec, counts = CanarySpec(kpi=0.05), canary_counts(reader, ROLLOUT, {2: 0.5})
    look = judge_canary(spec, counts, step=0, since=BEGAN, now=BEGAN + timedelta(days=1), seen=found)
    assert look.verdict == "undecided"
    assert "no row that it answered has a label and a decision" in look.sentence
    assert "a label and no decision: 50 of the challenger, 0 of the champion." in look.sentence
    assert looked(reader).without_decision == {}, "the Brier score needs none"


def test_labels_that_never_come_show_nothing_and_promote_nobody_who_needs_them(tmp_path: Path) -> None:
    reader = written(tmp_path, (answered(i, arm_at(i)) for i in range(2000)))
    spec, counts = CanarySpec(kpi=0.05), canary_counts(reader, ROLLOUT, {2: 0.5})
    found = looked(reader, spec=spec)
    look = judge_canary(spec, counts, step=0, since=BEGAN, now=BEGAN + timedelta(days=8), seen=found)
    assert look.verdict == "undecided"
    assert "no row that it answered has a label yet" in look.sentence
    assert look.sentence.endswith("The deadline of 7 days has passed.")
    free = judge_canary(CanarySpec(), counts, step=0, since=BEGAN, now=BEGAN + timedelta(days=1), seen=found)
    assert free.verdict == "not worse"


def test_a_clock_that_jumps_shows_nothing_new(tmp_path: Path) -> None:
    rows = [answered(i, arm_at(i)) for i in range(300)]
    reader = written(tmp_path, rows)
    counts = canary_counts(reader, ROLLOUT, {2: 0.5})
    since = BEGAN + timedelta(days=30)  # the next step began after a jump ahead
    back = judge_canary(CanarySpec(), counts, step=1, since=since, now=BEGAN + timedelta(days=1), seen=looked(reader))
    assert back.verdict == "undecided"
    assert not back.values["is_overdue"], "a clock that went back is no deadline"
    ahead = judge_canary(
        CanarySpec(), counts, step=1, since=since, now=since + timedelta(days=400), seen=looked(reader)
    )
    assert ahead.verdict == "undecided"
    assert ahead.values["is_overdue"]


def test_a_constant_output_and_one_turned_round_are_seen(tmp_path: Path) -> None:
    constant = [answered(i, arm_at(i), **({"score": 0.5} if arm_at(i) == "challenger" else {})) for i in range(2000)]
    shown = shifted(looked(written(tmp_path, constant)))
    assert shown is not None
    assert shown.log_e > 10 and abs(shown.difference) > 0.1  # noqa: PT018
    rows = [answered(i, arm_at(i)) for i in range(2000)]
    other: dict[Arm, Arm] = {"champion": "challenger", "challenger": "champion"}
    turned = [ShadowRow(r.id, r.at_us, 2, other[r.arm], BUNDLES[other[r.arm]], 1 - r.score) for r in rows]
    shown = shifted(looked(written(tmp_path / "turned", rows, shadows=turned)))
    assert shown is not None
    assert shown.challenger > 0.8
    assert shown.log_e > 10
    same = [ShadowRow(r.id, r.at_us, 2, other[r.arm], BUNDLES[other[r.arm]], r.score) for r in rows]
    shown = shifted(looked(written(tmp_path / "same", rows, shadows=same)))
    assert shown is not None
    assert shown.log_e < 4


def test_a_case_that_asks_again_and_again_does_not_void_the_split(tmp_path: Path) -> None:
    rows = [answered(i, arm_at(i)) for i in range(400)]
    rows += [answered(1000 + i, "challenger", key="k0", request=["k0"]) for i in range(600)]
    split = looked(written(tmp_path, rows)).split
    assert split is not None
    assert split_evidence(split) < 4
    none = [answered(i, "champion") for i in range(400)]
    broken = looked(written(tmp_path / "none", none)).split
    assert broken is not None
    assert split_evidence(broken) > 20


def test_without_a_row_there_is_nothing(tmp_path: Path) -> None:
    reader = written(tmp_path, [])
    found = looked(reader)
    look = judge_canary(
        CanarySpec(),
        canary_counts(reader, ROLLOUT, {2: 0.5}),
        step=0,
        since=BEGAN,
        now=BEGAN + timedelta(days=1),
        seen=found,
    )
    assert look.verdict == "undecided"
    assert "it has answered no request yet" in look.sentence


def test_an_outage_that_both_share_after_a_step_within_the_hour_is_no_evidence(tmp_path: Path) -> None:
    """At 10 % nothing happens, at 50 % every third request of either arm takes too long: all of it within one hour."""
    rows, failed = [], []
    for i in range(1200):
        revision, instant = (2 if i < 1000 else 3), us(i / 60)
        arm: Arm = "challenger" if i % (10 if revision == 2 else 2) == 0 else "champion"
        if revision == 3 and i % 3 == 0:
            failed.append(FailureRow(instant, instant, 3, arm, BUNDLES[arm], 1, "predict", False, "timeout"))
        else:
            rows.append(answered(i, arm, at_us=instant, answered_us=instant, revision=revision))
    reader, fractions = written(tmp_path, rows, failures=failed), {2: 0.1, 3: 0.5}
    counts = canary_counts(reader, ROLLOUT, fractions)
    model = cast("Bundle", SimpleNamespace(task="classification", decision=SimpleNamespace(threshold=None, costs={})))
    found = seen(reader, ROLLOUT, SPEC, fractions, counts, {"champion": model, "challenger": model}, is_timed=True)
    assert counts["challenger_failures"].sum() == counts["champion_failures"].sum() > 30
    assert guarded("failures", counts).log_e < 1
    assert guarded("time-outs", found.guards["time-outs"]).log_e < 1
    whole = counts.group_by("at").sum()
    assert guarded("failures", whole).log_e > math.log(1e6), "in one block it would be certain"


PRICE = sw.MetricContract("price", value="100 * label if x > 0 else 0", between=(0, 100), guard=10, unit="EUR")
NOBODY: Any = None  # no table is named, so that nothing is opened


def earned(folder: Path, contract: sw.MetricContract, worth: dict[str, float]) -> Seen:
    rows = [answered(i, arm_at(i)) for i in range(2000)]
    labels = [LabelRow("", f"k{i}", worth[arm_at(i)], us(i + 1), us(i + 1)) for i in range(2000)]
    reader = written(folder, rows, labels=labels)
    counts = canary_counts(reader, ROLLOUT, {2: 0.5})
    spec = sw.Canary(kpi=contract).spec()
    return seen(reader, ROLLOUT, spec, {2: 0.5}, counts, {}, is_timed=False, kpi=kpi_of(NOBODY, spec))


def test_a_challenger_that_earns_less_is_shown_to(tmp_path: Path) -> None:
    found = earned(tmp_path, PRICE, {"champion": 0.6, "challenger": 0.3})
    shown = guarded("KPI", found.guards["KPI"])
    assert (100 - 100 * shown.champion, 100 - 100 * shown.challenger) == pytest.approx((60, 30))
    assert shown.log_e > 20
    alike = earned(tmp_path / "alike", PRICE, {"champion": 0.6, "challenger": 0.6})
    assert guarded("KPI", alike.guards["KPI"]).log_e < 3
    assert alike.untold == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("100 * label / (x - 1)", "divides by zero"),
        ("100 * label * y", "no column 'y'"),
        ("500 * label", "which the contract says that none does"),
    ],
)
def test_what_cannot_be_told_takes_no_step_and_says_why(tmp_path: Path, value: str, why: str) -> None:
    contract = sw.MetricContract("price", value=value, between=(0, 100), guard=10)
    found = earned(tmp_path, contract, {"champion": 0.6, "challenger": 0.6})
    assert "KPI" not in found.guards
    assert why in found.untold
    counts = pl.DataFrame(
        {
            "at": [BEGAN],
            "champion_failures": [0],
            "champion_rows": [5000],
            "challenger_failures": [0],
            "challenger_rows": [5000],
        }
    )
    spec = sw.Canary(kpi=contract).spec()
    judged = judge_canary(spec, counts, step=0, since=BEGAN, now=BEGAN, rows_since=5000, seen=found)
    assert judged.verdict == "undecided"
    assert why in judged.sentence


PER = sw.MetricContract(
    "price per seat", value="100 * label", per="seats", between=(0, 100), per_between=(0, 40), guard=1.5, unit="EUR"
)
SEATS = Contract(fields=(Field("k", "string"), Field("seats", "float")), key=("k",))


def per_seat(
    folder: Path, worth: dict[str, float], *, before: int = 600, since: int = 2000, seats: tuple[float, ...] = (10.0, 20.0, 30.0)
) -> Seen:  # fmt: skip
    """A canary under a ratio: the champion answered alone before it, minute by minute."""
    arms: dict[int, Arm] = {i: "champion" if i < 0 else arm_at(i) for i in range(-before, since)}
    rows = [
        answered(
            i, arm, request=[f"k{i}", seats[i % len(seats)]], revision=1 if i < 0 else 2, propensity=1.0 if i < 0 else 0.5
        )
        for i, arm in arms.items()
    ]  # fmt: skip
    labels = [LabelRow("", f"k{i}", worth[arm], us(i + 0.5), us(i + 0.5)) for i, arm in arms.items()]
    for kind, some in {"predictions": rows, "labels": labels}.items():
        writer = SegmentWriter(folder, kind)
        writer.append(some)
        writer.close()
    reader = LogReader(folder)
    reader.refresh(lambda number, bundle: (SEATS, SIGNATURE), BEGAN - timedelta(days=3))
    spec, counts = sw.Canary(kpi=PER).spec(), canary_counts(reader, ROLLOUT, {2: 0.5})
    kpi = kpi_of(NOBODY, spec, reader, ROLLOUT)
    return seen(reader, ROLLOUT, spec, {2: 0.5}, counts, {}, is_timed=False, kpi=kpi)


def judged(found: Seen) -> Any:
    counts = pl.DataFrame({"at": [BEGAN], **{one: [0 if "fail" in one else 5000] for one in COUNTS}})
    spec = sw.Canary(kpi=PER).spec()
    return judge_canary(spec, counts, step=0, since=BEGAN, now=BEGAN, rows_since=5000, seen=found)


def test_a_challenger_with_a_worse_ratio_is_stopped_and_an_equal_one_is_let_go_on(tmp_path: Path) -> None:
    worse = per_seat(tmp_path, {"champion": 0.6, "challenger": 0.3})
    assert guarded("KPI", worse.guards["KPI"]).log_e > 8
    assert judged(worse).verdict == "worse"
    alike = per_seat(tmp_path / "alike", {"champion": 0.6, "challenger": 0.6})
    assert alike.margin == pytest.approx(1.5 * 20 / (100 + 3 * 40)), "three a seat before it began"
    assert judged(alike).verdict == "not worse", judged(alike).sentence
    assert totals(alike.guards["KPI"])[1] > 900


def test_without_a_past_a_ratio_is_set_beside_the_first_rows_which_are_not_judged(tmp_path: Path) -> None:
    found = per_seat(tmp_path, {"champion": 0.6, "challenger": 0.3}, before=50)
    _, champion, _, challenger = totals(found.guards["KPI"])
    assert 700 < champion < 900
    assert 700 < challenger < 900
    assert judged(found).verdict == "worse"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"before": 50, "since": 200}, "are too few; 200 are needed"),
        ({"seats": (0.0,)}, "seats of all 200 predictions comes to 0"),
        ({"seats": (10.0, 50.0)}, "predictions have seats less than 0 or more than 40"),
    ],
)
def test_a_ratio_that_cannot_be_told_takes_no_step_and_says_why(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    found = per_seat(tmp_path, {"champion": 0.6, "challenger": 0.6}, **more)
    assert "KPI" not in found.guards
    assert why in found.untold
    assert judged(found).verdict == "undecided"
    assert why in judged(found).sentence


def test_no_label_is_no_reason(tmp_path: Path) -> None:
    assert (
        labelled(
            pl.DataFrame({"x": [1.0], "label": [None]}, schema_overrides={"label": pl.Float64}),
            {},
            kpi_of(NOBODY, sw.Canary(kpi=PRICE).spec()),
        )
        is None
    )
    assert kpi_of(NOBODY, SPEC) is None
