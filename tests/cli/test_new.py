"""`slipway new`: a project that runs, whatever its name."""

import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main


def new(name: object, *more: str) -> Result:
    return CliRunner().invoke(main, ["new", str(name), *more])


def test_the_files_that_it_names_are_there(tmp_path: Path) -> None:
    made = json.loads(new(tmp_path / "my-project", "--json").stdout)
    folder = tmp_path / "my-project"
    assert sorted(made["files"]) == sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )
    assert not [path for path in folder.rglob("*") if path.is_file() and "@" in path.read_text().replace("@sw.", "")]
    ast.parse((folder / "my_project.py").read_text())


def test_the_same_name_makes_the_same_files(tmp_path: Path) -> None:
    for home in ("one", "two"):
        new(tmp_path / home / "p")
    for path in (tmp_path / "one" / "p").rglob("*.*"):
        assert (tmp_path / "two" / "p" / path.relative_to(tmp_path / "one" / "p")).read_text() == path.read_text()


@pytest.mark.parametrize("name", ["sklearn", "polars", "slipway", "json", "class", "3d", "a.b"])
def test_a_name_hides_no_library_and_no_word_of_python(tmp_path: Path, name: str) -> None:
    assert new(tmp_path / name).exit_code == 0
    (module,) = (tmp_path / name).glob("*.py")
    assert module.stem.isidentifier()
    assert module.stem != name
    settings = (tmp_path / name / "slipway.toml").read_text()
    assert f'name = "{name}"' in settings
    assert f'module = "{module.stem}"' in settings


@pytest.mark.parametrize("name", ["My Project", "", "..", "ä"])
def test_a_name_that_cannot_be_one_makes_nothing(tmp_path: Path, name: str) -> None:
    answer = new(tmp_path / name if name not in ("", "..") else name)
    assert answer.exit_code == 2, answer.output
    assert "Traceback" not in answer.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    assert new(folder).exit_code == 0, "an empty folder is fine"
    before = (folder / "mine.py").read_text()
    answer = new(folder)
    assert answer.exit_code == 6
    assert "not empty" in answer.stderr
    assert (folder / "mine.py").read_text() == before


def test_a_file_of_that_name_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for name in ("taken", "taken/inside"):
        answer = new(tmp_path / name)
        assert answer.exit_code == 2, answer.output
        assert "cannot be made" in answer.stderr


def test_a_notebook_that_cannot_be_read_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "odd.ipynb").write_text("{}")
    answer = new(tmp_path / "mine", "--from-notebook", str(tmp_path / "odd.ipynb"))
    assert answer.exit_code == 2, answer.output
    assert "no notebook" in answer.stderr
    assert new(tmp_path / "mine", "--from-notebook", str(tmp_path / "gone.ipynb")).exit_code == 5
    assert not (tmp_path / "mine").exists()


def test_a_model_or_no_name_without_a_notebook_is_a_sentence(tmp_path: Path) -> None:
    assert "without a notebook" in new(tmp_path / "mine", "--model", "clf").stderr
    assert "No name was given" in CliRunner().invoke(main, ["new"]).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_takes_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert new(folder).exit_code == 0
    notebook = tmp_path / "some.ipynb"
    notebook.write_text('{"cells": [{"cell_type": "code", "source": "x = 1"}]}')
    answer = new(folder, "--from-notebook", str(notebook))
    assert answer.exit_code == 6
    assert "not empty" in answer.stderr
    assert (folder / "mine.py").exists()
