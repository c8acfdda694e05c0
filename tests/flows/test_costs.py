"""Costs: hours, bytes and money by run, model and endpoint; what is idle; rates that cannot be."""

import dataclasses
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk

import slipway as sw
from slipway.cli import main
from slipway.errors import Denied, InvalidInput, InvalidSetting, NotFound
from slipway.flows.cost_rates import declare_rates, kept_rates
from slipway.flows.costs import IDLE_DAYS, get_cost, list_costs
from slipway.flows.endpoints import stop
from slipway.hosts.environment_use import MARK
from slipway.hosts.settings import read_settings
from slipway.ledger import entries
from slipway.operations.costs import Costs, GetCost, GetCosts
from slipway.operations.endpoints import Stop
from slipway.ports.workspace import Workspace
from slipway.records.costs import Rates
from slipway.records.monitors import Finding
from slipway.records.people import Actor
from slipway.records.runs import MetricPoint, Run, WorkerTime

RATES = Rates(cpu_hour=2.0, gpu_hour=10.0, gb_month=1e6, currency="EUR")
GIVEN = msgspec.to_builtins(RATES)


@pytest.fixture
def still(desk: Desk) -> Desk:
    quiet = desk.without_processes()
    quiet.approve(FIRST, BETTER)
    quiet.declare(gate=sw.Gate(sw.metric("auc") >= 0.5), workers=3)
    return quiet


def costs(desk: Desk) -> Costs:
    return list_costs(desk.workspace, GetCosts(**GIVEN))


def change_run(desk: Desk, number: int, **fields: object) -> str:
    id = desk.version(number).run_id
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(entries.get(tx, Run, id), **fields))
    return id


def test_an_empty_store_costs_nothing(workspace: Workspace) -> None:
    found = list_costs(workspace, GetCosts())
    assert (found.runs.cpu_s, found.models, found.endpoints, found.idle) == (0.0, (), (), ())
    assert found.runs.compute is None, "without a rate it stays hours"


def test_a_run_costs_the_time_for_which_workers_were_held(still: Desk) -> None:
    began = datetime(2013, 4, 1, tzinfo=UTC)
    held = WorkerTime(executor="processes", workers=4, used_s=3000, idle_s=600, paid_s=3600)
    id = change_run(still, FIRST, started_at=began, ended_at=began + timedelta(minutes=30), worker_time=held)
    (run,) = get_cost(still.workspace, GetCost(name=id[:16], **GIVEN)).runs
    assert (run.run_id, run.used.cpu_s, run.used.compute) == (id, 3600, 2.0)
    assert run.used.size_bytes > 0
    assert run.used.keeping == pytest.approx(run.used.size_bytes / 1e9 * 1e6)
    with still.workspace.ledger.write() as tx:
        tx.add_points(id, [MetricPoint(f"system/gpu{place}_percent", 50.0) for place in (0, 1)])
    (run,) = get_cost(still.workspace, GetCost(name=id[:16], **GIVEN)).runs
    assert run.used.gpu_s == 2 * 1800
    assert run.used.compute == pytest.approx(2.0 + 10.0)


def test_clocks_that_disagree_and_ends_that_nobody_saw_are_said(still: Desk) -> None:
    change_run(still, FIRST, ended_at=datetime(2000, 1, 1, tzinfo=UTC), worker_time=None)
    id = change_run(still, BETTER, ended_at=None, state="killed", worker_time=None)
    (model,) = costs(still).models
    assert model.untold == 2
    (run,) = get_cost(still.workspace, GetCost(name=id)).runs
    assert "not known" in run.note
    still.deploy(BETTER)
    for number in (FIRST, BETTER, GUESSING):
        change_run(still, number, created_at=still.clock.now() + timedelta(days=1))
    assert costs(still).models[0].days is None


def test_an_endpoint_costs_its_workers_until_it_is_stopped(still: Desk) -> None:
    still.clock.advance_to(still.clock.now() + timedelta(days=2))
    still.deploy(FIRST)
    still.clock.advance_to(still.clock.now() + timedelta(hours=2))
    still.deploy(BETTER)
    still.clock.advance_to(still.clock.now() + timedelta(hours=1))
    stop(still.workspace, Stop(name=NAME))
    still.clock.advance_to(still.clock.now() + timedelta(days=9))
    found = costs(still)
    (endpoint,) = found.endpoints
    assert endpoint.served_s == pytest.approx(3 * 3600)
    assert endpoint.used.cpu_s == pytest.approx(9 * 3600)
    assert endpoint.used.compute == pytest.approx(18.0)
    assert endpoint.used.size_bytes > 0
    (model,) = found.models
    assert (model.runs, model.environment) == (3, "dev")
    assert model.days == pytest.approx(2.0, abs=0.01)


