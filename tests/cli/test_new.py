"""`slipway new`: a project that runs, whatever its name."""

import ast
import json
import re
import subprocess
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
    assert not [path for path in folder.rglob("*") if path.is_file() and re.search("@(NAME|MODULE)@", path.read_text())]
    ast.parse((folder / "my_project.py").read_text())


def test_the_same_name_makes_the_same_files(tmp_path: Path) -> None:
    for home in ("one", "two"):
        new(tmp_path / home / "p")
    for path in (tmp_path / "one" / "p").rglob("*.*"):
        assert (tmp_path / "two" / "p" / path.relative_to(tmp_path / "one" / "p")).read_text() == path.read_text()


@pytest.mark.parametrize("name", ["sklearn", "polars", "slipway", "json", "class", "3d", "a.b"])
def test_a_name_hides_no_library_and_no_word_of_python(tmp_path: Path, name: str) -> None:
    assert new(tmp_path / name).exit_code == 0
    (module,) = (path for path in (tmp_path / name).glob("*.py") if not path.name.startswith("test_"))
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


@pytest.mark.parametrize("template", ["forecasting", "text", "existing-model"])
def test_each_template_is_python_with_tests_and_says_its_name(tmp_path: Path, template: str) -> None:
    made = json.loads(new(tmp_path / "my-project", "--template", template, "--json").stdout)
    folder = tmp_path / "my-project"
    assert {"my_project.py", "test_my_project.py", "README.md"} <= set(made["files"])
    for path in folder.glob("*.py"):
        ast.parse(path.read_text())
    assert not [path for path in folder.rglob("*") if path.is_file() and "@MODULE@" in path.read_text()]
    assert f'template = "{template}"' in (folder / "slipway.toml").read_text()


def own_template(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "@MODULE@.py.tmpl").write_text('"""@NAME@"""\n')
    (folder / "deep" / "@NAME@.md").write_text("@MODULE@ of @NAME@\n")
    (folder / "deep" / "picture.bin").write_bytes(b"\xff@NAME@")
    (folder / "slipway.toml").write_text('[project]\nname = "@NAME@"\nmodule = "@MODULE@"\ntemplate = "risk"\n')
    return folder


def test_a_team_keeps_its_own_in_a_folder_or_a_repository(tmp_path: Path) -> None:
    own = own_template(tmp_path / "risk")
    subprocess.run(["git", "init", "-q", str(own)], check=True)
    subprocess.run(["git", "-C", str(own), "add", "-A"], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(own), *who, "commit", "-qm", "one"], check=True)
    for name, given in (("credit", str(own)), ("limits", f"file://{own}")):
        made = json.loads(new(tmp_path / name, "--template", given, "--json").stdout)
        folder = tmp_path / name
        assert sorted(made["files"]) == sorted(
            [".gitignore", "slipway.toml", f"{name}.py", f"deep/{name}.md", "deep/picture.bin"]
        )
        assert made["template"] == "risk"
        assert (folder / "deep" / f"{name}.md").read_text() == f"{name} of {name}\n"
        assert (folder / "deep" / "picture.bin").read_bytes() == b"\xff@NAME@"
        assert f'name = "{name}"' in (folder / "slipway.toml").read_text()


def test_a_template_that_cannot_be_one_makes_nothing(tmp_path: Path) -> None:
    def refused(given: object) -> str:
        answer = new(tmp_path / "mine", "--template", str(given))
        assert answer.exit_code != 0
        assert "Traceback" not in answer.output
        assert not (tmp_path / "mine").exists()
        return answer.stderr

    assert "Did you mean 'tabular'" in refused("tabullar")
    assert "--from-notebook FILE.ipynb" in refused("from-notebook")
    assert "cannot be cloned" in refused(f"file://{tmp_path}/nothing.git")
    (tmp_path / "empty").mkdir()
    assert "holds no files" in refused(tmp_path / "empty")
    twice = own_template(tmp_path / "twice")
    (twice / "deep" / "@NAME@.md.tmpl").write_text("again")
    assert "become deep/mine.md" in refused(twice)
    linked = own_template(tmp_path / "linked")
    (linked / "secret").symlink_to("/etc/hostname")
    assert "symbolic link" in refused(linked)


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
