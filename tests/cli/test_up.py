"""What `slipway up` serves."""

import re
from pathlib import Path

import pytest

import slipway as sw
from slipway.cli.up import _of_project
from slipway.errors import NotFound


def test_up_serves_what_a_script_logged_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=re.escape("slipway up --root DIR")):
        _of_project("dev")
    with sw.run("alone"):
        pass
    assert _of_project("dev")[:2] == (tmp_path, tmp_path / ".slipway")
