"""The pages: readable without script, escaped, linked without a dead end, and of the same facts as the API."""

import re
import sqlite3
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from msgspec import structs

from filled_loop import OLDER_SIMULATION, SIMULATION
from filled_store import BAD_RUN, GOOD_RUN, LOGGED, NASTY, START, TRASHED_RUN, fill
from hostile_files import FILES, SCRIPT
from server_desk import Ask, asker
from slipway.ledger import entries, lineage
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Run
from slipway.records.simulations import Simulation

HOME = "/projects/flights"
SIMULATED = f"{HOME}/simulations/flight-delays"
PAGES = [
    "/",
    HOME,
    f"{HOME}/runs",
    f"{HOME}/runs?where=state+%3D+%27failed%27&order=started",
    f"{HOME}/runs?where=auc",
    f"{HOME}/runs?limit=many",
    f"{HOME}/runs?group=params.depth&metric=metrics.auc",
    f"{HOME}/runs?group=nothing",
    f"{HOME}/runs?column=metrics.auc&column=experiment&column=params.none&find=a&order=metrics.auc+desc",
    f"{HOME}/runs/{GOOD_RUN}/curves?find=auc&draw=auc&draw=none",
    f"{HOME}/runs/{GOOD_RUN}",
    f"{HOME}/runs/{BAD_RUN}",
    f"{HOME}/runs/{GOOD_RUN}/curves",
    f"{HOME}/runs/{GOOD_RUN}/curves?from=5&to=20&draw=val/loss",
    f"{HOME}/runs/compare?run={GOOD_RUN}&run={BAD_RUN}",
    *(f"{HOME}/runs/{GOOD_RUN}/artifact?name={quote(name)}" for name in FILES),
    f"{HOME}/runs/{TRASHED_RUN}",
    f"{HOME}/start",
    f"{HOME}/start?pipeline=%3Cscript%3E",
    f"{HOME}/start?from={GOOD_RUN}",
    f"{HOME}/starts/{START}",
    f"{HOME}/models",
    f"{HOME}/models/flight-delays/1",
    f"{HOME}/models/flight-delays/champion",
    f"{HOME}/models/compare?after=flight-delays%3A1",
    f"{HOME}/models/flight-delays/1?judge=1",
    f"{HOME}/models/flight-delays/1/handover",
    f"{HOME}/handovers",
    f"{HOME}/models/flight-delays/1/what-if?row=%23x",
    "/inbox",
    "/portfolio",
    f"{HOME}/business",
    f"{HOME}/business/flight-delays",
    "/executions",
    "/comments",
    f"{HOME}/comments?person=ada&kind=run",
    f"{HOME}/comments?person=nobody",
    f"{HOME}/executions?kind=run&state=done",
    "/people",
    "/people?role=ml+engineer",
    "/settings",
    f"{HOME}/audit?person=ada&since=2013-01-01",
    f"{HOME}/logged/{LOGGED}",
    f"{HOME}/tables",
    f"{HOME}/tables/flights",
    f"{HOME}/endpoints",
    f"{HOME}/features",
    f"{HOME}/features/hour",
    f"{HOME}/catalog",
    f"{HOME}/lineage?what=hour",
    f"{HOME}/endpoints/flight-delays",
    f"{HOME}/monitoring",
    f"{HOME}/endpoints/flight-delays/monitoring",
    f"{HOME}/endpoints/flight-delays/monitoring/column?column=distance",
    f"{HOME}/endpoints/flight-delays/decide?what=rollback",
    f"{HOME}/endpoints/flight-delays/try",
    SIMULATED,
    f"{SIMULATED}?kind=promote",
    f"{SIMULATED}?id={OLDER_SIMULATION}",
    f"{HOME}/schedules",
    f"{HOME}/schedules/nightly",
    f"{HOME}/schedules/resting",
    f"{HOME}/schedules/gone",
    f"{HOME}/incidents",
    f"{HOME}/incidents/i1",
    "/runbook/broken-feed",
    f"{HOME}/audit",
    f"{HOME}/migration",
    f"{HOME}/trash",
]
VOID = {"meta", "link", "br", "img", "input", "hr"}
SVG_ALONE = {"path", "line", "circle", "rect"}


