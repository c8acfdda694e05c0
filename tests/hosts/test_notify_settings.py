"""What slipway.toml may say of channels, and what is refused before anybody depends on it."""

from pathlib import Path

import pytest

from slipway.errors import Corrupt, InvalidSetting
from slipway.governance import channels
from slipway.hosts.settings import read_settings
from slipway.records.notifications import ChannelSettings, NotifySettings


def read(folder: Path, text: str) -> NotifySettings:
    (folder / "slipway.toml").write_text(f'[project]\nname = "flights"\n{text}')
    return read_settings(folder).notify


MAIL = '[notify.channels.m]\nkind = "mail"\nhost = "smtp.example.org"\nsender = "a@example.org"\n'
HOOK = '[notify.channels.h]\nkind = "webhook"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[notify]\nescalate = "soon"', "notify.escalate: 'soon', given for escalate, is not a duration"),
        ("[notify]\ndigest = 24", "notify.digest is 24"),
        ('[notify]\naddress = "slipway.example.org"', "notify.address is 'slipway.example.org'"),
        ("[notify]\ncool_down = 3", "unknown key 'cool_down'"),
        (MAIL + 'hots = "x"', "unknown key 'hots'"),
        (HOOK, "has no url"),
        ('[notify.channels.m]\nkind = "mail"\nhost = "x"', "has no sender"),
        ('[notify.channels.m]\nkind = "pigeon"', "is of the kind 'pigeon'"),
        (HOOK + 'url = "https://x.org"\nsecret = "s3cret"', "holds its secret itself"),
        (HOOK + 'url = "command:print-url"', "names a command"),
        (MAIL + 'user = "u"\npassword = "s3cret"', "holds its password itself"),
        (MAIL + 'user = "u"', "has a user and no password"),
        (MAIL + 'user = "u"\npassword = "env:P"\nsecurity = "none"', "in clear"),
        (MAIL + 'to = "nobody"', "'nobody' is no address"),
        (MAIL + 'levels = ["loud"]', "does not fit"),
    ],
)
def test_what_could_never_be_sent_or_would_show_a_secret_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence) as refused:
        read(tmp_path, text)
    assert "s3cret" not in str(refused.value)


def test_what_a_folder_remembers_is_by_project_and_without_secrets(tmp_path: Path) -> None:
    one = NotifySettings(channels={"m": ChannelSettings(kind="console", levels=("page",))})
    channels.remember(tmp_path, "flights", one)
    channels.remember(tmp_path, "prices", NotifySettings(cooldown="1d"))
    assert channels.notify_settings(tmp_path, "flights") == one
    assert channels.notify_settings(tmp_path, "other") == NotifySettings()
    channels.remember(tmp_path, "flights", NotifySettings())
    assert channels.every_setting(tmp_path) == {"prices": NotifySettings(cooldown="1d")}
    (tmp_path / channels.NOTIFY_FILE).write_text("{")
    with pytest.raises(Corrupt, match="cannot be read"):
        channels.notify_settings(tmp_path, "flights")
