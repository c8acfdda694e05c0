"""The checks of behaviour on real models: what is unfair, jumpy, fragile or leaky by construction is refused by name."""

import dataclasses
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from loans import DECISION, INPUTS, halves, line, loans, released, said, trees

import slipway as sw
from slipway.errors import InvalidInput
from slipway.flows.documents import answer, get_document
from slipway.flows.evidence_behaviour import KINDS
from slipway.gates import behaviour
from slipway.ledger import entries, lineage
from slipway.models import registry
from slipway.operations.documents import AnswerField, GetDocument
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.gates import Outcome
from slipway.records.models import ModelVersion
from slipway.records.tables import AboutTable, CheckResult, TableVersion

FAIR = sw.fair("selection_rate", by="sex", margin=0.1)


@pytest.fixture
def clean(workspace: Workspace) -> ModelVersion:
    fit, test = halves(loans())
    return released(workspace, sw.evaluate(trees(fit, monotone=[-1, 1, 0, 0]), test, label="failed"))


def unfair(fit: pl.DataFrame, test: pl.DataFrame) -> sw.Model:
    """Women's loans were recorded as failed more often, and the model learns it."""
    random = np.random.default_rng(5)
    biased = fit.with_columns(
        failed=pl.col("failed") | ((pl.col("sex") == "f") & pl.Series(random.random(fit.height) < 0.5))
    )
    return sw.evaluate(trees(biased, (*INPUTS, "sex")), test, label="failed")


def test_groups_that_are_treated_alike_pass_and_others_are_named(workspace: Workspace, clean: ModelVersion) -> None:
    passed = said(workspace, clean, FAIR)
    assert passed.result == "passed", passed
    assert "between sex=" in passed.found
    fit, test = halves(loans())
    refused = said(workspace, released(workspace, unfair(fit, test)), FAIR)
    assert refused.result == "refused", refused
    assert "between sex=f" in refused.found
    assert refused.helper == "data scientist"
    assert refused.fix


@pytest.mark.parametrize("metric", ["true_positive_rate", "false_positive_rate", "accuracy", "cost", "auc", "log_loss"])
def test_any_figure_can_be_compared_between_groups(workspace: Workspace, clean: ModelVersion, metric: str) -> None:
    wide = said(workspace, clean, sw.fair(metric, by="sex", margin=0.5))
    assert wide.result == "passed", wide
    assert said(workspace, clean, sw.fair(metric, by="sex", margin=0.0)).result == "cannot tell"


def test_a_small_group_is_named_and_does_not_silently_pass(workspace: Workspace) -> None:
    fit, test = halves(loans())
    few = pl.Series(["rare" if i < 30 else "f" if i % 2 else "m" for i in range(test.height)])
    version = released(workspace, sw.evaluate(trees(fit), test.with_columns(sex=few), label="failed"))
    open_ = said(workspace, version, FAIR)
    assert open_.result == "cannot tell"
    assert "sex=rare cannot tell: 30 rows are too few" in open_.found
    assert "least=50" in open_.fix
    aside = said(workspace, version, sw.fair("selection_rate", by="sex", margin=0.1, least=50))
    assert (aside.result, "sex=rare aside, n=30" in aside.found) == ("passed", True)


def test_fairness_by_a_column_that_is_not_there_cannot_be_told(workspace: Workspace, clean: ModelVersion) -> None:
    found = said(workspace, clean, sw.fair("selection_rate", by="sexx", margin=0.1))
    assert (found.result, found.fix) == ("cannot tell", "Did you mean 'sex'?")
    assert said(workspace, clean, sw.fair("selection_rat", by="sex", margin=0.1)).result == "cannot tell"
    many = said(workspace, clean, sw.fair("selection_rate", by="loan", margin=0.1))
    assert many.result == "cannot tell"
    assert "3,000 groups" in many.found


def test_dirty_input_is_answered_or_the_input_that_breaks_is_named(workspace: Workspace, clean: ModelVersion) -> None:
    passed = said(workspace, clean, sw.robust(missing=0.02, noise=0.02, drop=0.05))
    assert passed.result == "passed", passed
    assert "auc falls by" in passed.found
    fragile = said(workspace, clean, sw.robust(missing=0.6, noise=0.1, drop=0.01))
    assert fragile.result == "refused"
    assert "0.6 missing: auc falls by" in fragile.found


