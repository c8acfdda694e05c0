"""Many runs on pages: a table of one's own columns, groups, runs beside each other, and a run's many metrics."""

import gzip
import math
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from filled_store import BAD_RUN, GOOD_RUN
from server_desk import Ask, asker
from slipway.ledger import entries, projects
from slipway.operations.declare import call
from slipway.operations.runs import GetCurves
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import MetricPoint, Run

NASTY = '<script>alert("x")</script>`\'" & co'
HOME = "/projects/flights/runs"


def record(workspace: Workspace, number: int, points: list[MetricPoint], **said: Any) -> str:
    """A finished run, straight into the ledger."""
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    run = Run(
        id=f"{number + 1:032x}",
        project=workspace.project,
        name=f"run-{number}",
        created_at=began,
        started_at=began,
        ended_at=began + timedelta(seconds=90),
        state="finished",
        actor=Actor("ada"),
        **said,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, run)
        tx.add_points(run.id, points)
    return run.id


@pytest.fixture
def ids(workspace: Workspace) -> list[str]:
    """Eight runs: depth 1 to 4 twice, the deeper the better; the last one measured nothing that is a number."""
    projects.register(workspace)
    made = []
    for number in range(8):
        params = {"depth": number % 4 + 1, "seed": 7, "kind": NASTY if number == 0 else f"k{number % 2}"}
        points = [
            MetricPoint("loss", math.nan if number == 7 else (8 - number) / (step + 1), step) for step in range(3)
        ]
        points.append(MetricPoint("auc", math.inf if number == 7 else number / 10))
        tags = {"user": "ada" if number < 6 else NASTY}
        made.append(record(workspace, number, points, params=params, tags=tags))
    return made


@pytest.fixture
def own(workspace: Workspace, ids: list[str]) -> Ask:
    return asker(workspace)


