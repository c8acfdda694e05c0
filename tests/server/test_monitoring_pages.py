"""Pages of monitoring: the map tells what drifted and where, no results are told apart from poor ones, and incidents are stories."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from filled_store import NASTY
from server_desk import Ask, asker
from slipway.flows.drift_map import drift_column, drift_map
from slipway.loop.incident_story import get_incident_story
from slipway.operations.drift import AskColumn, AskMap
from slipway.operations.incidents import GetIncidentStory
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from watched_store import DAYS, INCIDENT, NAME, at, watch_over

HOME = f"/projects/flights/endpoints/{NAME}/monitoring"


@pytest.fixture
def watched(workspace: Workspace) -> Workspace:
    watch_over(workspace, at(workspace))
    return workspace


@pytest.fixture
def page(watched: Workspace) -> Callable[[str], str]:
    ask: Ask = asker(watched)

    def text(path: str, status: int = 200) -> str:
        answer = ask("GET", path)
        assert answer.status_code == status, answer.text
        assert NASTY not in answer.text
        return answer.text

    return text


def test_a_map_judges_each_day_by_the_days_before_it(watched: Workspace) -> None:
    found = drift_map(watched, AskMap(name=NAME, period="all"))
    assert (found.unit, len(found.windows), set(found.rows)) == ("day", DAYS, {1000})
    assert [one.column for one in found.columns] == ["score", "carrier", "distance"], "by what the answers rest on"
    distance = found.columns[-1].cells
    assert (distance[-1].verdict, distance[-1].question) == ("drifted", "missing")
    assert "missing in 36.1% of the rows" in distance[-1].sentence
    assert {one.season for one in distance[:28]} == {"training"}
    assert {one.verdict for one in distance[28:-2]} == {"steady"}
    assert {one.verdict for one in found.columns[1].cells[28:]} == {"steady"}
    assert drift_map(watched, AskMap(name=NAME, period="all")) is found, "nothing is judged anew"
    assert len(drift_map(watched, AskMap(name=NAME, period="7d")).windows) == 7
    assert [one.hour for one in drift_map(watched, AskMap(name=NAME, period="24h")).windows] == [12]


def test_a_column_stands_beside_usual_and_training(watched: Workspace) -> None:
    found = drift_column(watched, AskColumn(name=NAME, column="distance"))
    assert {one.question for one in found.questions} >= {"shape", "missing", "tails"}
    gone = found.bars[-1]
    assert (gone.label, gone.training) == ("missing", 0.0)
    assert gone.now == pytest.approx(0.4, abs=0.05)
    assert sum(bar.now for bar in found.bars) == pytest.approx(1.0)
    earlier = drift_column(watched, AskColumn(name=NAME, column="distance", window=found.windows[5].isoformat()))
    assert earlier.window_from == found.windows[5]
    assert earlier.bars[-1].now == 0.0


def test_the_page_shows_what_happened(page: Callable[[str], str]) -> None:
    text = page(HOME)
    assert re.search(
        r'class="heat bad alarmed"><a href="monitoring/column\?column=distance&amp;window=[0-9-]+" title="[^"]*drifted; missing',
        text,
    )
    assert "no results: " in text
    assert "alert, quality of log_loss" in text
    assert "estimated before labels" in text
    assert "guard band" in text or "revenue per seat" in text
    assert f"/incidents/{INCIDENT}" in text
    for period in ("24h", "7d", "all"):
        assert 'aria-current="true"' in page(f"{HOME}?period={period}")
    assert "24h" in page(f"{HOME}?period=week", 422)


def test_a_cell_leads_to_the_column_and_on_to_its_incident(page: Callable[[str], str]) -> None:
    link = re.search(
        r'<a href="monitoring/(column\?column=distance&amp;window=[0-9-]+)" title="[^"]*drifted', page(HOME)
    )
    assert link is not None
    text = page(f"{HOME}/{link[1].replace('&amp;', '&')}")
    assert "Five questions" in text
    assert "broken feed" in text
    assert "the day before" in text
    for query in ("", "?column=", "?column=%3Cscript%3E", "?column=distance&window=1999-01-01"):
        page(f"{HOME}/column{query}", 404)
    for query in ("window=soon", "window=2013-99-99", "window=2013-01-01T77"):
        page(f"{HOME}/column?column=distance&{query}", 422)


def test_an_incident_is_told_from_alarm_to_outcome(watched: Workspace, page: Callable[[str], str]) -> None:
    story = get_incident_story(watched, GetIncidentStory(id=INCIDENT))
    assert [line.what for line in story.lines if line.part != "before"] == ["alarm", "told", "acknowledged", "judged"]
    assert story.outcome == "open, looked at by ada"
    assert story.lasted_s == 54 * 3600
    text = page(f"/projects/flights/incidents/{INCIDENT}")
    assert "From alarm to outcome" in text
    assert HOME in text
    assert "no longer" not in text


def test_who_may_not_see_people_sees_verdicts_and_no_values_of_people(watched: Workspace) -> None:
    bob = replace(watched, actor=Actor("bob", roles=("data scientist",)))
    told = drift_column(bob, AskColumn(name=NAME, column="carrier"))  # it is personal in the table
    assert told.questions
    assert (told.bars, "tells something of people" in told.hidden) == ((), True)
    assert drift_column(bob, AskColumn(name=NAME, column="distance")).bars
    assert drift_column(watched, AskColumn(name=NAME, column="carrier")).bars
    text = asker(bob)("GET", f"{HOME}/column?column=carrier").text
    assert "tells something of people" in text
    assert ">AA<" not in text


def test_a_project_names_what_it_watches(page: Callable[[str], str]) -> None:
    assert HOME in page("/projects/flights/monitoring")