class Reader(HTMLParser):
    """Reads a page strictly: every tag that opens closes, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.faults: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.faults.append(f"{tag} has {name}")
            if name in ("href", "src") and value is not None:
                self.links.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag in SVG_ALONE:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.faults == []
    assert reader.open == []
    return reader


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_needs_no_script_and_nobody_else(ask: Ask, path: str) -> None:
    answer = ask("GET", path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    reader = read(answer.text)
    assert reader.tags & {"object", "style"} == set()
    for frame in re.findall(r"<iframe[^>]*>", answer.text):  # what somebody stored: it runs nothing, and is nobody
        assert re.match(r'<iframe class="page-shown" sandbox src="/projects/flights/runs/', frame)
    (script,) = re.findall(r"<script[^>]*>[^<]*</script>", answer.text)  # our own, without which all is there
    assert re.fullmatch(r'<script src="/static/slipway-[0-9a-f]{12}[.]js" defer></script>', script)
    assert [link for link in reader.links if "//" in link and not link.startswith("data:")] == []
    assert {"main", "h1", "title"} <= reader.tags


@pytest.mark.parametrize("path", PAGES)
def test_what_people_named_is_escaped(ask: Ask, path: str) -> None:
    text = ask("GET", path).text
    assert NASTY not in text
    assert SCRIPT not in text


def test_what_people_named_is_shown(ask: Ask) -> None:
    for path in ("/", f"{HOME}/runs/{GOOD_RUN}", f"{HOME}/runs/{BAD_RUN}", f"{HOME}/tables/flights", f"{HOME}/audit"):
        assert "&lt;script&gt;" in ask("GET", path).text, path


@pytest.mark.full
def test_every_link_leads_somewhere(ask: Ask) -> None:
    seen, queue = set(PAGES), list(PAGES)
    while queue:
        path = queue.pop()
        answer = ask("GET", path)
        assert answer.status_code == 200, path
        if "/shown?" in path:  # what somebody stored: see the test of its sandbox
            continue
        if answer.headers["content-type"].startswith("text/html"):
            for link in read(answer.text).links:
                target = path.partition("?")[0] + link if link.startswith("?") else link
                if target.startswith("/") and target not in seen:
                    seen.add(target)
                    queue.append(target)
    assert any(path.startswith("/api/v1/projects/flights/models/get") for path in seen)
    assert any(path.endswith(".css") for path in seen)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", ["flight-delays", "stopped", "Open incidents", "distance moved by 12 %", "champion", "81,000", "1 of 2 broken"]),
        ("/", ['/schedules/nightly">nightly</a>: The schedule could not run', "+1 run</a>"]),
        (f"{HOME}/runs", ["release", "+1 run</a>", f"parent%20%3D%20%27{GOOD_RUN}%27"]),
        (f"{HOME}/runs?where=metrics.auc+%3E+0.7&limit=1", ["release", 'value="metrics.auc &gt; 0.7"']),
        (f"{HOME}/runs?order=metrics.auc&limit=1&all=1", ["release", 'rel="next"', "limit=1&amp;all=1&amp;token="]),
        (f"{HOME}/runs?where=auc+%3E+0.7", ["a run has no attribute &#39;auc&#39;", "metrics.auc", 'value="auc &gt; 0.7"']),
        (f"{HOME}/runs/{GOOD_RUN}", ["learning_rate", "helper rows.clean changed", "cached", "1 min 23 s", "1.5 MB", "not committed"]),
        (f"{HOME}/runs/{BAD_RUN}", ["KeyError", "in step train", "flights.py", "(simulated)"]),
        (f"{HOME}/models/flight-delays/1", ["0.738 to 0.754", "only one class was seen", "(simulated)", "24 Mar 2013", "costs in USD", "Not compiled: The model KNeighborsClassifier"]),
        (f"{HOME}/models/flight-delays/2", ["Since version", "Nothing moved."]),
        (f"{HOME}/documents/card/flight-delays", ["Of ", "are filled from evidence", "Who may be harmed", "missing</span>"]),
        (f"{HOME}/documents/annex-iv/flight-delays", ["6. Changes through its life", "A draft after Annex IV"]),
        (f"{HOME}/documents/datasheet/flights", ["Data sheet of flights", "flight_id is unique", "How rows were gathered"]),
        (f"{HOME}/tables/flights", ["12,000 of 81,000", "flight_id is unique", "holds", "warning", "9 rows refused on", "raw"]),
        (f"{HOME}/endpoints/flight-delays", ["curl -s", "&#34;carrier&#34;: &#34;AA&#34;", "matched by carrier", "counted and ignored", "in its place", "then 0.2", "after 160 ms", "or hour is missing"]),
        (f"{HOME}/endpoints/flight-delays", ["canary", "flight-delays 4", "its failures stayed within the margin", "in shadow for 3 days to 12 days", "schedule 0 3 1,15 * *", "2 attempts", "No retraining while a feed is broken.", "Grace Okafor", "taken back", "See the table."]),
        ("/", ["What retraining is worth", "was worth 69,380 USD over nine months"]),
        (SIMULATED, ["was worth 69,380 USD over nine months", "Assumed, not measured", "6,601 requests", "★", "whole period", "version 1"]),
        (SIMULATED, ["than what it replaced", "1 better, 1 worse, 1 cannot be told", "not handled", "2 of 3 handled", "(simulated)"]),
        (SIMULATED, ["Measured, not judged in simulation", "answer p99 (ms)", "by phase: shadow (s)", "bit for bit; 1,925 rows", "4f4f4f4f"]),
        (SIMULATED, ["No retraining while a feed is broken.", "Told to the data engineer.", "all 14", "share beyond", "seed 1</a>"]),
        (f"{SIMULATED}?id={OLDER_SIMULATION}", ["failed", "The endpoint stopped answering.", "seed 2013</a>"]),
        (f"{HOME}/audit", ["every seal holds", "models.register"]),
    ],
)  # fmt: skip
def test_a_page_says_what_matters(ask: Ask, path: str, words: list[str]) -> None:
    text = ask("GET", path).text
    assert [word for word in words if word not in text] == []


def test_the_story_can_be_told_of_one_kind_only(ask: Ask) -> None:
    text = ask("GET", f"{SIMULATED}?kind=promote").text
    assert "Version 2 answers all rows" in text
    assert "No retraining while a feed is broken." not in text
    assert "Nothing of this kind was done." in ask("GET", f"{SIMULATED}?kind=nix").text


def test_a_loss_is_called_a_loss(workspace: Workspace) -> None:
    fill(workspace)
    with workspace.ledger.write() as tx:
        found = entries.get(tx, Simulation, SIMULATION)
        lost = structs.replace(found.worth[1], cost=17_480.4, cost_low=6_844.2, cost_high=28_116.1)
        entries.put(tx, structs.replace(found, worth=(found.worth[0], lost)))
    text = " ".join(asker(workspace)("GET", SIMULATED).text.split())
    assert 'saved against never</span><b>69,380 USD</b><span class="quiet">50,660 to 88,100</span>' in text
    assert 'lost against blind</span><b>17,480 USD</b><span class="quiet">6,844 to 28,116</span>' in text


def test_who_may_not_read_approvals_sees_the_rest_of_a_simulation(workspace: Workspace) -> None:
    fill(workspace)
    viewer = asker(replace(workspace, actor=Actor("eve", roles=("executive viewer",))))
    for path in (SIMULATED, f"{HOME}/endpoints/flight-delays"):
        answer = viewer("GET", path)
        assert answer.status_code == 200, path
        assert "Grace Okafor" not in answer.text
        assert "approvals/standing" not in answer.text


def test_an_endpoint_without_a_loop_has_no_empty_chapters(workspace: Workspace) -> None:
    fill(workspace)
    connection = sqlite3.connect(workspace.root / "ledger.db")
    connection.execute(
        "DELETE FROM entries WHERE kind IN ('rollout', 'retraining', 'action', 'standing_approval', 'simulation')"
    )
    connection.commit()
    connection.close()
    text = asker(workspace)("GET", f"{HOME}/endpoints/flight-delays").text
    assert [word for word in ("Roll-out", "Retrainings", "What the loop did", "Simulat") if word in text] == []
    answer = asker(workspace)("GET", SIMULATED)
    assert answer.status_code == 404
    assert "has no simulation" in answer.text


def test_a_time_is_given_to_machines_too(ask: Ask) -> None:
    assert '<time datetime="2013-04-01T00:00:00+00:00"' in ask("GET", "/").text


def test_the_style_sheet_and_the_script_are_kept_by_their_content(ask: Ask) -> None:
    (path,) = re.findall(r'href="(/static/slipway-[0-9a-f]{12}\.css)"', ask("GET", "/").text)
    (script,) = re.findall(r'src="(/static/slipway-[0-9a-f]{12}\.js)"', ask("GET", "/").text)
    assert "immutable" in ask("GET", script).headers["cache-control"]
    assert ask("GET", script).headers["content-type"].startswith("text/javascript")
    assert not re.search(r"eval\(|Function\(|https?://", ask("GET", script).text)
    answer = ask("GET", path)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert "prefers-color-scheme: dark" in answer.text
    assert "url(" not in answer.text
    assert ask("GET", "/static/slipway-000000000000.css").status_code == 404


def test_a_page_that_is_not_there_says_so_in_words(ask: Ask) -> None:
    for path in (
        "/nothing",
        "/projects/fligths",
        f"{HOME}/runs/ffffffff",
        f"{HOME}/models/nix/1",
        f"{HOME}/models/flight-delays/9",
    ):
        answer = ask("GET", path)
        assert answer.status_code == 404, path
        read(answer.text)
        assert "404 NotFound" in answer.text
    assert "Did you mean &#39;flights&#39;?" in ask("GET", "/projects/fligths").text


def test_a_damaged_audit_log_is_shown_not_hidden(ask: Ask, workspace: Workspace) -> None:
    ask("POST", "/api/v1/projects/flights/audit/seal")
    connection = sqlite3.connect(workspace.root / "ledger.db")
    connection.execute("UPDATE events SET body=replace(body, 'flight-delays', 'other-delays')")
    connection.commit()
    connection.close()
    text = ask("GET", f"{HOME}/audit").text
    assert "The audit log was changed" in text
    assert "every seal holds" not in text


def test_the_first_page_of_an_empty_store_says_how_to_begin(workspace: Workspace) -> None:
    text = asker(workspace)("GET", "/").text
    read(text)
    assert "slipway new" in text


def test_a_model_tells_how_its_reproduction_ended(ask: Ask) -> None:
    page = ask("GET", f"{HOME}/models/flight-delays/1").text
    line = page.partition("<dt>reproduced</dt>")[2].partition("</dd>")[0]
    assert 'class="state bad">differs' in line
    assert "It differs first at train: &lt;script&gt;" in line
    assert f"{HOME}/runs/{BAD_RUN}" in line


def test_a_run_tells_how_its_repetition_ended_and_how_to_go_on(ask: Ask, workspace: Workspace) -> None:
    page = ask("GET", f"{HOME}/runs/{GOOD_RUN}").text
    told = page.partition('<h2 id="reproduced">Reproduced</h2>')[2].partition("</table>")[0]
    assert 'class="state bad">differs' in told
    assert "<td>seed</td>" in told
    assert "&lt;script&gt;" in told
    assert GOOD_RUN in ask("GET", f"{HOME}/runs/{BAD_RUN}").text.partition("<dt>repeated</dt>")[2][:200]
    with workspace.ledger.write() as tx:
        run = entries.get(tx, Run, GOOD_RUN)
        code = structs.replace(run.code, snapshot="a" * 64)
        entries.put(tx, structs.replace(run, code=code, tags={**run.tags, "slipway.reruns": BAD_RUN}))
        lineage.link(tx, f"run:{BAD_RUN}", f"run:{GOOD_RUN}", "rerun")
    page = ask("GET", f"{HOME}/runs/{GOOD_RUN}").text
    read(page)
    assert f"<code>slipway rerun {GOOD_RUN[:12]}" in page
    assert "<h2>Beside the run that it was started from</h2>" in page
    assert (
        f'{HOME}/runs/{GOOD_RUN}"' in ask("GET", f"{HOME}/runs/{BAD_RUN}").text.partition("<dt>rerun as</dt>")[2][:200]
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, structs.replace(run, tags={**run.tags, "slipway.reruns": "f" * 32}))
    assert ask("GET", f"{HOME}/runs/{GOOD_RUN}").status_code == 200, "the run that it was started from is gone"


def test_an_edited_verdict_is_shown_as_altered(ask: Ask, workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        (one,) = entries.find(tx, Reproduction)
        entries.put(tx, structs.replace(one, verdict="equal"))
    for place in (f"runs/{GOOD_RUN}", "models/flight-delays/1"):
        assert 'class="state bad">altered' in ask("GET", f"{HOME}/{place}").text
        assert 'class="state good">equal' not in ask("GET", f"{HOME}/{place}").text


def test_a_run_in_the_trash_says_when_it_goes(ask: Ask) -> None:
    text = ask("GET", f"{HOME}/runs/{TRASHED_RUN}").text
    assert "In the trash since" in text
    assert "purged after" in text
    assert "In the trash" not in ask("GET", f"{HOME}/runs/{GOOD_RUN}").text


def test_the_trash_lists_what_is_in_it(ask: Ask, workspace: Workspace) -> None:
    text = ask("GET", f"{HOME}/trash").text
    assert f"{HOME}/runs/{TRASHED_RUN}" in text
    assert "longer than 30 days is purged" in text
    assert f"run:{GOOD_RUN}" not in text
    ask("POST", "/api/v1/projects/flights/trash/keep", json={"days": None})
    ask("POST", "/api/v1/projects/flights/trash/restore", json={"items": [f"run:{TRASHED_RUN}"]})
    text = ask("GET", f"{HOME}/trash").text
    assert "Nothing is in the trash" in text
    assert "until somebody purges it" in text
