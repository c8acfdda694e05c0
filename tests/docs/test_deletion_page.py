"""The page on deletion says what works: its example is run against a server."""

import re
from pathlib import Path

import pytest

from hosts_up import up
from slipway.hosts.project import open_workspace
from slipway.ledger import entries, uploads
from slipway.ledger.projects import register
from slipway.runs import outside

PAGE = Path(__file__).parents[2] / "docs" / "deletion.md"


def test_the_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = open_workspace(tmp_path, project="flights")
    register(workspace)
    with workspace.ledger.write() as tx:
        run = outside.create(tx, workspace, experiment="0", tags={})
        outside.store_file(tx, workspace, run.id, uploads.keep_bytes(workspace, b"wrong", "notes.txt"))
        outside.update(tx, workspace, run.id, state="failed")
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    with up(workspace.root) as (url, _):
        exec(code.replace("http://127.0.0.1:8300", url), {})
    assert capsys.readouterr().out == "5\n"
    with workspace.ledger.read() as tx:
        assert entries.get(tx, type(run), run.id).deleted_at is not None
    workspace.ledger.close()
