"""Which online store settings and an endpoint's folder name."""

from pathlib import Path

import pytest

from slipway.errors import Corrupt, InvalidSetting
from slipway.hosts.online_stores import open_online, open_to_serve
from slipway.hosts.project import open_project
from slipway.hosts.settings import read_settings
from slipway.records.endpoints import EMBEDDED, OnlinePlace
from slipway.serving.online_place import read_place, write_place
from slipway.serving.secret_urls import check_url


def settings_with(folder: Path, online: str) -> str:
    (folder / "slipway.toml").write_text(f'[project]\nname = "p"\n[environments.prod]\nonline = "{online}"\n')
    return read_settings(folder).environment("prod").online


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://h:6379/0",
        "rediss://user:${SECRET}@h/2",
        "redis://:${SECRET}@h",
        "env:REDIS_URL",
        "unix:///run/r.sock",
    ],
)
def test_an_environment_names_its_store(tmp_path: Path, url: str) -> None:
    assert settings_with(tmp_path, url) == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://:hunter2@h:6379/0", "holds a password"),
        ("redis://me:hunter2@h", "holds a password"),
        ("redis://h/0?password=hunter2", "holds a password"),
        ("http://h:6379", "names no Redis"),
        ("localhost", "names no Redis"),
        ("redis://[::1/0", "names no Redis"),
    ],
)
def test_a_password_or_another_scheme_is_refused(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence) as refusal:
        settings_with(tmp_path, url)
    assert "hunter2" not in str(refusal.value)


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_NO_SUCH", raising=False)
    for url in ("redis://:${SLIPWAY_NO_SUCH}@h", "env:SLIPWAY_NO_SUCH"):
        check_url(url, "The setting online")
        with pytest.raises(InvalidSetting, match="SLIPWAY_NO_SUCH is not set"):
            open_online(tmp_path, OnlinePlace(url=url, namespace="n"))


def test_a_project_is_opened_with_its_environments_store(tmp_path: Path) -> None:
    settings_with(tmp_path, "redis://h:6379/0")
    for environment, root, online in (
        ("prod", None, "redis://h:6379/0"),
        ("dev", None, ""),
        ("prod", tmp_path / "another", ""),  # another store's endpoints have stores of their own, as a simulation's
    ):
        with open_project(tmp_path, environment=environment, root=root) as project:
            assert project.workspace.online == online


def test_a_folder_names_its_store(tmp_path: Path) -> None:
    assert read_place(tmp_path) == EMBEDDED
    write_place(tmp_path, EMBEDDED)
    assert list(tmp_path.iterdir()) == []
    open_to_serve(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["online.db"]
    place = OnlinePlace(url="redis://h/0", namespace="slipway:p:prod", identity="i")
    write_place(tmp_path, place)
    assert read_place(tmp_path) == place
    write_place(tmp_path, EMBEDDED)
    assert read_place(tmp_path) == EMBEDDED
    (tmp_path / "online.json").write_text("{")
    with pytest.raises(Corrupt, match="Deploy the endpoint again"):
        read_place(tmp_path)
