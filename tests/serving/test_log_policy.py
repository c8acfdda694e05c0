"""A share of the rows, and no personal values: what is chosen, and what stands in the log."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from serving_desk import CONTRACT, Desk

from slipway.errors import Corrupt, InvalidDeclaration
from slipway.flows.log import Log
from slipway.records.endpoints import LogSpec
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field
from slipway.serving import counters as count
from slipway.serving.log_policy import LogPolicy, hashed, read_key
from slipway.tables.log_sampling import is_logged

SECRET = b"k" * 32
FIELDS = (Field("email", "string"), Field("age", "int"), Field("shop", "string"))
INPUTS = {"b" * 16: (Field("age", "int"), Field("shop", "string"))}


def row(n: int, **more: Any) -> PredictionRow:
    given: dict[str, Any] = {
        "id": f"p{n}", "at_us": 1, "answered_us": 1, "version": 1, "bundle": "b" * 16, "key": f"ada{n}@x.org|s1",
        "request": [f"ada{n}@x.org", 30, "s1"], "features": [30, "s1"], "score": 0.5,
    }  # fmt: skip
    return PredictionRow(**(given | more))


def policy(**spec: Any) -> LogPolicy:
    return LogPolicy(LogSpec(**spec), FIELDS, ("email", "shop"), INPUTS, SECRET)


def test_a_share_of_the_keys_is_logged_always_or_never_and_says_how_likely_it_was() -> None:
    rows = [row(n) for n in range(4000)]
    tenth, half = policy(sample=0.1), policy(sample=0.5)
    kept = tenth.kept(rows)
    assert 300 < len(kept) < 500
    assert tenth.kept([row(n, id="another") for n in range(4000)]) == [
        row(n, id="another") for n in range(4000) if row(n) in kept
    ]
    assert {one.key for one in kept} <= {one.key for one in half.kept(rows)}, "a greater share has all of a smaller one"
    assert {one.log_share for one in tenth.written(kept)} == {0.1}
    assert policy().kept(rows) is rows


def test_rows_without_a_key_are_drawn_by_their_ids() -> None:
    rows = [row(n, key="") for n in range(2000)]
    kept = {one.id for one in policy(sample=0.25).kept(rows)}
    assert kept == {one.id for one in rows if is_logged(one.id, 0.25)}


def test_personal_texts_become_hashes_and_other_personal_values_stay_out() -> None:
    (written,) = policy(redacted=("age", "email")).written([row(1)])
    secret = hashed(SECRET, "ada1@x.org")
    assert written.request == [secret, None, "s1"]
    assert written.features == [None, "s1"]
    assert written.key == f"{secret}|s1"
    assert "ada" not in repr(written)
    assert hashed(b"o" * 32, "ada1@x.org") != secret


def test_a_labels_key_is_hashed_as_its_rows_key_was() -> None:
    one = policy(redacted=("email",), sample=0.5)
    (label,) = one.labels([LabelRow("", r"a\|b|s1", 1.0, 1, 1)])
    (written,) = one.written([row(1, key=r"a\|b|s1")])
    assert label.key == written.key == f"{hashed(SECRET, 'a|b')}|s1"


def test_a_key_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match=r"log\.key"):
        read_key(tmp_path)


@pytest.mark.parametrize(
    "given",
    [{"keep": "400"}, {"keep": "12h"}, {"sample": 0}, {"sample": 1.5}, {"sample": True}, {"sync": 1}, {"redact": "all"},
     {"roll": "0m"}],
)  # fmt: skip
def test_what_is_no_declaration_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration):
        Log(**given)


def test_an_endpoint_logs_the_share_and_counts_the_rest() -> None:
    desk = Desk()
    assert desk.active is not None
    chosen = LogPolicy(LogSpec(sample=0.5), CONTRACT.fields, CONTRACT.key, {"1" * 16: ()})
    desk.active = replace(desk.active, log_policy=chosen)
    for n in range(40):
        flight = {"flight_id": f"F{n}", "distance": 1.0, "departure": "2013-04-01T12:00:00Z"}
        assert desk.predict(flight).status_code == 200
    desk.close()
    assert {one.key for one in desk.logged} == {f"F{n}" for n in range(40) if is_logged(f"F{n}", 0.5)}
    assert desk.counters.total(count.ROWS) == 40
    assert desk.counters.total(count.LOG_PASSED_OVER) == 40 - len(desk.logged)
    assert desk.counters.total(count.LOG_WRITTEN) == len(desk.logged)
