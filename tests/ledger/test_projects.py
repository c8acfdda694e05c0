"""Projects are written down once, when they are first opened."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from slipway.errors import NotFound
from slipway.ledger import projects
from slipway.operations.declare import Empty
from slipway.ports.workspace import Workspace


def test_each_project_is_listed_once_by_name(workspace: Workspace) -> None:
    for name in ("ships", "flights", "ships"):
        projects.register(replace(workspace, project=name))
    assert [found.name for found in projects.list_projects(workspace, Empty()).projects] == ["flights", "ships"]


def test_processes_that_open_it_at_once_agree(workspace: Workspace) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: projects.register(workspace), range(12)))
    assert len(projects.list_projects(workspace, Empty()).projects) == 1


def test_an_unknown_project_is_not_found(workspace: Workspace) -> None:
    projects.register(workspace)
    projects.check_known(workspace)
    with pytest.raises(NotFound, match=r"no project 'flight'. Did you mean 'flights'"):
        projects.check_known(replace(workspace, project="flight"))
