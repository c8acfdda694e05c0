"""`slipway data`: versions of a table, from the command line."""

import json

import polars as pl
import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.ledger.projects import register
from slipway.ports.workspace import Workspace
from slipway.tables.versions import append, overwrite, read


def rows(start: int, stop: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, stop), "n": range(start, stop)}, schema={"id": pl.Int64, "n": pl.Int32})


@pytest.fixture
def store(workspace: Workspace) -> list[str]:
    """The options that lead to a store with a table of two versions."""
    register(workspace)
    overwrite(workspace, "flights", rows(0, 5), key=("id",))
    append(workspace, "flights", rows(5, 7))
    return ["--root", str(workspace.root), "--project", "flights"]


def data(store: list[str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["data", arguments[0], *store, *arguments[1:]])


def test_a_table_is_named_compared_altered_and_kept(store: list[str], workspace: Workspace) -> None:
    assert data(store, "tag", "flights", "golden", "1").output == "golden names version 1 of flights.\n"
    assert data(store, "branch", "flights", "fix").output == "The branch fix begins at version 2 of flights.\n"
    append(workspace, "flights", rows(9, 10), branch="fix")
    merged = data(store, "merge", "flights", "fix").output
    assert merged.startswith("flights: version 3 (")
    altered = data(
        store, "alter", "flights", "--rename", "n:delay", "--add", "gate:string", "--widen", "n:int64"
    ).output
    assert "version 4" in altered
    assert "added gate (string), renamed n to delay, widened n to int64" in altered
    assert read(workspace, "flights").collect_schema()["delay"] == pl.Int64
    said = data(store, "diff", "flights", "golden").output.splitlines()
    assert said[0] == "flights: version 1 to version 4"
    assert "The column n was renamed to delay." in said
    assert said[-1] == "3 rows were added, 0 removed, 0 changed."
    assert "version 5" in data(store, "compact", "flights").output
    shown = data(store, "show", "flights", "golden").output
    assert "overwrite" in shown
    assert "append" not in shown
    history = data(store, "history", "flights").output
    assert "tag golden" in history
    assert "branch fix" in history
    assert "main" in history
    would = data(store, "clean", "--dry-run", "--keep", "1", "--grace-days", "0").output
    assert would.startswith("flights: would free ")
    assert "versions without their rows from now on: 2, 4; 3 stay" in would
    assert data(store, "branch", "flights", "fix", "--drop").output.startswith("The branch fix is gone")
    assert data(store, "tag", "flights", "golden", "--drop").output.startswith("golden no longer names")


def test_every_command_answers_in_json(store: list[str]) -> None:
    history = json.loads(data(store, "history", "flights", "--json").output)
    assert [version["number"] for version in history["versions"]] == [2, 1]
    assert json.loads(data(store, "tag", "flights", "golden", "--json").output)["version"]["number"] == 2
    assert json.loads(data(store, "diff", "flights", "1", "--json").output)["added"] == 2
    assert json.loads(data(store, "clean", "--json").output)["tables"][0]["versions"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["alter", "flights"], "Nothing is to be altered in the table 'flights'."),
        (["alter", "flights", "--add", "gate"], "--add gate is no pair."),
        (["diff", "flights", "77"], "has no version '77'"),
        (["tag", "flights", "2013"], "'2013' cannot be the name of a tag: it reads as a number"),
        (["merge", "flights", "fix"], "has no branch 'fix'"),
    ],
)
def test_what_is_wrong_is_a_sentence(store: list[str], arguments: list[str], sentence: str) -> None:
    answer = data(store, *arguments)
    assert answer.exit_code != 0
    assert sentence in answer.output
