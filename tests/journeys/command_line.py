"""The command line as a person uses it: real processes, nothing shared with the test but files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from slipway.backends.process_launcher import ProcessLauncher

PATIENCE_S = 60.0


def slipway(*arguments: str, cwd: Path, stdin: str = "", fails: int = 0, **environment: str) -> str:
    """Run a command; gives what it printed on standard output, or on standard error where it fails as expected."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "slipway", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == fails, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr if fails else done.stdout


def answer(*arguments: str, cwd: Path, **more: Any) -> Any:
    """The same with --json, decoded."""
    return json.loads(slipway(*arguments, "--json", cwd=cwd, **more))


def start(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command that will be killed; standard error goes into standard output."""
    return subprocess.Popen(
        [sys.executable, "-P", "-u", "-m", "slipway", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what a process says until a line has certain words; gives that line."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if words in line:
            return line
    raise AssertionError(f"It ended without saying {words!r}:\n{''.join(said)}")


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that was started here, as the system does when memory runs out."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def ask(url: str, name: str, rows: list[dict[str, Any]]) -> list[float]:
    """Ask an endpoint over plain HTTP; gives the scores."""
    found = httpx.post(f"{url}/endpoints/{name}/predict", json={"rows": rows}, timeout=30)
    assert found.status_code == 200, found.text
    return [prediction["score"] for prediction in found.json()["predictions"]]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Look until something is so; gives what the condition gave."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"This did not happen within {PATIENCE_S:.0f} seconds: {what}")


def answers(url: str, name: str, rows: list[dict[str, Any]]) -> list[float]:
    """The scores as soon as the endpoint answers."""

    def now() -> list[float] | None:
        try:
            return ask(url, name, rows)
        except httpx.TransportError:
            return None

    found: list[float] = wait_for(now, f"{name} answers at {url}")
    return found


def children_of(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def stop_all(store: Path) -> None:
    """Stop every endpoint of a store."""
    for folder in store.glob("endpoints/*/*/"):
        ProcessLauncher().stop(folder)
