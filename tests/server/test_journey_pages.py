"""The pages that say how far models have come, on a store with one of everything, hostile words among them."""

import pytest

from filled_store import NASTY, fill
from server_desk import asker
from slipway.ports.workspace import Workspace

HOME = "/projects/flights/journey"


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        (HOME, ("flight-delays", "Most representative pilot", "Delivery", "Gates refused")),
        ("/projects/flights/costs", ("all runs", "flight-delays", "Idle", "no rates were declared")),
        ("/projects/flights/costs/flight-delays", ("Dearest runs", "CPU hours", "endpoint, served")),
        (f"{HOME}/flight-delays", ("Level 0", "Level 2", "shown", "missing", "slipway ")),
    ],
)
def test_a_page_says_how_far_models_have_come(workspace: Workspace, address: str, parts: tuple[str, ...]) -> None:
    fill(workspace)
    text = asker(workspace)("GET", address).text
    assert NASTY not in text
    for part in parts:
        assert part in text


def test_a_store_without_models_and_an_unknown_model_say_so(workspace: Workspace) -> None:
    ask = asker(workspace)
    fill(workspace)
    answer = ask("GET", f"{HOME}/flight-delay")
    assert answer.status_code == 404
    assert "flight-delays" in answer.text


def test_the_home_page_and_a_models_page_lead_there(workspace: Workspace) -> None:
    fill(workspace)
    ask = asker(workspace)
    assert f'href="{HOME}"' in ask("GET", "/").text
    assert f'href="{HOME}/flight-delays"' in ask("GET", "/projects/flights/models/flight-delays/4").text
