"""The page on metric contracts says what works: its example declares a contract, and its commands draft, show and sign it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "metric-contract.md").read_text()
SETTINGS = '[project]\nname = "tickets"\nmodule = "tickets"\n'


@pytest.mark.full
def test_the_example_is_drafted_shown_and_signed_by_the_page_s_commands(tmp_path: Path) -> None:
    code, of_ratios = re.findall(r"^```python\n(.*?)^```$", PAGE, re.S | re.M)
    exec(of_ratios, {})  # they can be declared
    (commands,) = re.findall(r"^```\n(slipway contract.*?)^```$", PAGE, re.S | re.M)
    (tmp_path / "slipway.toml").write_text(SETTINGS)
    (tmp_path / "tickets.py").write_text(code)
    told = []
    for line in commands.splitlines():
        words = shlex.split(line)[1:]
        done = subprocess.run(
            [sys.executable, "-m", "slipway", *words], cwd=tmp_path, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        told.append(done.stdout)
    drafted, shown, signed, listed = told
    assert "drafted, not signed" in drafted
    for part in (
        "price * label / seats",
        "Higher is better.",
        "0.1 EUR or more, known by 2026-12-31",
        "Sign:  slipway contract sign",
    ):
        assert part in shown, shown
    assert "signed by" in signed
    assert "signed by" in listed
