"""The page on reproducing says what works: its pipeline is run, reproduced and gone on from by its own commands."""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import slipway as sw
from slipway.cli import main
from slipway.cli.reproduce import reproduce

PAGE = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text()


def blocks(language: str) -> list[str]:
    return [text for name, text in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.S | re.M) if name == language]


def test_its_declarations_hold() -> None:
    tolerant, gate, _ = blocks("python")
    made: dict[str, object] = {"__name__": "reproduce_page"}
    exec(tolerant, made)
    exec(gate, made)
    step, pipeline = made["mean_of"], made["figures"]
    assert (step.tolerance, pipeline.tolerance) == (1e-6, 1e-4)  # type: ignore[attr-defined]
    assert isinstance(made["gate"], sw.Gate)
    assert reproduce.params[1].opts == ["--here"]


@pytest.mark.full
def test_its_commands_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "small"\nmodule = "small_of_the_page"\n')
    (tmp_path / "small_of_the_page.py").write_text(blocks("python")[2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    said = CliRunner().invoke(main, ["run", "small_model"])
    assert said.exit_code == 0, said.output
    run_id = re.findall(r"[0-9a-f]{32}", said.output)[0]
    for line in "".join(blocks("")).splitlines():
        words = line.partition("#")[0].replace("01a2174f6fbc", run_id).split()[1:]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, (line, done.output)
        if words[0] == "reproduce":
            assert done.output.startswith("equal: ")
        else:
            assert "it was started from run" in done.output
    assert "from the model of run" in done.output
    sys.modules.pop("small_of_the_page", None)
