"""The tutorial's commands, exactly as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
pytest.importorskip("sklearn", reason="the tutorial's model needs scikit-learn: pip install 'slipway[sklearn]'")


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", TUTORIAL.read_text(), re.S)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


@pytest.mark.full
def test_every_command_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    folder = tmp_path
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    told = commands()
    assert len(told) >= 15
    try:
        for line in told:
            if line.startswith("cd "):
                folder = folder / line.removeprefix("cd ")
                continue
            done = subprocess.run(
                line.removesuffix("# fails"), shell=True, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert (done.returncode != 0) == line.endswith("# fails"), f"{line}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, line
            if line.endswith("# fails"):
                assert "months" in done.stderr
    finally:
        subprocess.run(["slipway", "endpoints", "stop", "my-project"], cwd=folder, env=environment, capture_output=True)
