"""A model that hangs closes its gate: what is asked of it has a time limit, which the refusal names."""

import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from small_desk import FIRST, NAME, Desk

import slipway as sw
from slipway.flows import asking, evidence, replay_rows
from slipway.flows.deploy import deploy
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.scoring import Scorer
from slipway.operations.endpoints import Deploy
from slipway.records.gates import Outcome, Verdict

ROBUST = sw.robust(missing=0.1, noise=0.1, drop=0.5)
SHORT = 0.2
"""The limit of a question that hangs; those that are answered have the whole one, however busy the machine is."""


def judged(desk: Desk, *checks: Any) -> Verdict:
    gate = sw.Gate(sw.metric("auc") >= 0.5, *checks).spec
    return deploy(desk.workspace, Deploy(model=NAME, version=str(FIRST), dry_run=True, gate=gate)).verdict


def of(ruling: Verdict, words: str) -> Outcome:
    return next(one for one in ruling.outcomes if words in one.check)


def asking_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "slipway-asking"]


def ends(condition: Callable[[], bool]) -> bool:
    """Whether it comes true; it is waited for long, so that a busy machine changes nothing."""
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    return condition()


def test_a_model_that_never_answers_is_refused_and_its_loop_is_ended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Scorer.rows

    def endless(self: Scorer, rows: list[list[Any]]) -> Any:
        is_hanging = asking.LIMIT_S == SHORT
        while is_hanging:
            pass
        return answers(self, rows)

    def behaves(*given: Any, **more: Any) -> Any:  # it answers its sample, and hangs on the evaluated rows
        patched.setattr(asking, "LIMIT_S", SHORT)
        return collects(*given, **more)

    collects = evidence.collect_behaviour

    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "rows", endless)
        patched.setattr(evidence, "collect_behaviour", behaves)
        ruling = judged(desk, ROBUST, sw.monotonic("distance", "increasing"))
    assert not ruling.passed
    assert of(ruling, "auc at least").result == of(ruling, "loads").result == "passed"
    hung = of(ruling, "falls by at most")
    assert (hung.result, hung.found) == ("cannot tell", "The model did not answer within 0.2 s")
    assert "in a notebook" in hung.fix
    assert "is not asked any more" in of(ruling, "as distance grows").found
    assert ends(lambda: not asking_threads())
    assert "did not answer" not in of(judged(desk, ROBUST), "falls by at most").found
    assert ends(lambda: not asking_threads())  # what answered leaves none behind either


def test_a_model_that_hangs_while_it_answers_dirty_input_is_not_taken_for_one_that_raises(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = Scorer.rows, []

    def endless(self: Scorer, rows: list[list[Any]]) -> Any:
        asked.append(len(rows))
        while len(rows) == 40:  # the rows with values out of range
            pass
        if len(rows) > 200:  # the evaluated rows: what is asked next hangs
            patched.setattr(asking, "LIMIT_S", SHORT)
        return answers(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "rows", endless)
        hung = of(judged(desk, ROBUST), "falls by at most")
    assert asked[-1] == 40
    assert (hung.result, hung.found) == ("cannot tell", "The model did not answer within 0.2 s")
    assert ends(lambda: not asking_threads())


def test_a_bundle_that_never_loads_is_refused_and_left_alone_while_it_hangs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, goes_on, begun = bundles.load, threading.Event(), []

    def hanging(*given: Any, **more: Any) -> Any:
        begun.append(given)
        goes_on.wait()
        return loads(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(bundles, "load", hanging)
        patched.setattr(asking, "LIMIT_S", SHORT)
        first, second = judged(desk), judged(desk)
    found = of(first, "the bundle loads")
    assert (found.result, found.found) == ("cannot tell", "The model did not load within 0.2 s")
    assert "did not answer before" in of(second, "the bundle loads").found
    assert not first.passed
    assert len(begun) == 1
    goes_on.set()
    assert ends(lambda: not asking_threads())
    assert of(judged(desk), "the bundle loads").result == "passed"


def test_a_replay_ends_with_the_first_row_that_is_not_answered_in_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_rows, "_ANSWER_WITHIN_S", 1e-9)
    version = desk.version(FIRST)
    found = replay_rows.replay_rows(desk.workspace, version, registry.bundle_of(desk.workspace, version), 20)
    assert found.verdict == "cannot"
    assert "did not answer row 1 of 20 within 1e-09 s" in found.sentence
