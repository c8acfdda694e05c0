"""`slipway run FILE.py`: a file's folder becomes a project; what cannot be says what to do."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main

FILE = "import slipway as sw\n\n@sw.pipeline\ndef release() -> int:\n    return 1\n"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["run", *words])


def test_the_folder_is_a_project_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("made_of_a_file.py").write_text(FILE)
    told = run("made_of_a_file.py")
    assert told.exit_code == 0, told.output
    assert "Wrote slipway.toml" in told.output
    assert 'module = "made_of_a_file"' in Path("slipway.toml").read_text()
    assert ".slipway" in Path(".gitignore").read_text()
    assert "Wrote" not in run("made_of_a_file.py").output
    assert run().exit_code == 0, "its only pipeline needs no name"
    Path("another_one.py").write_text(FILE)
    other = run("another_one.py")
    assert other.exit_code != 0
    assert "whose module is 'made_of_a_file'" in other.output


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("not-there.py", "There is no file"),
        ("my-model.py", "Rename it, to my_model.py"),
        ("polars.py", "would hide it"),
    ],
)
def test_a_file_that_cannot_be_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    if not name.startswith("not"):
        Path(name).write_text(FILE)
    told = run(name)
    assert told.exit_code != 0
    assert says in told.output
    assert not Path("slipway.toml").exists()


def test_a_project_without_or_with_several_pipelines_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("has_none.py").write_text("import slipway as sw\n")
    assert "declares no pipeline" in run("has_none.py").output
    two = tmp_path / "two"
    two.mkdir()
    (two / "slipway.toml").write_text('[project]\nname = "two"\nmodule = "has_two"\n')
    (two / "has_two.py").write_text(FILE + FILE.split("\n\n", 1)[1].replace("release", "other"))
    assert "there are 'release', 'other'" in run("-C", str(two)).output
