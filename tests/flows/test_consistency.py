"""Served features beside offline: nothing is reported when nothing is wrong, one wrong value is, and late data is told apart."""

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
from click.testing import CliRunner
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.cli import main
from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidInput
from slipway.features.materialise import Arrival, events_between
from slipway.flows.consistency import consistency
from slipway.flows.endpoints import get_endpoint, list_reports
from slipway.flows.judging import declared_endpoint, judge_version
from slipway.flows.replay import Delivery
from slipway.flows.watch import watch
from slipway.models import registry
from slipway.operations.declare import Empty
from slipway.operations.endpoints import Consistency, GetEndpoint, Watch
from slipway.records.consistency import ConsistencyReport
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.tables import versions
from slipway.tables.personal import MASK
from slipway.tables.versions import Origin, overwrite

START = datetime(2013, 4, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURS = 24


@dataclass
class Traffic:
    """Two flights an hour are asked, and what becomes known is pushed before them.

    Args:
        desk: The project.
        client: Its endpoint.
        held: Which arrivals are kept back, and until which hour.
    """

    desk: Desk
    client: EndpointClient
    held: Callable[[Arrival], datetime | None] = lambda arrival: None
    before: Callable[[int], None] = lambda hour: None
    after: Callable[[int], None] = lambda hour: None
    _waiting: list[tuple[datetime, Arrival]] = field(default_factory=list)

    def run(self, hours: int = HOURS) -> None:
        module, workspace = self.desk.project.module(), self.desk.workspace
        bundle = registry.bundle_of(workspace, self.desk.version(FIRST))
        assert bundle.features is not None
        end = START + hours * HOUR
        arrivals = list(events_between(workspace, bundle.features, START, end, views=module.features.views))
        asked = versions.read(workspace, "flights").filter(pl.col("asked_at").is_between(START, end)).collect()
        prompt = [a for a in arrivals if self.held(a) is None]
        self._waiting = [(until, a) for a in arrivals if (until := self.held(a)) is not None]
        delivery = Delivery(self.client, prompt, module.features.views.keys(), ())
        for hour in range(hours):
            at = START + hour * HOUR + timedelta(minutes=1)
            delivery.events_up_to(at)
            self._release(at)
            self.before(hour)
            rows = asked.filter(pl.col("asked_at") == START + hour * HOUR)
            wanted = [f.name for f in self.desk_contract()]
            self.client.predict(rows.select(wanted).to_dicts(), at=at)
            self.after(hour)
        self.client.settle()
        self.desk.clock.advance_to(end)

    def desk_contract(self) -> Sequence[Any]:
        return get_endpoint(self.desk.workspace, GetEndpoint(name=NAME)).revisions[0].contract.fields

    def _release(self, at: datetime) -> None:
        due = [(until, a) for until, a in self._waiting if until <= at]
        self._waiting = [(until, a) for until, a in self._waiting if until > at]
        for _, arrival in due:
            push = self.client.view_rows if arrival.name == "weather_now" else self.client.events
            push(arrival.name, [arrival.row])


@pytest.fixture
def client(desk: Desk) -> Iterator[EndpointClient]:
    """An endpoint in a process of its own, which serves the first version."""
    desk.approve(FIRST, BETTER)
    desk.declare(monitors=[sw.Consistency()])
    deployed = desk.deploy(FIRST)
    assert deployed.status is not None
    with EndpointClient(deployed.status.url, NAME) as found:
        yield found


def report_of(desk: Desk, **more: Any) -> ConsistencyReport:
    return consistency(desk.workspace, Consistency(name=NAME, since=START, **more))


def by_name(report: ConsistencyReport) -> dict[str, Any]:
    return {one.feature: one for one in report.features}


@contextmanager
def store_of(desk: Desk) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(desk.folder / "online.db", timeout=10)) as connection:
        yield connection
        connection.commit()


def test_nothing_is_reported_when_nothing_is_wrong(desk: Desk, client: EndpointClient) -> None:
    Traffic(desk, client).run(hours=200)
    report = report_of(desk)
    assert (report.rows, report.sampled, report.sample) == (400, 400, 1.0)
    names = {"origin_delay_6h", "origin_seen_6h", "weather_now_wind", "hour", "origin", "distance"}
    assert {one.feature for one in report.features} == names
    assert all(one.compared == 400 for one in report.features)
    assert (report.defects, report.late, report.ahead, report.share) == (0, 0, 0, 0.0)
    (finding,) = watch(desk.workspace, Watch(name=NAME)).findings
    assert (finding.name, finding.state) == ("consistency", "ok")
    assert "none is wrong" in finding.sentence


