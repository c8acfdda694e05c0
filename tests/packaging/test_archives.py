"""The wheel and the sdist: whole, the same bytes each time, and enough by themselves."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from release import archives
from release.locked import ROOT, requirements

UV = Path(sys.executable).with_name("uv")
TIERS = {(): 100, ("data",): 320, ("data", "sklearn"): 480}
"""MB of 2**20 bytes that an installation may take, without bytecode, by its extras."""

TYPED = """import slipway as sw

@sw.step
def double(n: int) -> int:
    return 2 * n

version: str = sw.__version__
wrong: int = sw.__version__
"""

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return archives.build(ROOT, tmp_path_factory.mktemp("dist"))


def venv(folder: Path, wheel: Path, extras: tuple[str, ...]) -> Path:
    """A new environment with the wheel and the locked libraries of some extras; returns its python."""
    (folder / "requirements.txt").write_text(requirements(extras))
    python = folder / "venv/bin/python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", python, "--no-deps"]
    subprocess.run([*install, "--require-hashes", "-r", folder / "requirements.txt"], check=True)
    subprocess.run([*install, wheel], check=True)
    subprocess.run([UV, "pip", "check", "--quiet", "--python", python], check=True)
    return python


def clean_environment(**more: str) -> dict[str, str]:
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "SLIPWAY_ROOT")
    return {name: value for name, value in os.environ.items() if name not in left_out} | more


def megabytes(python: Path) -> float:
    """What an environment's libraries take, without bytecode."""
    files = (python.parents[1] / "lib").rglob("*")
    return sum(one.lstat().st_size for one in files if one.is_file() and "__pycache__" not in one.parts) / 2**20


def test_archives_hold_what_git_knows_and_nothing_else(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, sdist = built
    assert archives.wrong_in_wheel(wheel, ROOT) == []
    assert archives.wrong_in_sdist(sdist, ROOT) == []
    assert archives.from_sdist(sdist, tmp_path).read_bytes() == wheel.read_bytes()


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return venv(tmp_path_factory.mktemp("installed"), built[0], ("data", "sklearn"))


@pytest.mark.parametrize("extras", TIERS, ids=lambda extras: ",".join(extras) or "core")
def test_an_installation_stays_small(
    extras: tuple[str, ...], built: tuple[Path, Path], installed: Path, tmp_path: Path
) -> None:
    python = installed if "sklearn" in extras else venv(tmp_path, built[0], extras)
    taken = megabytes(python)
    assert taken <= TIERS[extras]
    row = next(
        line
        for line in (ROOT / "docs/install.md").read_text().splitlines()
        if f"`{'slipway' + str(list(extras)).replace(' ', '').replace(chr(39), '') if extras else 'slipway'}`" in line
    )
    told = int(re.search(r"\| (\d+) MB", row)[1])  # type: ignore[index]
    assert abs(told - taken) <= 5, f"docs/install.md says {told} MB: {taken:.0f}"


def test_a_project_runs_out_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    slipway = installed.with_name("slipway")
    env = clean_environment()
    assert (
        "up"
        in subprocess.run([slipway, "--help"], cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stdout
    )
    subprocess.run([slipway, "new", "mine"], cwd=tmp_path, env=env, check=True, capture_output=True)
    told = subprocess.run(
        [slipway, "run", "release", "--json"],
        cwd=tmp_path / "mine",
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)
    with served(slipway, tmp_path / "mine", env) as address:
        check_pages(address)


class served:
    """`slipway up` on a free port."""

    def __init__(self, slipway: Path, folder: Path, env: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [slipway, "up", "--port", str(self.port)],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> str:
        address = f"http://127.0.0.1:{self.port}"
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if httpx.get(f"{address}/health", timeout=30).status_code == 200:
                    return address
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError("`slipway up` did not answer.")

    def __exit__(self, *given: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=900)


def check_pages(address: str) -> None:
    assets = set()
    for page in ("/", "/inbox", "/portfolio", "/projects/mine", "/projects/mine/runs", "/settings"):
        answer = httpx.get(address + page, follow_redirects=True, timeout=120)
        assert answer.status_code == 200, page
        assets |= set(re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text))
    assert assets
    for asset in assets:
        assert httpx.get(address + asset, timeout=120).status_code == 200, asset
    scripts, sheets = (
        b"".join(httpx.get(address + one, timeout=120).content for one in assets if one.endswith(kind))
        for kind in (".js", ".css")
    )
    for file in (ROOT / "src/slipway/server/static").iterdir():
        assert file.read_bytes() in (scripts if file.suffix == ".js" else sheets), file.name


def test_types_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TYPED)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        installed,
        "--config-file",
        "",
        "mine.py",
    ]
    told = subprocess.run(command, cwd=tmp_path, env=clean_environment(), check=False, capture_output=True, text=True)
    assert re.findall(r"^mine.py:(\d+): error: (.*?)  \[", told.stdout, re.M) == [
        ("8", 'Incompatible types in assignment (expression has type "str", variable has type "int")')
    ], told.stdout


def test_it_is_installed_as_a_tool(built: tuple[Path, Path], tmp_path: Path) -> None:
    env = clean_environment(UV_TOOL_DIR=str(tmp_path / "tools"), UV_TOOL_BIN_DIR=str(tmp_path / "bin"))
    (tmp_path / "pins.txt").write_text(re.sub(r" \\\n *--hash=\S+", "", requirements(["data", "sklearn"])))
    what = f"slipway[data,sklearn] @ {built[0].as_uri()}"
    command = [
        UV,
        "tool",
        "install",
        "--quiet",
        "--python",
        sys.executable,
        "--constraints",
        tmp_path / "pins.txt",
        what,
    ]
    subprocess.run(command, check=True, env=env)
    told = subprocess.run(
        [tmp_path / "bin/slipway", "--help"], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
    )
    assert "up" in told.stdout
