"""A person in what steps printed."""

import polars as pl
import pytest

import slipway as sw
from slipway.flows.erase import erase
from slipway.ledger import run_log
from slipway.ledger.step_output import KeptOutput, output_folder
from slipway.operations.erasures import Erase, ErasureReport
from slipway.operations.runs import GetStepLog
from slipway.pipelines import engine
from slipway.ports import workspace as ports
from slipway.ports.workspace import Workspace
from slipway.records.runs import StepRun
from slipway.runs.step_logs import get_step_log
from slipway.tables import versions

ADA, BOB = "ada@example.org", "bob@example.org"


@sw.step
def show(rows: pl.DataFrame, word: str) -> int:
    for row in rows.iter_rows(named=True):
        print(f"{word}: {row}")
    return rows.height


@sw.step
def quiet(rows: pl.DataFrame) -> int:
    print(f"{rows.height} rows")
    return rows.height


@sw.pipeline
def reads(table: str = "people") -> int:
    rows = versions.read(ports.workspace(), table).collect()
    return show(rows, table) + quiet(rows)


@sw.pipeline
def elsewhere() -> int:
    return show(pl.DataFrame({"number": [17]}), "another")


@pytest.fixture
def people(workspace: Workspace) -> Workspace:
    versions.overwrite(workspace, "people", pl.DataFrame({"email": [ADA, BOB]}), key=("email",))
    versions.overwrite(workspace, "numbers", pl.DataFrame({"number": [17, 18]}), key=("number",))
    return workspace


def said(workspace: Workspace, run: str, step: str = "show") -> str:
    return get_step_log(workspace, GetStepLog(id=run, step=step)).text


def logs(report: ErasureReport) -> int:
    return sum(place.rows for place in report.places if place.place == "logs of steps")


def test_what_steps_printed_of_a_person_goes_with_their_rows(people: Workspace) -> None:
    first = engine.run(people, reads).run.id
    again = engine.run(people, reads).run.id  # it took the stored result, and shows the same log
    bobs = engine.run(people, elsewhere).run.id
    assert ADA in said(people, first)
    assert said(people, first) == said(people, again)
    where = (("email", ADA),)
    assert logs(erase(people, Erase(where=where, dry_run=True))) == 1
    assert ADA in said(people, first)
    report = erase(people, Erase(where=where, reason="request 17"))
    assert (logs(report), report.left) == (1, 0)
    assert (said(people, first), said(people, again)) == ("", "")
    assert said(people, first, "quiet") == "2 rows\n"
    assert said(people, bobs) == "another: {'number': 17}\n"
    assert logs(erase(people, Erase(where=where, reason="request 17"))) == 0


def test_a_number_is_looked_for_where_the_table_was_read(people: Workspace) -> None:
    first, other = engine.run(people, reads, {"table": "numbers"}).run.id, engine.run(people, elsewhere).run.id
    report = erase(people, Erase(table="numbers", key=("17",), reason="request 17"))
    assert (logs(report), report.left) == (1, 0)
    assert said(people, first) == ""
    assert said(people, other) == "another: {'number': 17}\n"


@pytest.mark.parametrize("is_over", [True, False])
def test_what_is_not_kept_yet_is_searched_too(people: Workspace, is_over: bool) -> None:
    log = run_log.start(people)
    step = StepRun(
        id=f"{log.id}.1", project=people.project, name="show", created_at=people.clock.now(), parent_id=log.id
    )
    log.later(step)
    log.write()
    kept = KeptOutput(output_folder(people, step.id))
    kept.write(f"mail to {ADA}\n")
    kept.close()
    if is_over:
        log.finish()
    report = erase(people, Erase(where=(("email", ADA),), reason="request 17"))
    assert (logs(report), report.left) == (int(is_over), 0)
    assert output_folder(people, step.id).exists() is not is_over
    told = f"What steps of the runs {log.id[:12]} print names the person: erase again when they have ended."
    assert (told in report.kept) is not is_over
    if not is_over:
        log.finish()
