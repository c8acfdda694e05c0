"""`slipway incidents` in a project's folder, with a mail server behind slipway.toml, and what doctor and inbox say of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from incident_desk import broken, incidents, monitor, shows
from slipway.cli import main
from slipway.governance import raci
from slipway.ledger import entries, projects
from slipway.loop.notifying import route, send_due
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.responsibility import RaciRow
from told_here import mail_server


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def told(*arguments: str) -> str:
    answer = slipway("incidents", *arguments)
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.fixture
def checkout(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder; it is the present folder."""
    projects.register(workspace)
    folder = tmp_path / "checkout"
    folder.mkdir()
    write(folder, workspace.root)
    monkeypatch.chdir(folder)
    return folder


def write(folder: Path, root: Path, more: str = "") -> None:
    settings = f'[project]\nname = "flights"\n[environments.dev]\nstore = "{root}"\n{more}'
    (folder / "slipway.toml").write_text(settings)


def mail(port: int) -> str:
    where = (
        f'host = "127.0.0.1"\nport = {port}\nsecurity = "none"\nsender = "watch@example.org"\nto = "team@example.org"\n'
    )
    return f'[notify.channels.mail]\nkind = "mail"\n{where}'


def test_the_life_of_an_incident(checkout: Path, workspace: Workspace) -> None:
    assert told("list").startswith("No incident is open.\n\nPeople were told of 0 incidents; none was judged yet")
    columns = ["wind", "visib"]
    (one,) = shows(workspace, monitor("drift"), broken(columns=columns, value=0.4, low=0.3, high=0.5, rows=400))
    line = told("list").splitlines()[1]
    for part in (one.id, "flight-delays", "broken feed (feature view weather)", "open", "data engineer"):
        assert part in line
    shown = told("show", one.id[:10])
    for part in (
        "how much  0.4 (0.3 to 0.5)",
        "rows      400",
        "wind, visib",
        "told      opened: waits",
        "# Broken feed",
    ):
        assert part in shown, shown
    assert "looks at" in told("ack", one.id, "--comment", "the mast is down")
    assert "looks" in told("list")
    assert "is put off until 2030-01-01 00:00 UTC" in told("snooze", one.id, "--until", "2030-01-01")
    assert "Repeats are held back until" in told("feedback", one.id, "noise")
    assert told("close", one.id, "--reason", "mended") == f"Closed {one.id}.\n"
    shown = told("show", one.id)
    for part in ("closed by hand by", "noise, by", "the mast is down"):
        assert part in shown
    assert "0% of 1 judged were useful (0% to 79%); 1 noise" in told("list", "--all")
    data = json.loads(told("list", "--all", "--json"))
    assert (data["incidents"][0]["feedback"], data["precision"]["noise"]) == ("noise", 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["snooze", "0" * 32], "does not say until when"),
        (["snooze", "0" * 32, "--for", "2d", "--until", "2030-01-01"], "does not say until when"),
        (["snooze", "0" * 32, "--until", "tomorrow"], "is no date"),
        (["snooze", "0" * 32, "--for", "soon"], "is not a duration"),
        (["show", "0" * 32], "There is no incident"),
        (["test", "smoke-signals"], "There is no channel 'smoke-signals'"),
    ],
)
def test_what_does_not_fit_is_said(checkout: Path, words: list[str], sentence: str) -> None:
    answer = slipway("incidents", *words)
    assert answer.exit_code != 0
    assert sentence in answer.output


def test_a_channel_is_tried_and_doctor_says_how_it_does(checkout: Path, workspace: Workspace) -> None:
    assert told("test").startswith("No channel is configured")
    with mail_server() as server:
        write(checkout, workspace.root, mail(server.port))
        assert told("test") == "mail: sent\n"
        assert server.came[0]["Subject"] == "[flights] a test of the channel mail"
        assert "notifications by mail of flights: mail; the newest message is sent" in slipway("doctor").output
    answer = slipway("incidents", "test", "mail")
    assert (answer.exit_code, "mail: due. The mail server" in answer.output) == (3, True)
    sick = slipway("doctor")
    assert sick.exit_code == 1
    assert "MISSING  notifications by mail of flights: mail; the newest message is due: The mail server" in sick.output
    assert "slipway incidents test mail" in sick.output


def test_the_inbox_and_the_incident_say_that_nobody_was_told(checkout: Path, workspace: Workspace) -> None:
    who = json.loads(slipway("whoami", "--json").output)["identity"]["name"]
    raci.declare(workspace, [RaciRow(stage="data", responsible=(who,))])
    with mail_server() as server:
        write(checkout, workspace.root, mail(server.port))
    slipway("incidents", "list")  # the store learns of the channel
    shows(workspace, monitor("drift"), broken())
    route(workspace)
    send_due(workspace, "one")
    assert "mail is due: The mail server 127.0.0.1" in slipway("inbox").output
    assert "opened, by mail: due: The mail server" in told("show", incidents(workspace)[0].id)


def test_who_may_only_look_may_not_answer(checkout: Path, workspace: Workspace) -> None:
    from slipway.errors import Denied
    from slipway.operations.declare import call
    from slipway.operations.incidents import AckIncident
    from slipway.operations.table import operation

    (one,) = shows(workspace, monitor("drift"), broken())
    viewer = replace(workspace, actor=Actor("eve", roles=("governance",)))
    with pytest.raises(Denied, match="may not do incidents"):
        call(viewer, operation("incidents.ack"), AckIncident(id=one.id))
    with workspace.ledger.read() as tx:
        assert entries.get(tx, type(one), one.id) == one