def test_an_input_that_the_contract_requires_is_not_taken_away(workspace: Workspace) -> None:
    fit, test = halves(loans())
    version = released(workspace, sw.evaluate(line(fit), test, label="failed"))
    found = said(workspace, version, sw.robust(missing=0.5, noise=0.02, drop=0.05))
    assert found.result == "passed", found
    assert "required, so that it cannot be missing: income, debt" in found.found


def test_a_model_that_raises_for_what_it_never_saw_is_refused_and_says_for_which_input(workspace: Workspace) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    fit, test = halves(loans())
    x = fit.select("income", "debt", "branch").to_pandas()
    coded = make_column_transformer((OneHotEncoder(), ["branch"]), remainder="passthrough")
    fitted = make_pipeline(coded, LogisticRegression(max_iter=1000)).fit(x, fit["failed"].to_numpy())
    version = released(workspace, sw.evaluate(sw.Model(fitted, sample=x, decision=DECISION), test, label="failed"))
    found = said(workspace, version, sw.robust(missing=0, noise=0, drop=1))
    assert found.result == "refused", found
    assert "branch with a text never seen: refuses the row (InvalidInput)" in found.found


def test_an_input_without_effect_is_one_whatever_its_value(workspace: Workspace) -> None:
    fit, test = halves(loans())
    version = released(
        workspace, sw.evaluate(trees(fit, (*INPUTS, "sex"), monotone=[-1, 1, 0, 0, 0]), test, label="failed")
    )
    assert said(workspace, version, sw.invariant("sex", tolerance=0.1)).result == "passed"
    assert said(workspace, version, sw.invariant("loan")).found == "loan is neither an input nor part of one"
    refused = said(workspace, version, sw.invariant("debt"))
    assert refused.result == "refused"
    assert "row " in refused.found
    assert " of the evaluated rows, where debt from " in refused.found
    biased = said(workspace, released(workspace, unfair(fit, test)), sw.invariant("sex"))
    assert biased.result == "refused"
    assert "where sex from " in biased.found
    assert said(workspace, version, sw.invariant("debtt")).fix == "Did you mean 'debt'?"


def test_a_direction_holds_by_constraint_and_is_refuted_by_the_worst_row(
    workspace: Workspace, clean: ModelVersion
) -> None:
    for column, direction in (("income", "decreasing"), ("debt", "increasing")):
        found = said(workspace, clean, sw.monotonic(column, direction))  # type: ignore[arg-type]
        assert found.result == "passed", found
        assert found.found.startswith("0 of 3,000 rows break it")
    against = said(workspace, clean, sw.monotonic("income", "increasing"))
    assert against.result == "refused"
    assert "lowers the answer by" in against.found
    fit, test = halves(loans())
    free = released(workspace, sw.evaluate(trees(fit, rounds=80), test, label="failed"))
    jumpy = said(workspace, free, sw.monotonic("income", "decreasing"))
    assert jumpy.result == "refused"
    assert "monotone_constraints" in jumpy.fix
    assert said(workspace, free, sw.monotonic("income", "decreasing", share=1.0)).result == "passed"
    assert said(workspace, free, sw.monotonic("branch", "increasing")).result == "cannot tell"


def test_an_honest_model_has_no_leak(workspace: Workspace, clean: ModelVersion) -> None:
    found = said(workspace, clean, sw.no_leakage())
    assert found.result == "passed", found
    assert "0 of 3,000 evaluated rows were among those of training" in found.found


@pytest.mark.parametrize("leak", ["copy", "nearly", "missing when failed", "by its values"])
def test_an_input_that_tells_the_label_is_named(workspace: Workspace, leak: str) -> None:
    rows, random = loans(), np.random.default_rng(3)
    failed = rows["failed"].to_numpy()
    told = {
        "copy": pl.Series(failed.astype(float)),
        "nearly": pl.Series(failed + random.normal(0, 0.1, failed.size)),
        "missing when failed": pl.Series([None if one else 1.0 for one in failed]),
        "by its values": pl.Series(np.where(failed, 5.0, random.choice([1.0, 9.0], failed.size))),
    }[leak]
    fit, test = halves(rows.with_columns(dunning=told))
    version = released(workspace, sw.evaluate(trees(fit, (*INPUTS, "dunning"), rounds=5), test, label="failed"))
    found = said(workspace, version, sw.no_leakage())
    assert found.result == "refused", found
    assert found.found.startswith("dunning: it ")
    assert "dunning" in found.fix


