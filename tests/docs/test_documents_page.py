"""The page on documents says what works: its commands run, in its order, on a released model."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.records.documents import MODEL_QUESTIONS, TABLE_QUESTIONS

HERE = Path(__file__).parents[1]
PAGE = (HERE.parent / "docs" / "documents.md").read_text()


@pytest.mark.full
def test_its_commands_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (HERE / "flows" / "small_project").glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def typed(line: str) -> str:
        done = CliRunner().invoke(main, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
        return done.output

    typed("slipway run release")
    typed("slipway run release --set rounds=4")
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.S | re.M)
    told = {line: typed(line) for block in blocks for line in block.replace("$ ", "").splitlines()}
    assert "# small-delays 2" in told["slipway card small-delays"]
    assert (tmp_path / "card.html").read_text().startswith("<!doctype html>")
    assert "Purpose: To tell passengers" in told["slipway documents answer card small-delays purpose"]
    from cyclonedx.schema import SchemaVersion  # two seconds of grammars, which other tests need not wait for
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((tmp_path / "bom.json").read_text()) is None
    statement = json.loads((tmp_path / "signed" / "small-delays-2.provenance.json").read_text())
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    again = CliRunner().invoke(main, ["documents", "attest", "small-delays", "--out", "signed"])
    assert again.exit_code
    assert "is there already" in again.output
    typed("slipway card small-delays --out card.pdf")
    assert (tmp_path / "card.pdf").read_bytes().startswith(b"%PDF")
    odd = CliRunner().invoke(main, ["card", "small-delays", "--out", "card.docx"])
    assert "ends in .md, .html" in odd.output
    assert not (tmp_path / "card.docx").exists()
    no_file = CliRunner().invoke(main, ["card", "small-delays", "--format", "pdf"])
    assert "Name a file: --out small-delays.pdf" in no_file.output


def test_it_names_every_question() -> None:
    for field in {*MODEL_QUESTIONS, *TABLE_QUESTIONS}:
        assert f"`{field}`" in PAGE