@pytest.mark.full
def test_the_command_asks_the_projects_own_queries(desk: Desk, client: EndpointClient) -> None:
    Traffic(desk, client).run(hours=6)
    where = ["-C", str(desk.project.folder), "--since", "2013-04-01"]
    told = CliRunner().invoke(main, ["endpoints", "consistency", NAME, *where])
    assert told.exit_code == 0, told.output
    assert "none is wrong" in told.output
    assert "weather_now_wind" in told.output
    said = CliRunner().invoke(main, ["endpoints", "consistency", NAME, *where, "--sample", "1/2", "--json"])
    assert msgspec.json.decode(said.stdout)["sample"] == 0.5
    wrong = CliRunner().invoke(main, ["endpoints", "consistency", NAME, *where, "--sample", "some"])
    assert wrong.exit_code != 0
    assert "'some' is no share." in wrong.output
    proven = CliRunner().invoke(main, ["features", "certify", NAME, "--version", str(FIRST), *where[:2]])
    assert proven.exit_code == 0, proven.output
    assert "are equal offline, online, stream and back-fill, bit for bit" in proven.output


@pytest.mark.full
def test_one_corrupted_value_in_a_thousand_is_reported(desk: Desk, client: EndpointClient) -> None:
    kept: list[Any] = []

    def corrupt(hour: int) -> None:
        if hour != 100:
            return
        with store_of(desk) as connection:
            (table,) = [n for (n,) in connection.execute("SELECT name FROM sqlite_master") if n.startswith("v_weather")]
            row = connection.execute(
                f'SELECT key, time_us, body FROM "{table}" WHERE key = ? ORDER BY time_us DESC', ("JFK",)
            ).fetchone()
            kept.append((table, *row))
            (wind,) = msgspec.msgpack.decode(row[2])
            body = msgspec.msgpack.encode((wind + 2.0**-40,))
            connection.execute(f'UPDATE "{table}" SET body = ? WHERE key = ? AND time_us = ?', (body, *row[:2]))

    def mend(hour: int) -> None:
        if hour == 100:
            table, key, time_us, body = kept[0]
            with store_of(desk) as connection:
                connection.execute(f'UPDATE "{table}" SET body = ? WHERE key = ? AND time_us = ?', (body, key, time_us))

    Traffic(desk, client, before=corrupt, after=mend).run(hours=200)
    report = report_of(desk)
    assert (report.defects, report.compared) == (1, 2400)
    wind = by_name(report)["weather_now_wind"]
    assert (wind.mismatches, wind.missing, wind.extra, wind.late) == (1, 0, 0, 0)
    assert wind.greatest is not None
    assert 0 < wind.greatest < 1e-9
    assert "was served" in wind.first
    assert report.features[0].first == ""
    low = dataclasses.replace(desk.workspace, actor=Actor("bob", roles=("ml engineer",)))
    asked = Consistency(name=NAME, since=START)
    assert by_name(consistency(low, asked))["weather_now_wind"].first == wind.first, "no column is personal"
    about = AboutTable(personal=("origin",))
    overwrite(desk.workspace, "airports", pl.DataFrame({"origin": ["JFK"]}), origin=Origin(about=about))
    (listed,) = list_reports(low, Empty()).reports
    for one in (consistency(low, asked), get_endpoint(low, GetEndpoint(name=NAME)).consistency, listed):
        assert one is not None
        assert {each.feature: each.first for each in one.features if each.first} == {"weather_now_wind": MASK}
    seen = get_endpoint(desk.workspace, GetEndpoint(name=NAME)).consistency
    assert seen is not None
    assert by_name(seen)["weather_now_wind"].first == wind.first, "what is kept is not masked"
    (finding,) = watch(desk.workspace, Watch(name=NAME)).findings
    assert finding.state == "ok", "the day that the monitor looks at began later"


def test_missing_and_extra_are_told_apart(desk: Desk, client: EndpointClient) -> None:
    def forget(hour: int) -> None:
        if hour == 10:
            with store_of(desk) as connection:
                tables = [n for (n,) in connection.execute("SELECT name FROM sqlite_master") if n.startswith("v_wea")]
                connection.execute(f'DELETE FROM "{tables[0]}" WHERE key = ?', ("EWR",))

    Traffic(desk, client, before=forget).run(hours=12)
    wind = by_name(report_of(desk))["weather_now_wind"]
    assert (wind.missing, wind.extra, wind.mismatches) == (1, 0, 0), "the next hour has a row of its own again"
    (finding,) = watch(desk.workspace, Watch(name=NAME)).findings
    assert finding.state == "alert"
    (incident,) = get_endpoint(desk.workspace, GetEndpoint(name=NAME)).incidents
    assert (incident.cause, incident.owner) == ("skew", "data engineer")


