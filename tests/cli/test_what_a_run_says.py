"""What `slipway run`, `slipway runs list` and `slipway why` say of a pipeline with mapped calls, a failure and a search."""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.cli.exits import ENDINGS

MODULE = """
import json

import slipway as sw

@sw.step
def load(n: int) -> list[int]:
    return list(range(n))

def doubled(n):
    return 2 * n

@sw.step
def score(rows: list[int], carrier: str, factor: float) -> float:
    return doubled(sum(rows)) * factor

@sw.step
def total(scores: list[float]) -> float:
    return sum(scores)

@sw.pipeline
def release(n: int = 3) -> float:
    scores = score.map(load(n), sw.each(["AA", "a name that is much longer than a line"]), factor=sw.each([0.5, 2.0]))
    return total(scores)

@sw.step
def read(text: str) -> int:
    return json.loads(text)["n"]

@sw.step(timeout_s=60)
def read_apart(text: str) -> int:
    return json.loads(text)["n"]

@sw.pipeline
def fails(apart: bool = False) -> int:
    return (read_apart if apart else read)("{")

@sw.pipeline
def falls() -> int:
    return len(3)

def trained(depth: int) -> dict[str, float]:
    return {"loss": abs(depth - 4)}

@sw.pipeline
def tuned() -> float:
    found = sw.search(trained, {"depth": sw.integers(1, 9)}, metric="loss", direction="minimize", trials=7)
    return found.best.value
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "what_a_run_says"\n')
    (tmp_path / "what_a_run_says.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "what_a_run_says", raising=False)
    return tmp_path


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_calls_of_a_map_are_told_apart(folder: Path) -> None:
    said = slipway("run", "release").stderr
    assert "score[1/2 carrier=AA factor=0.5]: begins (first run)" in said
    assert re.search(r"score\[1/2 carrier=AA factor=0\.5\]: \d", said)
    assert "score[2/2 carrier=a name that is much l... factor=2.0]: begins" in said
    assert "\nload: begins" in f"\n{said}"
    assert "score[2/2 carrier=a name that is much l... factor=2.0]: taken from run" in slipway("run", "release").stderr


@pytest.mark.parametrize(("apart", "name"), [("false", "read"), ("true", "read_apart")])
def test_a_failure_is_said_once_with_the_users_own_lines(folder: Path, apart: str, name: str) -> None:
    answer = slipway("run", "fails", "--set", f"apart={apart}")
    assert answer.exit_code == 4
    progress, _, said = answer.stderr.partition("\nError: ")
    assert f"{name}: failed after" in progress
    assert "s: JSONDecodeError: Expecting property name" in progress
    assert said.startswith(f"The step {name!r} failed: JSONDecodeError: Expecting property name")
    assert "StepFailed" not in answer.stderr
    lines = [line for line in said.splitlines() if line.lstrip().startswith("File ")]
    assert len(lines) == 1, said
    assert f'File "{folder / "what_a_run_says.py"}", line' in lines[0]
    assert re.search(r"\.\.\. \d calls in Python", said)
    assert said.index("Traceback") < said.index("Mend it and run the pipeline again")
    shown = slipway("runs", "show", "last").stdout
    assert f"failed in step {name}: JSONDecodeError: Expecting" in shown


def test_what_the_pipeline_itself_raises_is_the_users_too(folder: Path) -> None:
    answer = slipway("run", "falls")
    assert answer.exit_code == 4
    assert "The pipeline 'falls' failed: TypeError: object of type 'int' has no len()" in answer.stderr
    assert "slipway/pipelines" not in answer.stderr
    assert "return len(3)" in answer.stderr


def test_trials_are_counted_with_their_pipeline_and_listed_when_asked_for(folder: Path) -> None:
    assert slipway("run", "tuned").exit_code == 0
    slipway("run", "release")
    plain = slipway("runs", "list").stdout
    assert re.search(r"  tuned \(\+7 trials\)  ", plain)
    assert "trial 3" not in plain
    assert len(plain.splitlines()) == 3  # the headline and two runs
    assert "trial 3" in slipway("runs", "list", "--all").stdout
    assert slipway("runs", "list", "--state", "finished", "--pipeline", "tuned").stdout.count("finished") == 1


def test_why_tells_what_made_it_run_from_what_an_edit_would_do(folder: Path) -> None:
    slipway("run", "release")
    assert "its stored result would be taken" in slipway("why", "score").stdout
    module = folder / "what_a_run_says.py"
    module.write_text(MODULE.replace("return 2 * n", "return 3 * n"))
    for name, told in (
        ("score", "it would run again: helper what_a_run_says:doubled changed."),
        ("load", "nothing has changed since, so with the same arguments its stored result would be taken."),
        ("total", "where the steps before it return something else; score would run again (helper"),
    ):
        sys.modules.pop("what_a_run_says")
        said = slipway("why", name).stdout
        assert "first run" in said
        assert told in said.partition("If it were called now: ")[2]
    module.write_text("import slipway as sw\n1 +\n")
    sys.modules.pop("what_a_run_says")
    answer = slipway("why", "score")
    assert answer.exit_code == 0
    assert "If it were called now: that cannot be told: The project's module 'what_a_run_says' failed" in answer.stdout


def test_help_and_page_name_the_same_exit_codes() -> None:
    told = slipway("run", "--help").stdout
    page = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
    for code, words, _ in ENDINGS:
        assert re.search(rf"^  +{code} +{re.escape(words)}$", told, re.MULTILINE), code
        assert f"| {code} | {words} |" in page
