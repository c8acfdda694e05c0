"""The page on searches says what works: its examples are run, and print what they promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tuning.md"


@pytest.mark.full
def test_the_examples_run(tmp_path: Path) -> None:
    told = []
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)):
        (tmp_path / f"example_{number}.py").write_text(code)
        done = subprocess.run(
            [sys.executable, f"example_{number}.py"], cwd=tmp_path, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        told.append(done.stdout.splitlines())
    baselines, search = told
    assert {line.split()[0] for line in baselines[:3]} == {"constant", "linear", "boosting"}
    assert baselines[3] == "100 rows judged"
    assert search == ["True trees"]