def test_late_data_is_told_from_a_defect(desk: Desk, client: EndpointClient) -> None:
    def held(arrival: Arrival) -> datetime | None:
        in_hours = START + 5 * HOUR <= arrival.at < START + 8 * HOUR
        return arrival.at + 3 * HOUR if arrival.name == "flights" and in_hours else None

    Traffic(desk, client, held=held).run(hours=16)
    report = report_of(desk)
    assert report.defects == 0, [one.first for one in report.features if one.defects]
    assert report.late > 0
    assert {one.feature for one in report.features if one.late} <= {"origin_delay_6h", "origin_seen_6h"}
    assert report.late_rows == 6, "two flights an hour, three hours"
    assert HOUR <= timedelta(microseconds=report.late_greatest_us) <= 3 * HOUR + timedelta(minutes=1)
    (finding,) = watch(desk.workspace, Watch(name=NAME)).findings
    assert finding.state == "note"
    assert "came late" in finding.sentence


@pytest.mark.full
def test_rows_that_never_come_are_late_too(desk: Desk, client: EndpointClient) -> None:
    Traffic(desk, client, held=lambda arrival: START + 900 * HOUR if arrival.name == "flights" else None).run(hours=6)
    report = report_of(desk)
    assert report.defects == 0
    assert by_name(report)["origin_seen_6h"].late > 0


@pytest.mark.full
def test_a_table_that_lacks_what_was_pushed_is_told_apart(desk: Desk, client: EndpointClient) -> None:
    Traffic(desk, client).run(hours=8)
    held = versions.read(desk.workspace, "flights").filter(pl.col("known_at") <= START + 3 * HOUR).collect()
    versions.overwrite(desk.workspace, "flights", held, key=("flight_id",), time="asked_at")
    report = report_of(desk)
    assert report.defects == 0
    assert by_name(report)["origin_seen_6h"].ahead > 0
    versions.overwrite(desk.workspace, "flights", held.drop("delay"), key=("flight_id",), time="asked_at")
    with pytest.raises(InvalidInput, match="delay"):
        report_of(desk)
    (finding,) = watch(desk.workspace, Watch(name=NAME)).findings
    assert finding.state == "cannot tell"
    assert "delay" in finding.sentence


@pytest.mark.full
def test_a_late_feed_does_not_hide_a_defect(desk: Desk, client: EndpointClient) -> None:
    def held(arrival: Arrival) -> datetime | None:
        return arrival.at + 2 * HOUR if arrival.name == "flights" else None

    def corrupt(hour: int) -> None:
        if hour == 9:
            with store_of(desk) as connection:
                tables = [n for (n,) in connection.execute("SELECT name FROM sqlite_master") if n.startswith("v_wea")]
                connection.execute(f'UPDATE "{tables[0]}" SET body = ?', (msgspec.msgpack.encode((99.0,)),))

    Traffic(desk, client, held=held, before=corrupt).run(hours=10)
    report = report_of(desk)
    assert report.late > 0
    wind = by_name(report)["weather_now_wind"]
    assert (wind.mismatches, wind.late) == (2, 0)


@pytest.mark.full
def test_a_sample_takes_all_of_a_key_or_none(desk: Desk, client: EndpointClient) -> None:
    Traffic(desk, client).run(hours=60)
    half = report_of(desk, sample=0.5)
    assert 30 < half.sampled < 90
    assert half.rows == 120
    assert report_of(desk, sample=0.5).sampled == half.sampled
    assert report_of(desk, sample=0.25).sampled < half.sampled
    with pytest.raises(InvalidInput, match="no share of the keys"):
        report_of(desk, sample=2.0)


def test_the_gate_reads_the_newest_report(desk: Desk, client: EndpointClient) -> None:
    gate = sw.Gate(sw.consistent(max_share=0.001)).spec

    def outcome() -> Any:
        declared = msgspec.structs.replace(declared_endpoint(desk.workspace, NAME), gate=gate)
        version = desk.version(BETTER)
        bundle = registry.bundle_of(desk.workspace, version)
        ruling = judge_version(desk.workspace, version, bundle, declared, keep=False)
        return next(one for one in ruling.outcomes if "differs from offline" in one.check)

    assert outcome().result == "cannot tell"
    Traffic(desk, client).run(hours=12)
    report_of(desk)
    assert outcome().result == "passed"
    desk.clock.advance_to(START + timedelta(days=9))
    assert outcome().result == "cannot tell"
    with store_of(desk) as connection:
        tables = [n for (n,) in connection.execute("SELECT name FROM sqlite_master") if n.startswith("v_wea")]
        connection.execute(f'UPDATE "{tables[0]}" SET body = ?', (msgspec.msgpack.encode((99.0,)),))
    row = {"flight_id": "F1", "origin": "JFK", "distance": 5, "departure": START + 12 * HOUR}
    client.predict([row], at=START + 12 * HOUR)
    client.settle()
    report_of(desk)
    assert outcome().result == "refused"
    assert "weather_now_wind" in outcome().found
