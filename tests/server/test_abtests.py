"""What the endpoint's page shows of an A/B test: the report, and each arm's interval over time."""

from filled_loop import NASTY, loop_records
from filled_store import fill
from server_desk import asker
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABTest
from slipway.server.abtests import effect_charts

(TEST,) = (one for one in loop_records("d" * 64) if isinstance(one, ABTest))


def test_the_page_tells_effect_value_recommendation_and_what_is_not_known(workspace: Workspace) -> None:
    fill(workspace)
    text = asker(workspace)("GET", "/projects/flights/endpoints/flight-delays").text
    assert "<h2>A/B tests</h2>" in text
    assert "Promote 2: 0.5 EUR more a row" in text
    assert "+0.5 (+0.2167 to +0.5833)" in text
    assert "+15,000 (+6,000 to +24,000) EUR" in text
    assert "Not known:" in text
    assert "2 minus the champion, EUR a row" in text
    assert NASTY not in text


def test_an_arm_has_a_picture_once_it_was_looked_at_twice() -> None:
    (chart,) = effect_charts(TEST)
    assert "<svg" in chart
    assert (
        effect_charts(
            ABTest(**{name: getattr(TEST, name) for name in TEST.__struct_fields__} | {"looks": TEST.looks[:1]})
        )
        == []
    )
