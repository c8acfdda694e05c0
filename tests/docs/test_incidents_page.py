"""What docs/incidents.md declares can be read, and it names every setting, kind of channel and command."""

import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slipway.backends.webhook_notifier import signature
from slipway.cli.incidents import incidents
from slipway.conformance.notifier import NotifierSuite
from slipway.hosts.settings import read_settings
from slipway.ports.notifier import Notifier
from slipway.records.notifications import CHANNELS, ChannelSettings, NotifySettings

PAGE = (Path(__file__).parents[2] / "docs" / "incidents.md").read_text()


def test_its_settings_are_settings(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.S | re.M)
    (tmp_path / "slipway.toml").write_text(f'[project]\nname = "flights"\n{block}')
    found = read_settings(tmp_path).notify
    assert {one.kind for one in found.channels.values()} | {"console"} == set(CHANNELS)
    for field in msgspec.structs.fields(NotifySettings):
        assert re.search(rf"^(\[notify\.)?{field.name}\b", block, re.M), field.name
        if field.name not in ("address", "channels"):
            assert getattr(found, field.name) == field.default, "what the page shows is what holds without it"


def test_it_names_every_command() -> None:
    assert [name for name in incidents.commands if f"slipway incidents {name}" not in PAGE] == []


def block(start: str) -> dict[str, Any]:
    """The names that a block of Python on the page makes."""
    found = next(one for one in re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M) if one.startswith(start))
    names: dict[str, Any] = {}
    exec(found, names)
    return names


def test_its_receiver_drops_what_is_forged_old_or_known() -> None:
    taken, now, had = block("import hmac")["taken"], int(time.time()), set[str]()
    good = {"slipway-signature": signature("s", now, b"{}"), "idempotency-key": "k"}
    assert [taken(good, b"{}", b"s", had) for _ in range(2)] == [True, False]
    for headers, body in ((good, b"{ }"), (good | {"slipway-signature": signature("s", now - 400, b"{}")}, b"{}")):
        with pytest.raises(ValueError, match="somebody else"):
            taken(headers, body, b"s", had)


class TestItsChannel(NotifierSuite):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.file = tmp_path / "there" / "told"
        self.file.parent.mkdir()

    def make(self, folder: Path) -> Notifier:
        made: Notifier = block("from collections.abc")["Lines"](ChannelSettings(kind="lines", url=str(self.file)))
        return made

    def lose(self) -> bool:
        self.file.parent.rmdir()
        return True

    def refuse(self) -> bool:
        return False

    def came(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []
