"""Changing an input and seeing the answer; the smallest change that turns a decision; and what is not shown to whom."""

import json
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from loans import halves, loans, released, trees

import slipway as sw
from slipway.cli import main
from slipway.errors import Denied, InvalidInput, NotFound
from slipway.flows.flips import smallest_flip
from slipway.flows.models import get_model
from slipway.flows.trained_on import personal_inputs
from slipway.flows.what_if import what_if
from slipway.ledger import projects
from slipway.models import registry
from slipway.operations.models import GetModel, WhatIf, WhatIfAnswer
from slipway.ports.workspace import Workspace
from slipway.records.models import Decision, ModelVersion
from slipway.records.people import Actor
from slipway.records.schema import Field
from slipway.records.tables import AboutTable
from slipway.tables.commits import note_about
from slipway.tables.personal import MASK
from slipway.tables.versions import overwrite

Asks = Callable[..., WhatIfAnswer]
ROW = {"income": 30.0, "debt": 12.0, "age": 40, "branch": "north"}


@pytest.fixture
def version(workspace: Workspace) -> ModelVersion:
    fit, test = halves(loans(n=1200))
    model = sw.explain(sw.evaluate(trees(fit, rounds=12), test, label="failed"), test)
    return released(workspace, model, data=["table:flights/loans@1"])


@pytest.fixture
def ask(workspace: Workspace, version: ModelVersion) -> Asks:
    return lambda by=workspace, **fields: what_if(by, WhatIf(name="loans", **fields))


def given(**changes: object) -> str:
    return json.dumps(ROW | changes)


def test_the_answer_is_the_model_s_as_it_is_and_as_it_would_be(workspace: Workspace, ask: Asks) -> None:
    found = ask(given=given(), changed='{"debt": "3"}')
    as_given = ask(given=given(debt=3.0))
    assert found.after is not None
    assert found.after.score == as_given.before.score != found.before.score
    assert found.after.values == ROW | {"debt": 3.0}
    assert (found.before.decision, found.after.decision) == (True, False)
    assert found.after.explanation is not None
    assert found.after.explanation.how == "exact, by the trees"
    assert "not what causes what" in found.behaviour
    with workspace.ledger.read() as tx:
        assert not [event for event in tx.events() if event.verb == "models.what_if"]


def test_what_turns_the_decision_turns_it_and_a_nearer_number_does_not(ask: Asks) -> None:
    turned = ask(given=given()).turned
    assert turned is not None
    ((name, value),) = turned.changes.items()
    assert (name in ROW, turned.decision) == (True, False)
    assert ask(given=given(**turned.changes)).before.decision is False
    if isinstance(value, float):
        back = value + (ROW[name] - value) * 0.02  # type: ignore[operator]
        assert ask(given=given(**{name: back})).before.decision is True
    kept = ask(given=given(), keep=f"{name},branch").turned
    assert kept is None or name not in kept.changes


