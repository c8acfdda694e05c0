"""Curves that go wrong are found, curves that go well are left alone, and a run may end by it."""

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest

import slipway as sw
from slipway.errors import InvalidInput, RunStopped
from slipway.ports.workspace import Workspace
from slipway.runs import search, tracking
from slipway.runs.watching import Watch

Curve = Callable[[int, random.Random], float]


def kinds(curve: Curve, n: int, seeds: int = 60, validation: Curve | None = None, **options: int) -> Counter[str]:
    """In how many of the seeds each kind was found."""
    found: Counter[str] = Counter()
    for seed in range(seeds):
        chance = random.Random(seed)
        watch = Watch("loss", validation="val" if validation else "", **options)
        for step in range(n):
            seen = watch.see("loss", curve(step, chance), step)
            if validation:
                seen += watch.see("val", validation(step, chance), step)
            found.update(noticed.kind for noticed in seen)
    return found


def falling(over: float, noise: float) -> Curve:
    return lambda step, chance: math.exp(-step / over) + chance.gauss(0, noise)


def flat(step: int, chance: random.Random) -> float:
    return 1 + chance.gauss(0, 0.1)


def heavy(step: int, chance: random.Random) -> float:
    return math.exp(-step / 300) + 0.05 * chance.paretovariate(2)


@pytest.mark.parametrize(
    ("curve", "n"),
    [
        (falling(300, 0.05), 500),
        (falling(300, 0.3), 500),
        (falling(10, 0.02), 30),
        (falling(10, 0.2), 30),
        (heavy, 500),
    ],
    ids=["quiet", "noisy", "few epochs", "few noisy epochs", "outliers"],
)
def test_a_curve_that_falls_does_not_diverge(curve: Curve, n: int) -> None:
    assert kinds(curve, n)["diverging"] <= 1


def test_noise_alone_is_no_divergence() -> None:
    assert kinds(flat, 1000)["diverging"] <= 2


@pytest.mark.parametrize(
    "curve",
    [
        lambda step, chance: 0.1 * 1.05 ** max(0, step - 60) + math.exp(-step / 20) + chance.gauss(0, 0.02),
        lambda step, chance: math.exp(-step / 40) + 0.02 * max(0, step - 100) + chance.gauss(0, 0.05),
        lambda step, chance: 1 + 0.1 * step + chance.gauss(0, 0.1),
    ],
    ids=["it explodes", "it climbs", "it rises from the start"],
)
def test_a_curve_that_rises_diverges(curve: Curve) -> None:
    assert kinds(curve, 200)["diverging"] == 60


def test_one_outlier_is_no_divergence() -> None:
    assert kinds(lambda step, _: 50.0 if step == 100 else math.exp(-step / 100), 200)["diverging"] == 0


def test_a_plateau_is_found_and_a_slope_is_none() -> None:
    assert kinds(falling(30, 0.02), 400)["plateau"] == 60
    assert kinds(flat, 120)["plateau"] == 60
    assert kinds(lambda step, chance: 10 - 0.01 * step + chance.gauss(0, 0.1), 500)["plateau"] == 0
    assert kinds(falling(30, 0.0), 60)["plateau"] == 0, "too early to tell"
    assert kinds(falling(10, 0.01), 100, patience=10)["plateau"] == 60


def test_overfitting_is_a_validation_that_rises_while_training_falls() -> None:
    def worse(step: int, chance: random.Random) -> float:
        return 0.3 + math.exp(-step / 20) + 0.008 * max(0, step - 40) + chance.gauss(0, 0.02)

    def fine(step: int, chance: random.Random) -> float:
        return 0.3 + math.exp(-step / 20) + chance.gauss(0, 0.02)

    assert kinds(falling(30, 0.02), 100, validation=worse)["overfitting"] == 60
    assert kinds(falling(30, 0.02), 100, validation=fine)["overfitting"] == 0
    both_rise = kinds(worse, 100, validation=worse)
    assert both_rise["overfitting"] == 0, "training does not go on falling: no learning by heart"


def test_what_is_better_may_rise() -> None:
    def found(rises: bool) -> list[str]:
        watch = Watch("auc", higher_is_better=True)
        values = [1 - math.exp(-n / 10) if rises else 0.9 - 0.01 * n for n in range(40)]
        return [noticed.kind for step, value in enumerate(values) for noticed in watch.see("auc", value, step)]

    assert found(rises=True) == []
    assert found(rises=False) == ["diverging"]


def test_findings_stand_in_the_record(workspace: Workspace, said: list[str]) -> None:
    with tracking.start(workspace, "bad") as run:
        run.watch("loss")
        run.watch("auc", validation="val/auc", higher_is_better=True)
        for step in range(5):
            run.log_metrics({"loss": 1.0, "other": math.nan}, step)
        for step in range(5, 9):
            run.log_metric("loss", math.nan, step)
        run.log_metric("auc", math.inf, 3)
        assert [(one.kind, one.key, one.step) for one in run.findings] == [
            ("not finite", "loss", 5),
            ("not finite", "auc", 3),
        ]
    stored = search.get_run(workspace, run.id)
    assert stored.findings == run.findings
    assert stored.findings[0].words == "loss is nan at step 5"
    assert (stored.state, stored.ended_early) == ("finished", "")
    assert stored.tags[tracking.WATCHED] == "loss, auc, val/auc"
    assert sum("loss is nan" in line for line in said) == 1


def test_a_finding_may_end_the_run(workspace: Workspace) -> None:
    after = []
    with tracking.start(workspace, "bad") as run:
        run.watch("loss", stop=True)
        for step in range(10):
            run.log_metric("loss", math.nan if step == 3 else 1.0, step)
            after.append(step)
    assert after == [0, 1, 2], "the block ended there, and the script goes on"
    stored = search.get_run(workspace, run.id)
    assert (stored.state, stored.error) == ("finished", None)
    assert stored.ended_early == "The run was stopped: not finite: loss is nan at step 3."
    assert len(search.history(workspace, run.id, "loss")) == 4, "the point itself is kept"


def test_the_exception_may_be_caught_inside(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        run.watch("loss", stop=True)
        with pytest.raises(RunStopped, match="loss is inf at step 0") as stopped:
            run.log_metric("loss", math.inf)
        assert stopped.value.run_id == run.id
        run.log_metric("loss", 1.0, 1)
    assert search.get_run(workspace, run.id).ended_early == ""


def test_an_inner_run_that_stops_ends_alone(workspace: Workspace) -> None:
    with tracking.start(workspace, "outer") as outer:
        with tracking.start(workspace, "inner") as inner:
            inner.watch("loss", stop=True)
            inner.log_metric("loss", math.nan)
        outer.log_metric("loss", 1.0)
    assert search.get_run(workspace, inner.id).ended_early
    assert search.get_run(workspace, outer.id).ended_early == ""
    with pytest.raises(RunStopped), tracking.start(workspace, "inner") as failed:
        raise RunStopped("Of another run.", run_id=outer.id, fix="x")
    assert search.get_run(workspace, failed.id).state == "failed"


def test_what_cannot_be_watched_is_refused(workspace: Workspace) -> None:
    with tracking.start(workspace) as run:
        with pytest.raises(InvalidInput, match="key of a metric"):
            run.watch("a\nb")
        with pytest.raises(InvalidInput, match="patience"):
            run.watch("loss", patience=1)


def test_the_check_of_the_gate_is_a_declaration() -> None:
    assert sw.no_finding().spec.kind == "no_finding"