@pytest.mark.parametrize("make", [trees, line])
def test_rows_that_taught_the_model_do_not_judge_it(workspace: Workspace, make: Any) -> None:
    fit, test = halves(loans())
    mixed = pl.concat([test, fit[:300]])
    found = said(workspace, released(workspace, sw.evaluate(make(fit), mixed, label="failed")), sw.no_leakage())
    assert found.result == "refused", found
    assert "300 of 3,300 evaluated rows were among those of training" in found.found


def test_where_nobody_can_tell_whether_rows_taught_it_the_gate_stays_closed(
    workspace: Workspace, clean: ModelVersion
) -> None:
    fit, test = halves(loans())
    coarse = [rows.select((pl.col("income") / 10).round(), "failed") for rows in (fit, test)]
    version = released(workspace, sw.evaluate(trees(coarse[0], ["income"]), coarse[1], label="failed"))
    found = said(workspace, version, sw.no_leakage())
    assert (found.result, found.found) == ("cannot tell", "nobody can tell whether evaluated rows had taught it")
    assert found.fix


def table(workspace: Workspace, name: str, *checks: CheckResult, **more: Any) -> str:
    version = "a" * 64
    record = TableVersion(
        id=f"flights/{name}@{version}", project="flights", name=name, created_at=workspace.clock.now(), number=2,
        version=version, change="overwrite", rows=10, added_rows=10, fingerprint="f", fields=(), checks=checks, **more,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, record)
    return f"table:{record.id}"


def result(passed: bool = True, **more: Any) -> CheckResult:
    return CheckResult(
        check="loan is unique", passed=passed, severity="warn", failed_rows=0 if passed else 3, rows=10, **more
    )


def test_the_tables_behind_a_model_passed_their_checks(workspace: Workspace) -> None:
    fit, test = halves(loans(n=1200))
    model = sw.evaluate(trees(fit, rounds=3), test, label="failed")

    def judged(*nodes: str) -> Outcome:
        return said(workspace, released(workspace, model, data=nodes), sw.data_checks())

    good, bare = table(workspace, "loans", result()), table(workspace, "weather")
    assert judged(good).result == "passed"
    assert judged(good).found == "1 checks of 1 tables passed: loans 2"
    refused = judged(good, table(workspace, "broken", result(), result(False)))
    assert (refused.result, refused.found) == ("refused", "broken 2: loan is unique in all but 3 of 10 rows")
    assert refused.fix.endswith("slipway data show broken")
    assert refused.helper == "data engineer"
    assert judged(good, bare).result == "cannot tell"
    assert "weather declares no checks" in judged(good, bare).found
    assert judged(table(workspace, "few", result(undecided=True))).result == "cannot tell"
    stored = table(workspace, "training.x", result(), source="features.training_batches('loans', label='failed')")
    with workspace.ledger.write() as tx:
        lineage.link(tx, bare, stored, "source")
    assert "weather declares no checks" in judged(stored).found, (
        "a stored training set does not hide what it was made of"
    )
    assert judged().result == "cannot tell"
    assert judged("table:flights/gone@1").result == "cannot tell"


def test_what_is_not_written_down_is_named_with_who_should_write_it(workspace: Workspace, clean: ModelVersion) -> None:
    found = said(workspace, clean, sw.documented("purpose", "limits", "evaluation", "decision"))
    assert found.result == "refused"
    assert found.found == "purpose is missing (business owner); limits is missing (data scientist)"
    assert found.fix == 'Answer it: slipway documents answer card loans purpose "..."'
    assert found.helper == "business owner"
    for field in ("purpose", "limits"):
        answer(workspace, AnswerField(kind="card", name="loans", field=field, text="Whether a loan will fail."))
    passed = said(workspace, clean, sw.documented("purpose", "limits", "evaluation", "decision"))
    assert passed.result == "passed"
    told = {field.name: field for field in get_document(workspace, GetDocument(kind="card", name="loans")).fields}
    assert (told["purpose"].state, told["purpose"].text) == ("asked", "Whether a loan will fail.")
    assert told["harm"].state == "missing"
    whole = said(workspace, clean, sw.documented())
    assert "harm is missing (governance)" in whole.found
    with pytest.raises(InvalidInput, match="says nothing"):
        answer(workspace, AnswerField(kind="card", name="loans", field="harm", text="x"))
    with pytest.raises(InvalidInput, match="nothing that a person answers"):
        answer(workspace, AnswerField(kind="card", name="loans", field="code", text="It is good."))


