"""Each section of docs/growing.md is read as settings, names what there is, and its places open where a server is here."""

import re
import shlex
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import convert

import objects_here
import postgres_here
import redis_here
from moving_house import opened
from slipway.backends.clocks import SimulatedClock
from slipway.hosts.blob_places import remembered_place
from slipway.hosts.copied_files import COPY_FILE
from slipway.hosts.executors import check_executor
from slipway.hosts.ledgers import is_store, open_ledger
from slipway.hosts.online_stores import look_at
from slipway.hosts.settings import EnvironmentSettings, read_settings
from slipway.records.copies import StoreCopy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "growing.md").read_text()
SECTIONS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.S | re.M)
KEYS = {"shared": "ledger", "large": "blobs", "served": "online", "trained": "executor"}


def named() -> dict[str, EnvironmentSettings]:
    """The environments of all sections, each with the key that it is about."""
    values = tomllib.loads("\n".join(SECTIONS))["environments"]
    return {name: convert(section, EnvironmentSettings) for name, section in values.items()}


def test_each_section_is_one_that_settings_take(tmp_path: Path) -> None:
    assert len(SECTIONS) == 4
    for text in SECTIONS:
        (tmp_path / "slipway.toml").write_text(f'[project]\nname = "p"\n\n{text}')
        (name, chosen), *more = read_settings(tmp_path).environments.items()
        assert more == []
        assert getattr(chosen, KEYS[name]) != getattr(EnvironmentSettings(), KEYS[name])
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\n\n' + "\n".join(SECTIONS))
    assert read_settings(tmp_path).environments == named(), "they may stand in one file"
    check_executor(named()["trained"].executor, 0)


def test_its_command_and_its_verdict_are_as_it_says() -> None:
    lines = [shlex.split(line, comments=True) for line in re.findall(r"^slipway .*$", PAGE, re.M)]
    assert [line[1:3] for line in lines] == [["env", "copy"]] * 2
    assert f"`{COPY_FILE}`" in PAGE
    assert "differences" in StoreCopy.__struct_fields__


@pytest.mark.full
def test_what_its_sections_name_opens_where_the_servers_of_the_tests_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same keys, with the addresses of the servers that are here."""
    found = named()
    with postgres_here.cleaned() as url, closing(open_ledger(tmp_path / found["shared"].store, url)):
        assert is_store(tmp_path / "shared")
    with objects_here.s3() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with opened(
            tmp_path / found["large"].store,
            SimulatedClock(datetime(2013, 4, 1, tzinfo=UTC)),
            blobs="s3://store/growing",
        ) as workspace:
            assert workspace.blobs.get(workspace.blobs.put(b"large")) == b"large"
        assert remembered_place(tmp_path / "large") == "s3://store/growing"
    redis_here.client().close()
    assert look_at(redis_here.URL)[0]
