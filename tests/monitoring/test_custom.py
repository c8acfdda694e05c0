"""Monitors that are plug-ins: given the window's rows, and harmless where they fail."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from plugged_here import installing
from slipway.errors import InvalidDeclaration, NotFound
from slipway.monitoring.custom import custom_monitor
from slipway.monitoring.judge import Found
from slipway.monitoring.judge_custom import judged_by_plugin

NOW = datetime(2026, 3, 10, tzinfo=UTC)
CODE = """
from slipway.ports.monitor import Judged

def told(rows, say="alert", raises=False):
    if raises:
        raise KeyError("wind")
    if say == "nothing":
        return None
    if say == "strange":
        return Judged("ok", "It is fine.", values={"x": object()})
    return Judged(say, f"{rows.height} rows.", value=rows.height)
"""


@pytest.fixture(autouse=True)
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installing(tmp_path, monkeypatch)("told_monitor", CODE, monitor="told = {}:told")


def found(window: str = "7d", **options: str | bool) -> Found:
    rows = pl.DataFrame({"at": [NOW - timedelta(days=days) for days in range(20)], "score": [0.5] * 20})
    spec = custom_monitor("told", window=window, **options).spec()
    assert spec.custom is not None
    return judged_by_plugin(spec, spec.custom, rows, NOW)


def test_it_is_given_the_rows_of_its_window() -> None:
    told = found("3d")
    assert (told.state, told.sentence, told.rows, told.values) == ("alert", "3 rows.", 3, {"value": 3.0})
    assert (told.first, told.last) == (NOW - timedelta(days=2), NOW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"raises": True}, "raised KeyError: 'wind' .*mend it: told_monitor 1.0"),
        ({"say": "nothing"}, "gave None. It gives a Judged"),
        ({"say": "bad"}, "gave Judged.*one of the states ok, note, alert and cannot tell"),
        ({"say": "strange"}, "gave figures that cannot be kept"),
    ],
)
def test_one_that_fails_cannot_tell_and_somebody_must_mend_it(options: dict[str, str | bool], words: str) -> None:
    told = found(**options)
    assert told.state == "cannot tell"
    (cause,) = told.causes
    assert (cause.kind, cause.sentence) == ("custom", told.sentence)
    assert re.search(words, told.sentence), told.sentence


def test_a_monitor_has_the_name_of_its_plugin_or_its_own() -> None:
    assert custom_monitor("told", say="ok").spec().name == "told(say='ok')"
    assert custom_monitor("told", name="stuck").spec().name == "stuck"
    with pytest.raises(NotFound, match="no monitor called 'tol'"):
        custom_monitor("tol")
    with pytest.raises(InvalidDeclaration, match="not a duration"):
        custom_monitor("told", window="soon")
