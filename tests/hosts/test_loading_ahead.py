"""Frames are loaded once the server answers, and only for a store that has an endpoint."""

import subprocess
import sys
from pathlib import Path

import pytest

from filled_store import fill
from slipway.ledger import projects
from slipway.ports.workspace import Workspace

pytestmark = pytest.mark.full
ASKED = """
import sys
from pathlib import Path
from slipway.hosts.loading_ahead import loading_ahead
from slipway.hosts.project import open_workspace

def ready(address):
    print(address, "polars" in sys.modules)

with loading_ahead(open_workspace(Path(sys.argv[1]), project=""), ready) as begin:
    begin("http://here")
print("polars" in sys.modules, "slipway.flows.endpoint_traffic" in sys.modules)
"""


def said(root: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", ASKED, str(root)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_store_with_an_endpoint_has_its_pages_ready(workspace: Workspace) -> None:
    fill(workspace)
    assert said(workspace.root) == ["http://here False", "True True"]


def test_a_store_without_one_does_without(workspace: Workspace) -> None:
    projects.register(workspace)
    assert said(workspace.root) == ["http://here False", "False False"]