def watching(workspace: Workspace, *monitors: Any) -> None:
    declared = DeclaredEndpoint(
        id=declared_id("flights", "dev", "loans"), project="flights", name="loans", created_at=workspace.clock.now(),
        model="loans", monitors=tuple(monitor.spec() for monitor in monitors),
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, declared)


def test_a_kpi_is_expected_by_the_interval_of_what_decisions_cost(workspace: Workspace, clean: ModelVersion) -> None:
    assert said(workspace, clean, sw.kpi("loss") <= 1).result == "cannot tell"
    watching(workspace, sw.KPI("loss"))
    passed = said(workspace, clean, sw.kpi("loss") <= 1)
    assert passed.result == "passed", passed
    assert " EUR a decision (" in passed.found
    value = passed.values["value"]
    assert said(workspace, clean, sw.kpi("loss") <= value - 0.01).result == "refused"
    close = said(workspace, clean, sw.kpi("loss") <= value + 0.001)
    assert close.result == "cannot tell"
    assert close.fix.startswith("About ")
    assert said(workspace, clean, sw.kpi("loss") >= -1).result == "passed"
    assert said(workspace, clean, sw.kpi("loss") >= 0).result == "refused"
    assert said(workspace, clean, sw.kpi("los") <= 1).fix == "Did you mean 'loss'?"


def test_without_the_rows_no_behaviour_is_told(workspace: Workspace, clean: ModelVersion) -> None:
    workspace.blobs.delete(registry.bundle_of(workspace, clean).evaluated)
    for check in (FAIR, sw.robust(drop=1), sw.invariant("age"), sw.monotonic("age", "increasing"), sw.no_leakage()):
        found = said(workspace, clean, check)
        assert (found.result, found.found) == ("cannot tell", "The rows that it was evaluated on were erased")
        assert found.fix


def test_no_value_of_a_personal_column_is_told(workspace: Workspace) -> None:
    node = table(workspace, "loans", result(), about=AboutTable(personal=("debt", "loan", "sex")))
    fit, test = halves(loans())
    sexes = pl.Series(["Zed" if i < 3 else "f" if i % 2 else "m" for i in range(test.height)])
    model = sw.evaluate(trees(fit, rounds=80), test.with_columns(sex=sexes), label="failed")
    version = released(workspace, model, data=[node])
    moved = said(workspace, version, sw.monotonic("debt", "decreasing"))
    assert "where debt from (personal) to (personal) lowers" in moved.found.replace("raises", "lowers")
    groups = said(workspace, version, FAIR)
    assert "sex=(personal) cannot tell" in groups.found
    assert b"Zed" not in msgspec.json.encode(groups)


def test_evidence_that_raises_closes_its_own_check_and_no_other(
    workspace: Workspace, clean: ModelVersion, tmp_path: Any
) -> None:
    class Broken(type(workspace.blobs)):  # type: ignore[misc]
        """Blobs of which the evaluated rows cannot be read, as on a disk that fails."""

        def get(self, digest: str) -> bytes:
            if digest == registry.bundle_of(workspace, clean).evaluated:
                raise OSError("the disk failed")
            return super().get(digest)  # type: ignore[no-any-return]

    there = dataclasses.replace(workspace, blobs=Broken(workspace.root / "blobs"))
    found = said(there, clean, FAIR)
    assert (found.result, found.found) == ("cannot tell", "asking it raised OSError")
    assert said(there, clean, FAIR, sw.documented("evaluation")).result == "passed"


def test_every_check_of_behaviour_is_collected() -> None:
    makers = {name for name in behaviour.__all__ if name[0].islower()}
    assert makers == KINDS


@pytest.mark.full
def test_false_refusals_and_passes_over_seeds(workspace: Workspace) -> None:
    """Honest models over seeds: none is refused; by what is unfair, unsteady or leaky none passes."""
    checks = (FAIR, sw.robust(missing=0.02, noise=0.02, drop=0.1), sw.monotonic("debt", "increasing"), sw.no_leakage())
    refused = passed = 0
    for seed in range(1, 7):
        fit, test = halves(loans(seed, 4000))
        good = released(workspace, sw.evaluate(trees(fit, monotone=[-1, 1, 0, 0]), test, label="failed"))
        bad = released(workspace, unfair(fit, test))
        refused += sum(said(workspace, good, check).result == "refused" for check in checks)
        passed += sum(said(workspace, good, check).result == "passed" for check in checks)
        assert said(workspace, bad, FAIR).result == "refused"
    assert refused == 0
    assert passed >= 22