def listed(ask: Ask, **query: str | list[str]) -> str:
    answer = ask("GET", f"{HOME}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200
    return str(answer.text)


def beside(ask: Ask, ids: list[str], **query: str | list[str]) -> str:
    answer = ask("GET", f"{HOME}/compare?{urlencode({'run': ids} | query, doseq=True)}")
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def names_in(text: str) -> list[str]:
    return re.findall(r">(run-\d)</a>", text)


def heads_in(text: str) -> list[str]:
    table = text.rpartition("<thead>")[2].partition("</thead>")[0]
    return [re.sub("<[^>]*>", "", one).strip() for one in re.findall(r"<th.*?</th>", table, re.DOTALL)]


def test_columns_are_what_somebody_chose_and_stay_in_the_address(own: Ask) -> None:
    usual = heads_in(listed(own))
    assert usual == ["Compare", "Run", "State", "Started", "Took", "By", "auc", "loss", "depth", "kind"]
    text = listed(own, column=["params.seed", "experiment", "tags.user"], find="lo")
    assert heads_in(text) == ["Compare", "Run", "seed", "Experiment", "user"]
    assert "Default" in text
    assert 'value="metrics.loss"' in text
    assert 'value="metrics.auc"' not in text, "it has no lo in its name"
    link = next(
        one
        for one in re.findall(r'class="sorts" href="([^"]*)"', text)
        if "params.seed" in unescape(one).split("order=")[1]
    )
    assert "column=tags.user" in unescape(link)
    assert heads_in(own("GET", HOME + unescape(link)).text)[1:3] == ["Run", "seed ▲"]


def test_a_click_on_a_head_sorts_and_another_turns_it_round(own: Ask) -> None:
    text = listed(own)
    link = next(one for one in re.findall(r'class="sorts" href="([^"]*)"', text) if "auc" in one)
    best_first = own("GET", HOME + unescape(link)).text
    assert names_in(best_first) == [f"run-{number}" for number in (7, 6, 5, 4, 3, 2, 1, 0)]
    assert 'aria-sort="descending"' in best_first
    back = next(one for one in re.findall(r'class="sorts" href="([^"]*)"', best_first) if "auc" in one)
    assert names_in(own("GET", HOME + unescape(back)).text)[0] == "run-0"


def test_pages_follow_each_other_with_all_that_was_asked(own: Ask) -> None:
    seen, address = [], f"{HOME}?limit=3&order=metrics.auc&column=params.depth"
    while address:
        text = own("GET", address).text
        assert heads_in(text)[-1] == "depth"
        seen += names_in(text)
        following = re.findall(r'href="([^"]*)" rel="next"', text)
        address = HOME + unescape(following[0]) if following else ""
    assert seen == [f"run-{number}" for number in range(8)]
    assert "First page" in text


def test_groups_have_their_best_mean_and_median_and_lead_to_their_runs(own: Ask) -> None:
    text = listed(own, group="params.depth", metric="metrics.loss", sort="best", way="ascending")
    assert "8 runs by params.depth" in text
    assert "Lowest loss" in text
    rows = re.findall(r'<th scope="row"><a href="([^"]*)">(.*?)</a></th>(.*?)</tr>', text, re.DOTALL)
    assert [name for _, name, _ in rows] == ["3", "2", "1", "4"]
    figures = re.findall(r'<td class="number">(.*?)</td>', rows[0][2])
    assert figures == ["2", "0.6667", "1.333", "1.333"]
    inside = own("GET", HOME + unescape(rows[0][0])).text
    assert sorted(names_in(inside)) == ["run-2", "run-6"]
    by_user = listed(own, group="tags.user")
    for address in re.findall(r'<th scope="row"><a href="([^"]*)">', by_user):
        assert names_in(own("GET", HOME + unescape(address)).text)
    assert "<script>" not in by_user.partition("<main")[2]
    by_experiment = listed(own, group="experiment")
    assert ">Default</a>" in by_experiment


UNREADABLE: list[tuple[dict[str, str], str]] = [
    ({"where": "metrics.auc >"}, "cannot be read at character 14"),
    ({"order": "metrics.auc sideways"}, "or the end is expected"),
    ({"group": "nothing"}, "a run has no attribute"),
    ({"group": "dataset.name"}, "one may have several values"),
    ({"group": "params.depth", "metric": "params.depth"}, "is no metric"),
    ({"group": "params.depth", "sort": "colour"}, "does not fit"),
    ({"column": "colour"}, "a run has no attribute"),
    ({"limit": "many"}, "does not fit"),
    ({"token": "x"}, "does not belong to this search"),
    ({"where": NASTY}, "cannot be read"),
]


def test_what_cannot_be_read_is_said_below_the_box(own: Ask) -> None:
    for query, sentence in UNREADABLE:
        text = listed(own, **query)
        told = text.partition('role="alert">')[2].partition("</p>")[0]
        assert sentence in unescape(told), query
        assert "<details" in text.partition("How to search")[0][-60:]
        assert "<script>" not in text.partition("<main")[2]


def test_runs_beside_each_other_say_in_what_they_differ_and_which_is_best(own: Ask, ids: list[str]) -> None:
    text = beside(own, ids[:3])
    assert "They differ in 2 parameters and have 1 in common. Best auc" in text
    assert "1 parameter alike" in text
    assert text.count('class="chart parallel"') == text.count('class="chart scatter"') == 1
    assert text.count('class="chart courses"') == 1
    for run in range(3):
        assert text.count(f'data-run="{run}"') == 4, "in three pictures and in the table"
    row = text.partition('<th scope="row">loss</th>')[2].partition("</tr>")[0]
    assert ">lower<" in row
    assert re.findall(r'<td class="number">(.*?)</td>', row)[2].startswith('<span class="best">')
    turned = beside(own, ids[:3], turned="loss").partition('<th scope="row">loss</th>')[2].partition("</tr>")[0]
    assert ">higher<" in turned
    assert ">lower<" in beside(own, ids[:3], turned=["loss", "loss"]).partition('scope="row">loss</th>')[2]
    assert "<script>" not in text.partition("<main")[2]
    assert f'name="run" value="{ids[0]}"' in text


def test_many_runs_are_told_by_their_best_median_and_worst(own: Ask, ids: list[str]) -> None:
    text = beside(
        own, ids, axis=["params.depth", "metrics.loss"], x="metrics.auc", y="metrics.loss", curve="metrics.loss"
    )
    row = text.partition('<th scope="row">loss</th>')[2].partition("</tr>")[0]
    assert re.findall(r'<td class="number">(.*?)</td>', row)[1:] == ["1.667", "2.667", "7"]
    assert ">run-6</a>" in row
    assert "depth</th><td" in text
    assert "8 runs along 2 axes" in text
    assert "1 without both" in text
    assert "none" in text.partition('class="chart parallel"')[2].partition("</svg>")[0], "where NaN lies"


def test_marked_runs_only_are_compared_by_the_table(own: Ask, ids: list[str]) -> None:
    form = beside(own, ids, x="params.depth").partition("<h2>Runs</h2>")[2].partition("</form>")[0]
    kept = re.findall(r'type="hidden" name="(\w+)"', form)
    assert kept == ["x"]
    assert len(re.findall(r'type="checkbox" name="run"', form)) == 8


@pytest.mark.parametrize("number", [0, 1, 101])
def test_too_few_and_too_many_runs_are_refused_in_words(own: Ask, number: int) -> None:
    answer = own("GET", f"{HOME}/compare", params=[("run", f"{n:032x}") for n in range(number)])
    assert answer.status_code == 422
    assert "Choose 2 to 100" in answer.text


def test_what_the_runs_do_not_have_is_refused_in_words(own: Ask, ids: list[str]) -> None:
    for query in (
        {"x": "params.none"},
        {"y": NASTY},
        {"axis": "metrics.none"},
        {"curve": "params.depth"},
        {"curve": "("},
    ):
        answer = own("GET", f"{HOME}/compare?{urlencode({'run': ids[:2]} | query, doseq=True)}")
        assert answer.status_code == 422, query
        assert "<script>" not in answer.text.partition("<main")[2]
    assert own("GET", f"{HOME}/compare?run={ids[0]}&run={'0' * 32}").status_code == 404
    assert own("GET", f"{HOME}/compare?run={ids[0]}&run={ids[1]}&curve=metrics.none").status_code == 200


def test_a_part_of_the_steps_is_drawn_finer_and_stands_in_the_address(workspace: Workspace) -> None:
    projects.register(workspace)
    points = [MetricPoint("loss", float(step % 7), step) for step in range(1000)]
    id = record(workspace, 0, points)
    ask, here = asker(workspace), f"{HOME}/{id}/curves"
    wanted = OPERATIONS["runs.curves"]
    (whole,) = call(workspace, wanted, GetCurves(id=id)).curves
    (part,) = call(workspace, wanted, GetCurves(id=id, since=200, until=249)).curves
    assert (whole.buckets[0].first.step, whole.buckets[-1].last.step) == (0, 999)
    assert [bucket.first.step for bucket in part.buckets] == list(range(200, 250)), "each point by itself now"
    text = ask("GET", f"{here}?from=200&to=249&find=lo").text
    assert 'data-low="200.0" data-high="249.0"' in text
    assert 'name="from" type="number" step="1" value="200"' in text
    assert 'href="?find=lo">All steps</a>' in text
    assert "All steps" not in ask("GET", here).text
    nothing = ask("GET", f"{here}?from=5000").text
    assert "Nothing to show" in nothing
    assert "All steps" in nothing
    for query in ("from=9&to=3", "from=x", f"from={2**63}"):
        assert ask("GET", f"{here}?{query}").status_code == 422, query


def test_a_run_with_many_metrics_is_searched_and_drawn_by_choice(workspace: Workspace) -> None:
    projects.register(workspace)
    points = [MetricPoint(f"m{number:03d}", step * number, step) for number in range(60) for step in range(2)]
    id = record(workspace, 0, points)
    ask, here = asker(workspace), f"{HOME}/{id}"
    text = ask("GET", here).text
    assert text.count('class="chart curves"') == 12
    assert "All 60 metrics and curves" in text
    assert "m020" not in text.partition("<h2>Metrics</h2>")[2].partition("curves</a>")[0]
    seen, query = [], "?"
    while query:
        text = unescape(ask("GET", f"{here}/curves{query}").text)
        seen += re.findall(r'class="name">(m\d+)</td>', text)
        query = next(iter(re.findall(r'href="(\?after=[^"]*)" rel="next"', text)), "")
    assert seen == [f"m{number:03d}" for number in range(60)]
    every = ask("GET", f"{here}/curves?all=1").text
    assert every.count('class="chart curves"') > 40
    found = ask("GET", f"{here}/curves?find=05").text
    assert re.findall(r'class="name">(m\d+)</td>', found) == ["m005", *(f"m0{n}" for n in range(50, 60))]
    drawn = ask("GET", f"{here}/curves?find=05&draw=m051&draw=m003").text
    assert re.findall(r'role="img"[^>]*><title>(m\d+)</title>', drawn) == ["m051", "m003"]
    assert 'type="hidden" name="draw" value="m003"' in drawn
    assert "No metric fits." in ask("GET", f"{here}/curves?find={quote(NASTY)}x").text


def test_pages_are_compressed_for_a_browser_that_asks_of_its_own_accord(own: Ask) -> None:
    def headers(site: str | None, takes: str = "gzip") -> dict[str, str]:
        return {"accept-encoding": takes} | ({} if site is None else {"sec-fetch-site": site})

    plain = own("GET", HOME, headers=headers(None))
    assert "content-encoding" not in plain.headers
    for site, takes in (("cross-site", "gzip"), ("same-site", "gzip"), ("none", "br")):
        assert "content-encoding" not in own("GET", HOME, headers=headers(site, takes)).headers
    packed = own("GET", HOME, headers=headers("same-origin"))
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, 5, mtime=0))
    assert "sec-fetch-site" in packed.headers["vary"]
    stream = own("GET", HOME, headers=headers("same-origin") | {"accept": "text/event-stream"})
    assert "content-encoding" not in stream.headers


def test_the_filled_store_has_its_tables_too(ask: Ask) -> None:
    text = beside(ask, [GOOD_RUN, BAD_RUN])
    assert "2 runs beside each other" in text
    assert "<script>" not in text.partition("<main")[2]
