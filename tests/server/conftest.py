"""A server whose store holds the project "flights" with one of everything."""

import pytest

from filled_store import fill
from server_desk import Ask, asker
from slipway.ports.workspace import Workspace


@pytest.fixture
def ask(workspace: Workspace) -> Ask:
    """Asks the server."""
    fill(workspace)
    return asker(workspace)
