"""The commands that take data out and in, keep files, and erase: as a person types them."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.hosts.project import open_project
from slipway.records.tables import AboutTable
from slipway.tables.versions import Origin, overwrite, read

PEOPLE = pl.DataFrame({"email": ["ada@x.org", "bob@x.org"], "age": [36, 40]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shop"
    place.mkdir()
    (place / "slipway.toml").write_text('[project]\nname = "shop"\nmodule = "shop_project"\n')
    (place / "shop_project.py").write_text("")
    with open_project(place) as opened:
        about = AboutTable(personal=("email",))
        overwrite(opened.workspace, "people", PEOPLE, key=("email",), origin=Origin(about=about))
    return place


def slipway(folder: Path, *words: str, code: int = 0) -> Result:
    found = CliRunner().invoke(main, [*words, "-C", str(folder)])
    assert found.exit_code == code, found.output
    return found


def test_a_table_goes_out_as_delta_and_comes_back(folder: Path) -> None:
    pytest.importorskip("deltalake", reason="install it: pip install 'slipway[delta]'")
    told = json.loads(slipway(folder, "data", "export", "people", "--json").stdout)
    assert pl.scan_delta(told["path"], version=told["number"]).collect().equals(PEOPLE)
    assert "data copied: 0 bytes" in slipway(folder, "data", "export", "people").stdout
    back = slipway(folder, "data", "import", told["path"], "--table", "again", "--key", "email").stdout
    assert "1 file linked; data copied: 0 bytes" in back
    assert "has no version" in slipway(folder, "data", "export", "people", "--version", "7", code=5).output


def test_files_are_kept_compared_and_given_back(folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "cats").mkdir(parents=True)
    (photos / "cats" / "1.jpg").write_bytes(b"\xff one")
    slipway(folder, "data", "files", "add", "photos", str(photos))
    (photos / "2.jpg").write_bytes(b"two")
    slipway(folder, "data", "files", "add", "photos", str(photos))
    assert "photos" in slipway(folder, "data", "files", "list").stdout
    assert "cats/1.jpg" in slipway(folder, "data", "files", "show", "photos", "--files").stdout
    assert "1 added, 0 removed, 0 changed" in slipway(folder, "data", "files", "diff", "photos", "1").stdout
    slipway(folder, "data", "files", "checkout", "photos", str(tmp_path / "out"), "cats", "--version", "1")
    assert (tmp_path / "out" / "cats" / "1.jpg").read_bytes() == b"\xff one"
    assert slipway(folder, "data", "files", "cat", "photos", "cats/1.jpg").stdout_bytes == b"\xff one"


def test_a_person_is_erased_and_it_is_said(folder: Path) -> None:
    assert "personal" in slipway(folder, "data", "show", "people").stdout
    dry = slipway(folder, "erase", "--where", "email=ada@x.org", "--dry-run").stdout
    assert "table people" in dry
    assert "this was a dry run" in dry
    assert "needs a reason" in slipway(folder, "erase", "--where", "email=ada@x.org", code=2).output
    done = slipway(folder, "erase", "--table", "people", "--key", "ada@x.org", "--reason", "request 17").stdout
    assert "none is left. Erasure" in done
    listed = slipway(folder, "erase", "--list").stdout
    assert "finished" in listed
    assert "request 17" in listed
    assert "ada@x.org" not in listed
    with open_project(folder) as opened:
        assert read(opened.workspace, "people").collect()["email"].to_list() == ["bob@x.org"]
        overwrite(opened.workspace, "letters", pl.DataFrame({"email": ["bob@x.org"]}))
    done = slipway(folder, "erase", "--where", "email=bob@x.org", "--reason", "request 18").stdout
    assert "The table 'letters' has email, neither personal nor its key: not searched." in done
    assert "none is left, but for what is named above. Erasure" in done