def test_what_was_measured_stands_beside_the_cost(still: Desk) -> None:
    still.deploy(FIRST)
    now = still.clock.now()
    finding = Finding(
        id="k1", project=still.workspace.project, name="cost of errors", created_at=now, state="ok", rows=10,
        parent_id=f"{still.workspace.project}/{NAME}", window_from=now, window_until=now, sentence="1.20 USD a row",
    )  # fmt: skip
    with still.workspace.ledger.write() as tx:
        entries.put(tx, finding)
    detail = get_cost(still.workspace, GetCost(name=NAME))
    assert detail.endpoint is not None
    assert [(one.by, one.sentence) for one in detail.endpoint.worth] == [("cost of errors", "1.20 USD a row")]
    assert detail.model is not None
    assert len(detail.runs) == 3


def test_what_nobody_uses_is_named_with_the_command_that_ends_it(still: Desk) -> None:
    still.deploy(FIRST)
    assert costs(still).idle == (), "a week has not passed"
    still.clock.advance_to(still.clock.now() + timedelta(days=IDLE_DAYS))
    assert costs(still).idle == (), "the others are approved, or the newest"
    long_ago = (datetime.now(UTC) - timedelta(days=IDLE_DAYS + 1)).timestamp()
    for path in still.folder.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    (idle,) = costs(still).idle
    assert (idle.what, idle.command) == ("endpoint", f"slipway endpoints stop {NAME}")
    assert "never" in idle.sentence


def test_a_version_that_nothing_names_is_idle(desk: Desk) -> None:
    desk.clock.advance_to(desk.clock.now() + timedelta(days=IDLE_DAYS))
    idle = costs(desk).idle
    assert [(one.what, one.command) for one in idle] == [
        ("version", f"slipway trash put model:{NAME}:{number}") for number in (FIRST, BETTER)
    ]
    assert all(one.size_bytes > 0 for one in idle)


def test_an_environment_that_nobody_uses_is_named_in_its_checkout(still: Desk) -> None:
    folder = still.project.folder
    made = CliRunner().invoke(main, ["env", "create", "try", "-C", str(folder), "--expires", "never"])
    assert made.exit_code == 0, made.output
    assert "env destroy" not in CliRunner().invoke(main, ["cost", "-C", str(folder)]).output
    long_ago = (datetime.now(UTC) - timedelta(days=IDLE_DAYS + 1)).timestamp()
    os.utime(folder / ".slipway-try" / MARK, (long_ago, long_ago))
    told = CliRunner().invoke(main, ["cost", "-C", str(folder)]).output
    assert "slipway env destroy try" in told
    assert "cpu_hour = 0.05" in told, "it says how to set rates"


def test_an_unknown_name_says_what_there_is(still: Desk) -> None:
    with pytest.raises(NotFound) as caught:
        get_cost(still.workspace, GetCost(name="small-delay"))
    assert NAME in str(caught.value.fix)
    shared = still.version(FIRST).run_id[:5]  # ids begin with the time, which is nearly the same
    with pytest.raises(InvalidInput, match="3 runs begin"):
        get_cost(still.workspace, GetCost(name=shared))


def test_rates_are_kept_once_and_by_who_may(workspace: Workspace) -> None:
    declare_rates(workspace, RATES)
    declare_rates(workspace, RATES)
    assert kept_rates(workspace) == RATES
    assert list_costs(workspace, GetCosts()).rates == RATES
    with pytest.raises(InvalidInput, match=r"cost\.cpu_hour is -1"):
        list_costs(workspace, GetCosts(cpu_hour=-1, currency="EUR"))
    with workspace.ledger.read() as tx:
        assert [one.verb for one in tx.events()].count("rates.declare") == 1
    nobody = Actor("eve", roles=("executive viewer",))
    with pytest.raises(Denied):
        declare_rates(dataclasses.replace(workspace, actor=nobody), Rates(cpu_hour=1, currency="EUR"))


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ('cpu_hour = -1\ncurrency = "EUR"', "cost.cpu_hour is -1"),
        ('cpu_hour = inf\ncurrency = "EUR"', "cost.cpu_hour is inf"),
        ('gb_month = nan\ncurrency = "EUR"', "cost.gb_month is nan"),
        ("cpu_hour = 1", "cost.currency is empty"),
        ('cpu_hour = "much"', "Expected `float`, got `str`"),
        ("cpu_hours = 1", "unknown key 'cpu_hours'"),
    ],
)
def test_rates_that_cannot_be_are_refused(tmp_path: Path, section: str, sentence: str) -> None:
    (tmp_path / "slipway.toml").write_text(f'[project]\nname = "flights"\n[cost]\n{section}\n')
    with pytest.raises(InvalidSetting, match=sentence):
        read_settings(tmp_path)
