"""The tests that the page on testing shows, over the project that `slipway new` makes."""

import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


@pytest.mark.full
def test_the_pages_tests_pass_in_a_new_project(tmp_path: Path) -> None:
    shown = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    subprocess.run(
        [sys.executable, "-m", "slipway", "new", "my-project"], cwd=tmp_path, check=True, capture_output=True
    )
    (tmp_path / "my-project" / "test_project.py").write_text(shown)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_project.py"]
    done = subprocess.run(command, cwd=tmp_path / "my-project", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
