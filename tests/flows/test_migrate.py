"""Moving old models: the inventory, pilots by points, waves, phases by evidence, gaps that a person takes, the way of a user."""

from datetime import date
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.migrate import activate, get_plan, keep_gap, plan, way
from slipway.flows.migrate_compare import compare, read_requests
from slipway.flows.migrate_order import pilots_of, waves_of
from slipway.flows.migrate_phases import CRITERIA, Case, Opened, phases_of
from slipway.flows.migrate_scan import scan
from slipway.operations.declare import Empty
from slipway.operations.migrations import ActivateModel, FindWay, KeepGap, MigrationPlan, PlanMigration
from slipway.ports.workspace import Workspace
from slipway.records.migrations import Activation, Comparison, Gap, OldModel, Phase
from slipway.records.people import Actor
from slipway.schema.inventory import checked, of_csv, of_toml, to_csv

CHURN = OldModel(name="churn", owner="ada", kind="pickle", place="c.pkl", url="http://old/churn", users=9, risk="low")
UPSELL = OldModel(name="upsell", owner="grace", kind="pickle", place="u.pkl", value=5.0)
FRAUD = OldModel(name="fraud", kind="onnx", risk="high", value=9.0)
MODELS = (CHURN, FRAUD, UPSELL)


def test_an_inventory_is_read_as_it_is_written() -> None:
    assert of_csv(to_csv(MODELS)) == MODELS
    assert of_csv('\ufeffname,users,value\nchurn,"1,200",\n,,\n') == (OldModel(name="churn", users=1200),)
    assert of_toml('[[model]]\nname = "churn"\nkind = "onnx"\n') == (OldModel(name="churn", kind="onnx"),)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name,ownr\nchurn,ada\n", "no 'ownr'"),
        ("name\n", "names no model"),
        ("name\nchurn\nchurn\n", "Two models"),
        ("name,becomes\na,b\nb,\n", "Two models of the inventory have the name here 'b'"),
        ("name,users\nchurn,many\n", "'many' is no number"),
        ("name,users\nchurn,-1\n", "users = -1"),
        ("name,kind\nchurn,paper\n", "cannot be read"),
        ("name\nMy Model\n", "cannot be called so here"),
        ("owner\nada\n", "cannot be read"),
        ("name,value,risk\nchurn,50,000,low\n", "Line 2 of the inventory has 4 cells, and its head 3"),
        ('name,owner\n"churn",ada\nfraud,Smith, Ada\n', "Line 3 of the inventory has 3 cells"),
        ("name,name\na,b\n", "two columns 'name'"),
        ("name;owner\na;b\n", "has semicolons"),
        ("name,note\na,J\ufffdrgen\n", "not written in UTF-8"),
        (f"name,note\na,{'x' * 200_000}\n", "Line 2 of the inventory cannot be read"),
        ("name,users\na,1e300\n", "users = 1000"),
        ("name,value\na,inf\n", "value = inf"),
    ],
)
def test_an_inventory_that_cannot_be_is_refused(text: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        of_csv(text)


def test_a_toml_inventory_that_cannot_be_is_refused() -> None:
    for text, what in (
        ("a = ", "is no TOML"), ("a = 1", r"no \[\[model\]\]"), ('[[model]]\nn = "a"', "no 'n'"),
        ("model = [3]", "3 is no model"), ('model = ["name"]', "'name' is no model"),
        (f'[[model]]\nname = "a"\nvalue = {"9" * 400}', "out of range"), (f"a = {'9' * 5000}", "is no TOML"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=what):
            of_toml(text)


def test_a_file_that_is_not_utf8_is_told_so_and_no_row_less_than_one_is_asked(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "shop"\n')
    (tmp_path / "models.csv").write_bytes("name,owner\nchurn,J\xfcrgen\n".encode("latin-1"))
    answer = CliRunner().invoke(main, ["migrate", "plan", str(tmp_path / "models.csv"), "-C", str(tmp_path)])
    assert (answer.exit_code, "Save it as UTF-8" in answer.output) == (2, True), answer.output
    answer = CliRunner().invoke(main, ["migrate", "compare", "churn", "--requests", "rows.csv", "--rows", "-5"])
    assert (answer.exit_code, "-5 is not in the range" in answer.output) == (2, True), answer.output


def test_a_folder_is_listed_and_nothing_in_it_opened(tmp_path: Path) -> None:
    for name in ("churn.pkl", "deep/churn.joblib", "Net One.onnx", "work.ipynb", "notes.txt", ".hidden/x.pkl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not a model")
    (tmp_path / "logged").mkdir()
    for name in ("MLmodel", "model.pkl"):
        (tmp_path / "logged" / name).write_text("")
    found = {one.name: (one.kind, one.becomes) for one in checked(scan(str(tmp_path)))}
    assert found == {
        "Net One": ("onnx", "net-one"), "churn": ("pickle", ""), "churn-2": ("pickle", ""),
        "logged": ("mlflow", ""), "work": ("notebook", ""),
    }  # fmt: skip
    with pytest.raises(NotFound, match="no folder"):
        scan(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="No model"):
        scan(str(tmp_path / "empty"))


def test_pilots_are_those_with_most_points_and_a_person_may_say_otherwise() -> None:
    (first,) = pilots_of(MODELS)
    assert (first.name, first.score) == ("churn", 27 + 25 + 20 + 10 + 5)
    assert "2 of 3 models are of its kind, pickle (27)" in first.why
    (said,) = pilots_of(MODELS, ("fraud",))
    assert (said.name, said.is_chosen) == ("fraud", True)
    with pytest.raises(NotFound, match="no model 'frau'"):
        pilots_of(MODELS, ("frau",))
    more = (*MODELS, OldModel(name="net", kind="onnx", risk="low"))
    assert [one.name for one in pilots_of(more)] == ["churn", "net"]


def test_waves_bring_one_new_thing_at_a_time() -> None:
    net = OldModel(name="net", kind="onnx", value=1.0)
    risky = OldModel(name="risky", kind="pickle", risk="high", value=2.0)
    assert waves_of((*MODELS, net, risky), pilots_of(MODELS)) == (("upsell",), ("risky", "net"), ("fraud",))


def case_of(*steps: Opened) -> Case:
    return Case(old=CHURN, opened=steps)


def test_phases_follow_each_other_and_what_a_person_takes_is_not_shown(workspace: Workspace) -> None:
    by, now = workspace.actor, workspace.clock.now()
    dues: dict[Phase, date] = {
        "Development": date(2013, 4, 10),
        "Test/Release": date(2013, 5, 1),
        "Activation": date(2013, 6, 1),
    }
    said = {one.name: Gap(model="churn", criterion=one.name, closed="so", actor=by, at=now) for one in CRITERIA}
    one, two, three = phases_of(case_of(), {}, dues, date(2013, 4, 20))
    assert (one.state, two.state, three.state) == ("under way", "not yet", "not yet")
    missing = {each.name: each for each in one.criteria if not each.is_met}
    assert set(missing) == {"imported", "proven"}
    assert (missing["proven"].owner, missing["proven"].is_late) == ("ada", True)
    assert missing["imported"].next == "slipway import pickle c.pkl --trust --sample ROWS.csv --name churn"
    states = [each.state for phase in phases_of(case_of(), said, dues, now.date()) for each in phase.criteria]
    assert states == ["shown"] * 3 + ["said"] * 10
    opened = Opened(Activation(model="churn", to="all", actor=by, at=now))
    assert {phase.state for phase in phases_of(case_of(opened), {}, dues, now.date())} == {"done"}


def test_too_few_answers_or_too_many_that_differ_are_no_evidence(workspace: Workspace) -> None:
    asked = next(one for one in CRITERIA if one.name == "compared")
    for scored, agreeing, found in ((99, 99, "_Missing"), (100, 98, "_Missing"), (100, 99, "_Shown")):
        made = Comparison(
            id="c", project="p", created_at=workspace.clock.now(), endpoint="churn", version=1, bundle="b", url="u",
            protocol="json", requests="r", tolerance=0.0, rows=scored, scored=scored, agreeing=agreeing,
            actor=Actor("ada"),
        )  # fmt: skip
        assert type(asked.judge(Case(old=CHURN, comparison=made))).__name__ == found
    wide = asked.judge(Case(old=CHURN, comparison=msgspec.structs.replace(made, tolerance=0.5)))
    assert "99 agree within 0.5, as asked, wider than rounding (99.00%)" in wide.found


def planned(workspace: Workspace, *models: OldModel, pilots: tuple[str, ...] = ()) -> MigrationPlan:
    return plan(workspace, PlanMigration(models=models, pilots=pilots))


def test_a_plan_is_kept_and_planned_again(workspace: Workspace) -> None:
    assert get_plan(workspace, Empty()).number == 0
    with pytest.raises(NotFound, match="no plan of a migration"):
        way(workspace, FindWay(model="churn", user="u"))
    found = planned(workspace, *MODELS)
    assert [(one.old.name, one.wave, one.state) for one in found.models] == [
        ("churn", 0, "Development"), ("upsell", 1, "waits"), ("fraud", 2, "waits"),
    ]  # fmt: skip
    assert found.sentence == "0 of 3 models moved; the pilots are under way, 2 gaps now."
    assert "| pilots | under way | 2013-05-13 | churn |" in found.markdown
    assert [one.state for one in planned(workspace, *MODELS, pilots=("fraud",)).waves] == ["under way", "waits"]
    assert get_plan(workspace, Empty()).number == 2
    with pytest.raises(InvalidInput, match="names no model"):
        planned(workspace)


def test_a_pilot_that_left_the_inventory_is_none_and_one_that_a_person_chose_stays(workspace: Workspace) -> None:
    other = OldModel(name="other", kind="onnx", risk="low")
    found = planned(workspace, *MODELS, other)
    assert [one.name for one in found.pilots] == ["churn", "other"]
    activate(workspace, ActivateModel(model="churn", to="nobody", why="nothing is open yet"))
    assert [one.name for one in planned(workspace, *MODELS).pilots] == ["churn"]
    assert [one.old.name for one in get_plan(workspace, Empty()).models] == ["churn", "upsell", "fraud"]
    said = planned(workspace, *MODELS, other, pilots=("fraud", "other")).pilots
    assert planned(workspace, *MODELS, other).pilots == said
    again = planned(workspace, *MODELS).pilots
    assert [(one.name, one.is_chosen) for one in again] == [("fraud", True)]
    assert [one.name for one in planned(workspace, CHURN, UPSELL).pilots] == ["churn"]


def test_a_chosen_pilot_stays_before_anything_is_opened(workspace: Workspace) -> None:
    planned(workspace, *MODELS, pilots=("fraud",))
    (pilot,) = planned(workspace, *MODELS).pilots
    assert (pilot.name, pilot.is_chosen) == ("fraud", True)
    assert [one.name for one in planned(workspace, *MODELS, pilots=("upsell",)).pilots] == ["upsell"]


def test_a_gap_has_an_owner_and_a_date_or_a_reason(workspace: Workspace) -> None:
    planned(workspace, *MODELS)
    found = keep_gap(workspace, KeepGap(model="churn", criterion="proven", owner="grace", due=date(2013, 3, 1)))
    (gap,) = [one for one in found.models[0].gaps if one.name == "proven"]
    assert (gap.owner, gap.due, gap.is_late) == ("grace", date(2013, 3, 1), True)
    keep_gap(workspace, KeepGap(model="churn", criterion="imported", close="trained anew"))
    found = keep_gap(workspace, KeepGap(model="churn", criterion="proven", close="no rows"))
    assert (found.models[0].state, found.models[0].phases[0].criteria[4].state) == ("Test/Release", "said")
    assert "takes it without: no rows" in found.markdown
    with pytest.raises(NotFound, match="no criterion 'prooven'"):
        keep_gap(workspace, KeepGap(model="churn", criterion="prooven", owner="x"))
    with pytest.raises(NotFound, match="no model 'chrun'"):
        keep_gap(workspace, KeepGap(model="chrun", criterion="proven", owner="x"))
    with pytest.raises(InvalidInput, match="Nothing is said"):
        keep_gap(workspace, KeepGap(model="churn", criterion="proven"))


def closed_all(workspace: Workspace, model: str) -> None:
    for one in CRITERIA:
        if one.name not in ("turn", "all users"):
            keep_gap(workspace, KeepGap(model=model, criterion=one.name, close="so"))


def test_nobody_is_served_early_and_all_only_at_last(workspace: Workspace) -> None:
    planned(workspace, *MODELS)
    with pytest.raises(Conflict, match="imported is missing"):
        activate(workspace, ActivateModel(model="churn", to="chosen", users=("u1",)))
    closed_all(workspace, "churn")
    assert way(workspace, FindWay(model="churn", user="u1")).to == "old system"
    activate(workspace, ActivateModel(model="churn", to="chosen", users=("u1",), share=0.3))
    here = [user for user in map(str, range(200)) if way(workspace, FindWay(model="churn", user=user)).to == "here"]
    assert 30 < len(here) < 90
    activate(workspace, ActivateModel(model="churn", to="chosen", share=0.6))
    assert all(way(workspace, FindWay(model="churn", user=user)).to == "here" for user in here), "nobody changes back"
    activate(workspace, ActivateModel(model="churn", to="nobody", why="to try it"))
    assert way(workspace, FindWay(model="churn", user=here[0])).to == "old system"
    with pytest.raises(Conflict, match="turn is missing"):
        activate(workspace, ActivateModel(model="upsell", to="chosen", users=("u1",)))
    found = activate(workspace, ActivateModel(model="churn", to="all"))
    assert [one.state for one in found.models] == ["moved", "Development", "waits"]
    with pytest.raises(InvalidInput, match="lacks 'churn'"):
        planned(workspace, UPSELL, FRAUD)
    assert [one.name for one in planned(workspace, *MODELS, OldModel(name="a", risk="low")).pilots] == ["churn"]


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (ActivateModel(model="churn", to="chosen"), "Nobody is chosen"),
        (ActivateModel(model="churn", to="chosen", share=1.0), "no share"),
        (ActivateModel(model="churn", to="all", share=0.5), "no share"),
        (ActivateModel(model="churn", to="nobody"), "needs a reason"),
    ],
)
def test_a_step_that_says_nothing_is_refused(workspace: Workspace, asked: ActivateModel, what: str) -> None:
    planned(workspace, *MODELS)
    with pytest.raises(InvalidInput, match=what):
        activate(workspace, asked)


def test_requests_are_read_from_json_lines_and_need_an_endpoint(workspace: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"age": 1}\n\n{"age": null}\n')
    assert read_requests(log) == [{"age": 1}, {"age": None}]
    for text in ("[1]\n", f'{{"a": {"[" * 5000}{"]" * 5000}}}\n'):
        log.write_text(text)
        with pytest.raises(InvalidInput, match="cannot be read as JSON lines"):
            read_requests(log)
    with pytest.raises(InvalidInput, match="cannot be read as JSON lines"):
        read_requests(log)
    planned(workspace, *MODELS)
    with pytest.raises(NotFound, match="deployed"):
        compare(workspace, "churn", [{"age": 1}])
