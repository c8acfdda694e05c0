"""`slipway business` on a store without a checkout: words for people, links and mail."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from business_desk import FORBIDDEN, prosper
from slipway.cli.business import business
from slipway.ports.workspace import Workspace


def run(workspace: Workspace, *words: str) -> str:
    done = CliRunner().invoke(business, [*words, "--root", str(workspace.root), "--project", "flights"])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.full
def test_a_link_is_made_listed_and_ended_and_mail_is_set(workspace: Workspace, tmp_path: Path) -> None:
    prosper(workspace)
    told = run(workspace, "show", "flight-delays")
    assert "revenue per seat: worse than agreed." in told
    assert set(FORBIDDEN.findall(told)) <= {"AUC"}  # somebody's own word
    made = run(workspace, "share", "flight-delays", "--for", "the board", "--days", "7")
    (id,) = re.findall(r"/shared/([0-9a-f]+)\.[\w-]{43}\n", made)
    listed = run(workspace, "links", "flight-delays")
    assert "the board" in listed
    assert "No mail is sent." in listed
    assert "ended by" in run(workspace, "revoke", id)
    assert "By mail each Friday to a@example.org, next" in run(
        workspace, "mail", "flight-delays", "a@example.org", "--day", "friday"
    )
    assert run(workspace, "mail", "flight-delays").strip() == "No mail is sent."
    file = tmp_path / "board.pdf"
    run(workspace, "show", "flight-delays", "--pdf", str(file))
    assert file.read_bytes().startswith(b"%PDF")
    nowhere = tmp_path / "nowhere" / "board.pdf"
    done = CliRunner().invoke(
        business,
        ["show", "flight-delays", "--pdf", str(nowhere), "--root", str(workspace.root), "--project", "flights"],
    )
    assert "cannot be written" in str(done.exception or done.output)
