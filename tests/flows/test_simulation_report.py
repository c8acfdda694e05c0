"""A simulation's report from a real log, real bundles and a real pipeline, its figures worked out another way."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.errors import InvalidDeclaration, InvalidInput, NotFound
from slipway.flows.endpoints import get_endpoint
from slipway.flows.simulation_report import Witnessed, answered_between, write_report
from slipway.flows.simulation_scores import blind_models, inputs_proof, loaded_versions
from slipway.flows.simulation_words import fingerprint_of
from slipway.flows.simulations import begin, fail, get_simulation, list_simulations
from slipway.ids import new_id
from slipway.ledger import entries
from slipway.operations.endpoints import GetEndpoint
from slipway.operations.simulations import GetSimulation, ListSimulations
from slipway.ports.workspace import current_workspace
from slipway.records.endpoints import Served
from slipway.records.loop import Action
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.rollouts import Rollout, RolloutSpec
from slipway.records.simulations import Fault, Simulation
from slipway.stats.classification import log_loss
from slipway.tables.segments import SegmentWriter

SINCE, PROMOTED, UNTIL = (datetime(2013, *day, tzinfo=UTC) for day in ((3, 30), (4, 5), (4, 11)))
MAY_LIE = (datetime(2013, 4, 8, tzinfo=UTC), datetime(2013, 4, 8, 6, tzinfo=UTC))


def us(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000)


@pytest.fixture
def replayed(desk: Desk) -> Desk:
    """Twelve days answered: by the first version until it was replaced by the better one; no process has run."""
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    for number in (FIRST, BETTER):
        still.deploy(number)
    rows = truth(still)
    with loaded_versions(still.workspace, NAME, [FIRST, BETTER]) as loaded:
        names = [field.name for field in loaded[FIRST].signature.inputs]
        plain = [list(row) for row in rows.select(names).iter_rows()]
        scores = {number: loaded[number].predict_rows(plain) for number in (FIRST, BETTER)}
    width = len(get_endpoint(still.workspace, GetEndpoint(name=NAME)).revisions[0].contract.fields)
    logged, labels = [], []
    for place, row in enumerate(rows.iter_rows(named=True)):
        number, key = BETTER if row["asked_at"] >= PROMOTED else FIRST, row["flight_id"]
        logged.append(
            PredictionRow(
                id=new_id(), at_us=us(row["asked_at"]), answered_us=place, version=number,
                bundle=still.version(number).bundle[:16], key=key, request=[None] * width, features=plain[place],
                score=scores[number][place], revision=1 if number == FIRST else 2,
            )
        )  # fmt: skip
        if place % 50:
            labels.append(LabelRow("", key, float(row["late"]), us(row["asked_at"]) + 1, place))
    append(still, "predictions", logged)
    append(still, "labels", labels)
    rollout = Rollout(
        id="r1", project=still.workspace.project, name=NAME, created_at=SINCE, state="promoted", since=SINCE,
        parent_id=f"{still.workspace.project}/{NAME}", spec=RolloutSpec(), ended_at=PROMOTED,
        champion=Served(model=NAME, number=FIRST, bundle="a"), challenger=Served(model=NAME, number=BETTER, bundle="b"),
    )  # fmt: skip
    with still.workspace.ledger.write() as tx:
        entries.put(tx, rollout, expect=0)
        for number, at in enumerate((SINCE, PROMOTED, UNTIL + timedelta(days=90)), 1):
            entries.put(tx, action(still, number, at), expect=0)
    return still


def truth(desk: Desk) -> pl.DataFrame:
    module = desk.project.module()
    found: pl.DataFrame = module.features.training_set(
        module.flights, label="late", at="asked_at", since=SINCE, until=UNTIL
    )
    return found


def action(desk: Desk, number: int, at: datetime) -> Action:
    return Action(
        id=f"a{number}", project=desk.workspace.project, name="note", created_at=at, number=number,
        parent_id=f"{desk.workspace.project}/{NAME}", sentence=f"Looked for the {number}. time.", evidence={"x": 0.5},
    )  # fmt: skip


def append(desk: Desk, kind: str, rows: list[Any]) -> None:
    writer = SegmentWriter(desk.folder / "log", kind)
    writer.append(rows)
    writer.close()


def retrained(desk: Desk) -> Any:
    module = desk.project.module()

    @sw.pipeline
    def again(until: date, rounds: int = 12) -> sw.Model:
        rows = module.features.training_set(module.flights, label="late", at="asked_at", until=until)
        model: sw.Model = module.train(rows, rounds)
        return model

    return again


def report(desk: Desk, **witnessed: Any) -> Simulation:
    desk.clock.advance_to(UNTIL + timedelta(days=2))
    simulation = begin(desk.workspace, NAME, since=SINCE, until=UNTIL, seed=7)
    return write_report(
        desk.workspace, simulation, features=desk.project.module().features, pipeline=retrained(desk),
        witnessed=Witnessed(requests=288, events=900, labels=564, **witnessed),
    )  # fmt: skip


def test_a_report_from_end_to_end(replayed: Desk) -> None:
    fault = Fault(name="labels stop", at=SINCE, was_handled=True, sentence="Told within a day.")
    found = report(replayed, faults=(fault,), measured={"p99_ms": 2.5}, proofs=("No row was lost.",))
    rows = truth(replayed).with_row_index()
    labelled = rows.filter(pl.col("index") % 50 != 0)

    assert (found.state, found.seed, found.requests, found.events, found.labels) == ("finished", 7, 288, 900, 564)
    assert [(month.name, month.asked, month.versions) for month in found.months] == [
        ("2013-03", 96, (1,)),
        ("2013-04", 480, (1, 2)),
    ]
    assert found.total is not None
    assert (found.total.asked, found.total.labelled) == (576, labelled.height)
    assert found.total.rate == pytest.approx(labelled["late"].mean())

    truths = labelled["late"].cast(pl.Float64).to_numpy()
    with loaded_versions(replayed.workspace, NAME, [FIRST, BETTER]) as loaded:
        first, better = (loaded[number].predict(labelled) for number in (FIRST, BETTER))
    promoted = (labelled["asked_at"] >= PROMOTED).to_numpy()
    own = np.where(promoted, better, first)
    with current_workspace.filled(replayed.workspace):
        blind = np.where(
            labelled["asked_at"].dt.month() == 4, retrained(replayed)(date(2013, 4, 1)).predict(labelled), first
        )
    for policy, scores in (("never", first), ("blind", blind), ("slipway", own)):
        assert found.total.figures[policy].log_loss == pytest.approx(log_loss(truths, scores), rel=1e-12), policy
    assert found.months[0].figures["blind"] == found.months[0].figures["never"]
    assert [worth.other for worth in found.worth] == ["never", "blind"]
    assert found.worth[0].log_loss == pytest.approx(log_loss(truths, own) - log_loss(truths, first), rel=1e-9)

    (promotion,) = found.promotions
    assert (promotion.version, promotion.replaced, promotion.rows) == (BETTER, FIRST, int(promoted.sum()))
    expected = log_loss(truths[promoted], better[promoted]) - log_loss(truths[promoted], first[promoted])
    assert promotion.log_loss == pytest.approx(expected, rel=1e-9)
    assert promotion.low < promotion.log_loss < promotion.high
    assert promotion.verdict == ("better" if promotion.high < 0 else "cannot tell")

    assert found.faults == (fault,)
    assert found.unit == "USD"
    assert "Assumed, not measured" in found.assumption
    assert found.sentence.startswith(
        "Over two months, retraining with gates, shadow and canary cannot be told from never"
    )
    assert found.proofs == (
        "All 576 logged scores equal what the bundle of whichever of 2 versions answered says of the logged inputs, bit "
        "for bit.",
        "The logged inputs of all 576 answered rows, 6 each, equal the offline join of the same rows, bit for bit.",
        "No row was lost.",
    )


def test_a_report_is_kept_with_what_the_loop_did_meanwhile(replayed: Desk) -> None:
    written = report(replayed)
    detail = get_simulation(replayed.workspace, GetSimulation(endpoint=NAME))
    assert detail.simulation == written
    assert [one.number for one in detail.actions] == [1, 2], "what came after the simulation is no part of it"
    assert written.fingerprint == fingerprint_of(detail.actions)
    assert {"simulations.begin", "simulations.finish"} <= {event.verb for event in replayed.events()}


def test_an_answer_or_an_input_that_is_not_what_it_should_be_is_told(replayed: Desk) -> None:
    answered, _ = answered_between(replayed.workspace, NAME, SINCE, UNTIL)
    last = answered.tail(1).row(0, named=True)
    lying = PredictionRow(
        id=new_id(), at_us=us(last["at"]), answered_us=10_000, version=BETTER, bundle=replayed.version(BETTER).bundle[:16],
        key=last["key"], request=[None] * 4, features=[1.5, 1, 2.5, 9, "JFK", 800], score=0.125, revision=2,
    )  # fmt: skip
    append(replayed, "predictions", [lying])
    found = report(replayed)
    assert found.total is not None
    assert found.total.asked == 576, "the case that was asked again counts once"
    assert found.proofs[0].startswith("1 of 576 logged scores differ from what the bundle that answered says")
    assert f"first {last['key']} at {last['at'].isoformat()}, version 2: logged 0.125, offline 0." in found.proofs[0]
    assert found.proofs[1].startswith(
        "The logged inputs of 1 of 576 answered rows, 6 each, differ from the offline join"
    )
    assert f"first {last['key']} at {last['at'].isoformat()}: " in found.proofs[1]
    assert " logged and " in found.proofs[1]


def frames(delays: list[float | None], at: list[datetime]) -> tuple[pl.DataFrame, pl.DataFrame]:
    named = pl.DataFrame(
        {"key": [f"F{i}" for i in range(len(at))], "at": at}, schema={"key": pl.String, "at": pl.Datetime("us", "UTC")}
    )
    return named, pl.DataFrame({"delay": delays, "seen": [1] * len(at)}, schema={"delay": pl.Float64, "seen": pl.Int64})


def test_rows_under_a_fault_are_counted_apart() -> None:
    times = [MAY_LIE[0] + timedelta(hours=hour) for hour in (-1, 0, 5, 6)]
    named, offline = frames([1.0, 2.0, 3.0, None], times)
    _, logged = frames([1.0, 9.0, 3.0, None], times)
    assert inputs_proof(named, logged, named, offline, except_between=[MAY_LIE]) == (
        "The logged inputs of all 2 answered rows, 2 each, equal the offline join of the same rows, bit for bit; "
        "2 rows decided while an injected fault bent the feed are counted apart: 1 of them differ."
    )
    told = inputs_proof(named, logged, named, offline)
    assert told == (
        "The logged inputs of 1 of 4 answered rows, 2 each, differ from the offline join; first F1 at "
        "2013-04-08T00:00:00+00:00: delay is 9.0 logged and 2.0 offline."
    )


@pytest.mark.parametrize(
    ("logged", "offline", "differs"),
    [(None, None, 0), (0.0, None, 1), (None, 0.0, 1), (0.0, -0.0, 1), (1.0, float(np.nextafter(1, 2)), 1)],
)
def test_bit_for_bit_means_every_bit(logged: float | None, offline: float | None, differs: int) -> None:
    named, one = frames([logged], [SINCE])
    _, other = frames([offline], [SINCE])
    told = inputs_proof(named, one, named, other)
    assert told.startswith("The logged inputs of 1 of 1" if differs else "The logged inputs of all 1")


def test_rows_that_the_table_does_not_know_are_told() -> None:
    named, logged = frames([1.0, 2.0], [SINCE, UNTIL])
    known, offline = frames([1.0], [SINCE])
    assert inputs_proof(named, logged, known, offline).endswith(
        "; 1 answered rows are not in the table and could not be compared."
    )
    assert inputs_proof(named, logged, known.clear(), offline.clear()).startswith("No row's logged inputs")


def test_what_cannot_be_reported_says_why(replayed: Desk) -> None:
    workspace = replayed.workspace
    early = begin(workspace, NAME, since=SINCE - timedelta(days=400), until=SINCE, seed=1)
    with pytest.raises(InvalidInput, match=r"answered nothing between 2012-02-24T00:00:00\+00:00 and 2013-03-30"):
        write_report(workspace, early, features=None, pipeline=retrained(replayed), witnessed=Witnessed())
    with pytest.raises(InvalidInput, match="Nothing was ever deployed to an endpoint 'nix'"):
        answered_between(workspace, "nix", SINCE, UNTIL)
    with pytest.raises(NotFound, match="has no version 9"), loaded_versions(workspace, NAME, [1, 9]):
        pass
    count = replayed.project.module().count_rows
    with pytest.raises(InvalidInput, match="until"):
        blind_models(workspace, count, [date(2013, 3, 1), date(2013, 4, 1)], first=object())  # type: ignore[arg-type]

    @sw.pipeline
    def number(until: date) -> int:
        return until.month

    with pytest.raises(InvalidDeclaration, match="'number' returned a int"):
        blind_models(workspace, number, [date(2013, 3, 1), date(2013, 4, 1)], first=object())  # type: ignore[arg-type]


def test_simulations_are_listed_newest_first_and_one_that_failed_says_why(desk: Desk) -> None:
    workspace = desk.workspace
    begun = [begin(workspace, NAME, since=SINCE, until=UNTIL, seed=seed) for seed in (1, 2)]
    begin(workspace, "other", since=SINCE, until=UNTIL, seed=3)
    failed = fail(workspace, begun[1], "The endpoint stopped answering.")
    assert (failed.state, failed.sentence) == ("failed", "The endpoint stopped answering.")
    listed = list_simulations(workspace, ListSimulations(endpoint=NAME)).simulations
    assert listed == (failed, begun[0])
    assert len(list_simulations(workspace, ListSimulations()).simulations) == 3
    assert get_simulation(workspace, GetSimulation(endpoint=NAME)).simulation == failed
    assert get_simulation(workspace, GetSimulation(endpoint=NAME, id=begun[0].id)).simulation == begun[0]
    with pytest.raises(NotFound, match="'nix' in 'small-delays' has no simulation"):
        get_simulation(workspace, GetSimulation(endpoint="nix"))
    with pytest.raises(NotFound, match="has no simulation"):
        get_simulation(workspace, GetSimulation(endpoint="other", id=begun[0].id))
