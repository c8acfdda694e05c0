"""Where secrets are kept, and that no sentence shows one."""

import sys
from pathlib import Path

import pytest

from slipway.errors import InvalidSetting
from slipway.ports.secrets import filled, read_secret
from slipway.serving.secret_urls import POSTGRES, check_no_command, check_url, resolved

SECRET = "hunter2/ö@:"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "a secret"
    made.write_text(f"{SECRET}\n")
    return made


def test_a_secret_is_read_where_it_is_kept_each_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", SECRET)
    command = f"command:{sys.executable} -c \"print(open('{file}').read())\""
    for text in ("env:A_SECRET", f"file:{file}", command):
        assert read_secret(text) == SECRET
    assert read_secret("as it is: no secret") == "as it is: no secret"
    file.write_text("changed")
    assert [read_secret(text) for text in (f"file:{file}", command)] == ["changed", "changed"]


def test_it_stands_inside_a_url_as_urls_write_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", SECRET)
    for reference in ("${A_SECRET}", f"${{file:{file}}}", f"${{command:cat '{file}'}}"):
        url = f"postgresql://slipway:{reference}@db/x"
        assert filled(url, is_quoted=True) == "postgresql://slipway:hunter2%2F%C3%B6%40%3A@db/x"
        assert resolved(url) == f"postgresql://slipway:{SECRET}@db/x"
        check_url(url, "The setting ledger", POSTGRES)
    check_url(f"file:{file}", "The setting ledger", POSTGRES)
    with pytest.raises(InvalidSetting, match="holds a password"):
        check_url("postgresql://slipway:file:secret@db/x", "The setting ledger", POSTGRES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
        ("file:secret.txt", "no absolute path"),
        ("file:/nowhere/at/all", "cannot be read: No such file"),
        ("file:/tmp", "cannot be read: Is a directory"),
        ("file:/dev/zero", "more than 65,536 bytes"),
        ("file:/dev/null", "is empty"),
        ("command:", "gave none"),
        ("command:no-such-program-anywhere", "gave none: No such file"),
        ("command:echo 'unclosed", "gave none"),
        ("command:true", "is empty"),
        ("command:sh -c 'echo hunter2; echo hunter2 >&2; exit 3'", "exit code 3"),
        ("command:echo a; echo hunter2 | cat", None),
    ],
)
def test_what_cannot_be_read_is_a_sentence_without_the_secret(text: str, words: str | None) -> None:
    if words is None:
        assert read_secret(text) == "a; echo hunter2 | cat", "there is no shell"
        return
    with pytest.raises(InvalidSetting, match=words) as refused:
        read_secret(text)
    assert "hunter2" not in str(refused.value).replace(text, "")


def test_an_endpoint_runs_no_command_of_its_folder() -> None:
    for url in ("command:cat x", "redis://:${command:cat x}@host/0"):
        with pytest.raises(InvalidSetting, match="endpoints would run"):
            check_no_command(url, "The setting online")