def test_rows_are_found_by_number_and_what_cannot_be_found_is_said(ask: Asks) -> None:
    first, third = ask(), ask(row="#3")
    assert (first.row, third.row) == ("row 1 of the stored rows", "row 3 of the stored rows")
    assert first.before.values != third.before.values
    for row, said in (("#0", "no row #0"), ("#601", "no row #601"), ("#x", "no row #x"), ("L0-1", "no key")):
        with pytest.raises(NotFound, match=said):
            ask(row=row)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"changed": '{"incom": 3}'}, "no input 'incom'"),
        ({"changed": "[3]"}, "no JSON object"),
        ({"changed": '{"income": "much"}'}, "income does not take"),
        ({"changed": '{"age": true}'}, "age does not take"),
        ({"changed": '{"income": "NaN"}'}, "income does not take"),
        ({"given": '{"income": 3.0}', "keep": "x"}, "no input 'x'|lacks"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(ask: Asks, fields: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        ask(**fields)


def test_without_a_decision_nothing_is_turned_and_without_rows_the_reference_rows_are_asked(
    workspace: Workspace,
) -> None:
    fit, _ = halves(loans(n=400))
    model = trees(fit, rounds=3)
    model.state = msgspec.structs.replace(model.state, decision=Decision())
    released(workspace, model)
    found = what_if(workspace, WhatIf(name="loans", changed='{"debt": 1}'))
    assert (found.turned, found.threshold, found.before.decision) == (None, None, None)
    assert found.before.explanation is not None
    assert found.before.explanation.how == "exact, by the trees"


@pytest.fixture
def reader(workspace: Workspace) -> Workspace:
    """Somebody who may read tables and not the values of personal columns."""
    note(workspace, AboutTable(personal=("age",)))
    return replace(workspace, actor=Actor("bob", roles=("ml engineer",)))


def note(workspace: Workspace, about: AboutTable) -> None:
    note_about(workspace, overwrite(workspace, "loans", loans(n=5)), about)


def test_personal_values_of_a_stored_row_are_hidden_and_cannot_be_found_out_by_trying(
    workspace: Workspace, version: ModelVersion, reader: Workspace, ask: Asks
) -> None:
    assert personal_inputs(workspace, version, registry.bundle_of(workspace, version)) == {"age"}
    seen, hidden = ask(), ask(by=reader)
    assert seen.before.values["age"] != MASK
    assert hidden.before.values["age"] == MASK
    assert hidden.before.explanation is not None
    assert {one.input: one.value for one in hidden.before.explanation.contributions}["age"] == MASK
    assert hidden.turned is None or "age" not in hidden.turned.changes
    with pytest.raises(Denied, match="may not change 'age' of a stored row"):
        ask(by=reader, changed='{"age": 41}')
    own = ask(by=reader, given=given(), changed='{"age": 41}')
    assert own.after is not None
    assert own.after.values["age"] == 41


def test_partial_dependence_on_a_personal_input_is_hidden_on_the_page(
    workspace: Workspace, version: ModelVersion, reader: Workspace
) -> None:
    for by, shown in ((workspace, True), (reader, False)):
        bundle = get_model(by, GetModel(name="loans")).bundle
        assert bundle is not None
        assert bundle.explained is not None
        told = {one.input: bool(one.values) for one in bundle.explained.dependences}
        assert told["age"] is shown
        assert told["debt"]


def test_who_may_not_read_a_table_behind_the_model_asks_nothing_of_it(workspace: Workspace, ask: Asks) -> None:
    note(workspace, AboutTable(readers=("governance",)))
    bob = replace(workspace, actor=Actor("bob", roles=("ml engineer",)))
    with pytest.raises(Denied, match="may not read the table 'loans'"):
        ask(by=bob)
    bundle = get_model(bob, GetModel(name="loans")).bundle
    assert bundle is not None
    assert bundle.explained is not None
    assert not any(one.values for one in bundle.explained.dependences)


def test_a_version_without_a_bundle_cannot_be_asked(workspace: Workspace) -> None:
    with pytest.raises(NotFound):
        what_if(workspace, WhatIf(name="nobody"))


FIELDS = (Field("a", "float"), Field("b", "int"), Field("c", "string"))
KNOWN = [[float(i), i, "xy"[i % 2]] for i in range(100)]


def flip_of(score: Callable[[list[object]], float], row: list[object], **more: object) -> object:
    return smallest_flip(lambda rows: np.array([score(one) for one in rows]), FIELDS, row, 0.5, KNOWN, **more)  # type: ignore[arg-type]


def test_the_smallest_of_all_single_changes_is_found_whatever_the_unit() -> None:
    found = flip_of(lambda row: float(row[0] > 90 or row[1] > 30), [10.0, 10, "x"])  # type: ignore[operator]
    assert found is not None
    assert found.values == {1: 31}  # type: ignore[attr-defined]
    assert found.row == [10.0, 31, "x"]  # type: ignore[attr-defined]
    down = flip_of(lambda row: float(row[0] > 20.25), [60.0, 5, "x"])
    assert down.values[0] == 20.0  # type: ignore[attr-defined]  # no number of fewer digits turns it
    assert down.score == 0  # type: ignore[attr-defined]


def test_two_inputs_are_changed_where_no_one_turns_it_and_none_where_nothing_does() -> None:
    both = flip_of(lambda row: float(row[0] > 70) * 0.3 + float(row[2] == "y") * 0.3, [1.0, 1, "x"])  # type: ignore[operator]
    assert set(both.values) == {0, 2}  # type: ignore[attr-defined]
    assert flip_of(lambda row: 0.1, [1.0, 1, "x"]) is None
    assert flip_of(lambda row: float(row[2] == "y"), [1.0, 1, "x"], keep=frozenset({2})) is None


def test_rows_that_the_model_refuses_turn_nothing_and_stop_no_search() -> None:
    def score(row: list[object]) -> float:
        return float("nan") if row[2] == "y" else float(row[1] < 50)  # type: ignore[operator]

    found = flip_of(score, [10.0, 10, "x"])
    assert found.values == {1: 50}  # type: ignore[attr-defined]


def test_the_command_says_all_of_it(workspace: Workspace, version: ModelVersion) -> None:
    projects.register(workspace)
    found = CliRunner().invoke(
        main,
        [
            "what-if",
            "loans",
            "--given",
            given(),
            "--set",
            "debt=3",
            "--root",
            str(workspace.root),
            "--project",
            "flights",
        ],
    )
    assert found.exit_code == 0, found.output
    assert "the given row: score" in found.output
    assert "With debt = 3: score" in found.output
    assert "log-odds" in found.output
    assert found.output.rstrip().endswith("not what causes what.")
