"""One port for all endpoints, as an environment of slipway.toml names it."""

from pathlib import Path

import pytest

from slipway.errors import InvalidSetting
from slipway.hosts.endpoint_port import keep_port
from slipway.hosts.project import open_project
from slipway.hosts.settings import read_settings
from slipway.records.reach import Reach
from slipway.serving.reach_file import REACH_FILE, encoded, read_reach


def test_the_port_of_the_settings_counts_and_all_else_that_was_said_stays(tmp_path: Path) -> None:
    (tmp_path / REACH_FILE).write_bytes(encoded(Reach(host="0.0.0.0", names=("example.org",), port=9000)))
    keep_port(tmp_path, 8080)
    assert read_reach(tmp_path) == Reach(host="0.0.0.0", names=("example.org",), port=8080)


def test_settings_without_a_port_leave_what_was_said(tmp_path: Path) -> None:
    keep_port(tmp_path, 0)
    assert not (tmp_path / REACH_FILE).exists()
    (tmp_path / REACH_FILE).write_bytes(encoded(Reach(port=9000)))
    keep_port(tmp_path, 0)
    assert read_reach(tmp_path).port == 9000


def test_each_environment_names_its_own(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text(
        '[project]\nname = "flights"\n[environments.test]\nport = 8081\n[environments.prod]\nport = 8080\n'
    )
    settings = read_settings(tmp_path)
    assert [settings.environment(name).port for name in ("dev", "test", "prod")] == [0, 8081, 8080]


@pytest.mark.parametrize("port", ["-1", "65536", "'8080'"])
def test_what_is_no_port_is_refused(tmp_path: Path, port: str) -> None:
    (tmp_path / "slipway.toml").write_text(f'[project]\nname = "flights"\n[environments.dev]\nport = {port}\n')
    with pytest.raises(InvalidSetting):
        read_settings(tmp_path)


def test_an_opened_project_tells_its_store(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "flights"\n[environments.dev]\nport = 8081\n')
    (tmp_path / "project.py").write_text("")
    with open_project(tmp_path) as opened:
        assert read_reach(opened.workspace.root).port == 8081
