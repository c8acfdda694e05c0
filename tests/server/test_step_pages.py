"""The page of a pipeline's run: how its steps stand, what they printed, and what they failed of before."""

import re
import threading
import time
from contextvars import copy_context
from html import unescape
from pathlib import Path

import msgspec

import slipway as sw
from server_desk import asker
from slipway.ledger import projects
from slipway.pipelines import engine
from slipway.ports.workspace import Workspace
from slipway.runs import search

STREAM = {"accept": "text/event-stream"}


@sw.step(retries=1, backoff_s=0.0, cache=False)
def talks(folder: str) -> int:
    print("<script>alert(1)</script>")
    if not (Path(folder) / "tried").exists():
        (Path(folder) / "tried").touch()
        raise OSError("the first one failed")
    return 1


@sw.step(cache=False)
def waits(folder: str, n: int) -> int:
    print("waiting")
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return n


@sw.pipeline
def release(folder: str) -> int:
    return waits(folder, talks(folder))


def test_a_run_page_shows_steps_their_attempts_and_what_they_printed(workspace: Workspace, tmp_path: Path) -> None:
    projects.register(workspace)
    ask = asker(workspace)
    folder, streamed = str(tmp_path), []
    running = threading.Thread(target=copy_context().run, args=(engine.run, workspace, release, {"folder": folder}))
    running.start()
    try:
        while not any(
            step.name == "waits" for run in search.list_runs(workspace) for step in search.steps(workspace, run.id)
        ):
            time.sleep(0.05)
        here = f"/projects/flights/runs/{search.list_runs(workspace)[0].id}"
        during = unescape(ask("GET", here).text)
        assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in during
        assert "1 done, 1 running" in during
        assert (
            '<noscript><meta http-equiv="refresh" content="5"></noscript>' in ask("GET", f"{here}/log?step=waits").text
        )
        shown = re.findall(r'data-live="([0-9a-f]{16})"', ask("GET", f"{here}/log?step=waits").text)
        stream = threading.Thread(
            target=lambda: streamed.append(ask("GET", f"{here}/log?step=waits&live={shown[0]}", headers=STREAM))
        )
        stream.start()
    finally:
        (tmp_path / "go").touch()
        running.join()
    stream.join()
    events = re.findall(r"^event: (.*)\n(?:id: .*\n)?data: (.*)$", streamed[0].text, re.MULTILINE)
    assert [kind for kind, _ in events] == ["part", "still"]  # what it showed already is not sent again
    assert msgspec.json.decode(events[0][1])["name"] == "log"
    assert "finished" in msgspec.json.decode(events[0][1])["html"]
    assert streamed[0].headers["content-type"].startswith("text/event-stream")
    after = ask("GET", here).text
    assert "refresh" not in after
    assert "1 attempt failed before" in after
    assert "OSError: the first one failed" in after
    log = ask("GET", f"{here}/log?step=talks&number=1")
    assert log.status_code == 200
    assert "&lt;script&gt;alert(1)" in log.text
    assert "<script>" not in log.text
    assert ask("GET", f"{here}/log?step=nothing").status_code == 404
