"""Schedules that wait for what a plug-in tells of: each occasion starts once, and one that fails stops no other trigger."""

from pathlib import Path

import pytest

from plugged_here import installing
from scheduled import Desk
from slipway.errors import BackendError

CODE = """
from pathlib import Path

def told(now, path):
    said = Path(path).read_text() if Path(path).exists() else ""
    if said == "broken":
        raise OSError("the drop is away")
    return said
"""


def test_each_occasion_fires_once_and_a_failure_stops_no_other_trigger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    installing(tmp_path / "packages", monkeypatch)("told_trigger", CODE, trigger="told = {}:told")
    desk, drop = Desk(tmp_path), tmp_path / "drop.txt"
    declared = (
        f'when=[sw.custom_trigger("told", path={str(drop)!r}), sw.cron("0 3 * * *")], params={{"until": sw.today}}'
    )
    desk.declare(declared)
    assert "custom told(path=" in desk.type("show", "nightly")
    assert desk.decide() == []
    for said, firings in (("one", 1), ("one", 1), ("two", 2), ("", 2), ("one", 2), ("three", 3)):
        drop.write_text(said)
        desk.decide()
        desk.decide()
        assert len(desk.firings()) == firings, said
    assert {one.occasion for one in desk.firings()} == {"one", "two", "three"}
    drop.write_text("broken")
    desk.at(hours=16)
    with pytest.raises(BackendError, match=r"raised OSError: the drop is away.*mend it: told_trigger 1.0"):
        desk.decide()
    assert [one.occasion for one in desk.firings()][-1] == "2013-04-02T03:00:00+00:00"
    desk.declare(declared)  # published again it goes on from where it was
    drop.write_text("three")
    desk.decide()
    assert len(desk.firings()) == 4
