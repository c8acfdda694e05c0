"""A server gives the project's own commands: what it asks for, what it shows them, and what it takes of their answers."""

import time
from pathlib import Path

import msgspec
import pytest

from slipway.errors import BackendError, Conflict, GateRefused, InvalidInput
from slipway.governance.people import add
from slipway.hosts import by_command
from slipway.hosts.by_command import ByCommand
from slipway.hosts.project import open_workspace
from slipway.operations.people import AddPerson
from slipway.records.promotions import PromotionPlace

SETTINGS = """
[project]
name = "parcels"
module = "pushed"

[environments.test]
store = ".slipway-test"

[environments.prod]
store = ".slipway-prod"
"""
SAYS_WHAT_IT_SEES = """
import json, os, sys
shown = {name: value for name, value in os.environ.items() if name.startswith("SLIPWAY_TOKEN")}
print(json.dumps({"error": {"code": "Conflict", "what": json.dumps([sys.argv[1:], shown])}}), file=sys.stderr)
sys.exit(6)
"""
PLACE = PromotionPlace(target="test", source="dev", tokens=("test",))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "slipway.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def known(home: Path) -> Path:
    """Test's store knows somebody."""
    opened = open_workspace(home / ".slipway-test", project="parcels", environment="test")
    add(opened, AddPerson(name="boss", roles=("admin",)))
    opened.ledger.close()
    return home


def told(home: Path, **more: str) -> tuple[list[str], dict[str, str]]:
    """The words and tokens that a command is given."""
    with pytest.raises(Conflict) as caught:
        ByCommand(home, "dev").promote(
            PLACE, "parcels", "1", tokens={"test": " slw_mine ", "prod": "slw_other"}, **more
        )
    words, shown = msgspec.json.decode(caught.value.what)
    return words, shown


def test_the_places_are_those_of_the_settings(home: Path) -> None:
    places = ByCommand(home, "dev").places("parcels")
    assert [(one.source, one.target, one.tokens, one.obstacle) for one in places] == [
        ("dev", "test", (), ""),
        ("test", "prod", (), ""),
    ]
    assert ByCommand(home, "dev").places("another") == ()


def test_a_token_is_asked_for_where_people_are_known(known: Path) -> None:
    assert [one.tokens for one in ByCommand(known, "dev").places("parcels")] == [("test",), ("test",)]


def test_a_store_that_knows_nobody_is_not_entered_from_one_that_does(known: Path) -> None:
    places = ByCommand(known, "test").places("parcels")
    assert [one.obstacle.partition(",")[0] for one in places] == [
        "The store of dev knows nobody",
        "The store of prod knows nobody",
    ]


def test_a_server_elsewhere_is_not_reached(home: Path) -> None:
    far = SETTINGS.replace('store = ".slipway-prod"', 'server = "http://127.0.0.1:1"')
    (home / "slipway.toml").write_text(far)
    first, second = ByCommand(home, "dev").places("parcels")
    assert (first.obstacle, "kept by the server" in second.obstacle) == ("", True)


def test_only_what_the_asker_showed_is_shown_to_the_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TOKEN", "slw_of_the_server")
    monkeypatch.setenv("SLIPWAY_TOKEN_PROD", "slw_of_the_server")
    monkeypatch.setattr(by_command, "_PROGRAM", ("-c", SAYS_WHAT_IT_SEES))
    words, shown = told(home, endpoint="other", key="abc")
    assert words == [
        "promote", "-C", str(home), "--json", "--to=test", "--from=dev", "--endpoint=other", "--trust=abc", "--", "parcels:1",
    ]  # fmt: skip
    assert shown == {"SLIPWAY_TOKEN_TEST": "slw_mine"}
    with pytest.raises(Conflict, match=r"--reject.*--.*parcels"):
        ByCommand(home, "dev").approve(PLACE, "parcels", "1", role="accountable", reject=True, comment="--x", tokens={})


def test_what_a_command_says_is_taken_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = 'import sys; print(\'working\\n{"error": {"code": "GateRefused", "what": "no"}}\', file=sys.stderr); sys.exit(3)'
    for program, kind in ((refused, GateRefused), ("print('?')", Exception), ("raise SystemExit(9)", BackendError)):
        monkeypatch.setattr(by_command, "_PROGRAM", ("-c", program))
        with pytest.raises(kind):
            ByCommand(home, "dev").promote(PLACE, "parcels", "1", tokens={})
    with pytest.raises(InvalidInput, match="zero byte"):
        ByCommand(home, "dev").promote(PLACE, "par\0cels", "1", tokens={})


def test_a_command_that_takes_long_goes_on_by_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let, done = home / "let", home / "done"
    program = (
        f"import os, time\nwhile not os.path.exists({str(let)!r}): time.sleep(0.02)\nopen({str(done)!r}, 'w').close()"
    )
    monkeypatch.setattr(by_command, "_PROGRAM", ("-c", program))
    assert ByCommand(home, "dev", patience_s=0.0).promote(PLACE, "parcels", "1", tokens={}) is None
    let.touch()
    while not done.exists():
        time.sleep(0.02)
