"""The pages of runs: what a run recorded is there, and nothing that somebody stored becomes part of the page."""

import re
from dataclasses import replace
from html import unescape
from urllib.parse import quote

import pytest

from filled_store import BAD_RUN, GOOD_RUN, fill
from hostile_files import FILES, PAGE, SCRIPT, png
from server_desk import Ask, asker
from slipway.ledger import projects, run_log
from slipway.operations.permissions import ROLES, allowed
from slipway.pipelines.search import search
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.run_entries import WorkersHeld
from slipway.records.runs import WorkerTime
from slipway.runs import tracking
from slipway.server.sending import disposition


@pytest.fixture
def named(workspace: Workspace) -> Workspace:
    """A workspace whose project the server knows."""
    projects.register(workspace)
    return workspace


HOME = "/projects/flights/runs"
RUN = f"{HOME}/{GOOD_RUN}"


def artifact(ask: Ask, name: str) -> str:
    answer = ask("GET", f"{RUN}/artifact?name={quote(name)}")
    assert answer.status_code == 200
    return answer.text.partition('<main id="main"')[2].partition("</main>")[0]


@pytest.mark.parametrize("name", FILES)
def test_a_download_is_an_attachment_that_may_run_and_load_nothing(ask: Ask, name: str) -> None:
    answer = ask("GET", f"{RUN}/download?name={quote(name)}")
    assert answer.content == FILES[name]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow" not in policy


def test_a_large_download_is_whole(named: Workspace) -> None:
    data = bytes(range(256)) * 40_000
    with tracking.start(named, "large", system_metrics=False) as run:
        path = named.root / "large.bin"
        path.write_bytes(data)
        run.log_artifact("large.bin", path)
    ask = asker(named)
    here = f"/projects/{named.project}/runs/{run.id}"
    answer = ask("GET", f"{here}/download?name=large.bin")
    assert answer.content == data
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "too large to be shown" in ask("GET", f"{here}/artifact?name=large.bin").text
    assert ask("GET", f"{here}/image?name=large.bin").status_code == 422


def test_an_image_is_what_its_bytes_say_and_not_what_its_name_says(ask: Ask) -> None:
    answer = ask("GET", f"{RUN}/image?name=plots/roc.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == png()
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    for name in ("plots/no picture.png", "drawing.svg", "page.html", "rows.csv"):
        answer = ask("GET", f"{RUN}/image?name={quote(name)}")
        assert answer.status_code == 404, name
        assert SCRIPT not in answer.text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../../x", "x"),
        ("..", "artifact"),
        ("", "artifact"),
        ("a\\b\\c.txt", "c.txt"),
        ('a"b\r\nSet-Cookie: x=1', "a_b Set-Cookie_ x_1"),
        ("gpj\u202eexe.png", "gpj_exe.png"),
        ("größe 100%.csv", "gr__e 100_.csv"),
        ("\ud800", "_"),
    ],
)
def test_a_file_is_called_what_no_browser_misreads(name: str, told: str) -> None:
    header = disposition("attachment", name)
    found = re.fullmatch(r"attachment; filename=\"([^\"\\\r\n]*)\"; filename\*=UTF-8''([A-Za-z0-9._~%-]+)", header)
    assert found, header
    assert found.group(1) == told
    header.encode("ascii")


def test_a_name_beyond_ascii_comes_whole() -> None:
    assert disposition("attachment", "plots/größe.csv").endswith("filename*=UTF-8''gr%C3%B6%C3%9Fe.csv")


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "nothing.txt", "", "plots"])
def test_only_what_the_run_names_is_found(ask: Ask, name: str) -> None:
    for route in ("download", "image", "artifact"):
        assert ask("GET", f"{RUN}/{route}?name={quote(name)}").status_code == 404


def test_who_may_not_read_runs_downloads_nothing(workspace: Workspace) -> None:
    fill(workspace)
    for role in [*ROLES, "no such role"]:
        actor = Actor("somebody", roles=(role,))
        ask = asker(replace(workspace, actor=actor))
        wanted = 200 if allowed(actor, "runs.read") else 403
        for route in ("download?name=notes.md", "image?name=plots/roc.png", "diff", "artifact?name=notes.md", "curves"):
            assert ask("GET", f"{RUN}/{route}").status_code == wanted, (role, route)


def test_the_run_of_another_project_is_not_found(ask: Ask, workspace: Workspace) -> None:
    with tracking.start(replace(workspace, project="other"), "theirs", system_metrics=False) as run:
        run.log_text("notes.md", "theirs")
    for route in ("", "/download?name=notes.md", "/artifact?name=notes.md", "/curves", "/diff"):
        assert ask("GET", f"{HOME}/{run.id}{route}").status_code == 404, route


def test_what_a_run_recorded_is_on_its_page(ask: Ask) -> None:
    text = ask("GET", RUN).text
    for word in (
        "flights.py --until 2013-04-01",
        "<strong>Why</strong>",
        "training",
        'href="/projects/flights/tables/flights"',
        f'href="{HOME}/{BAD_RUN}"',
        'href="/projects/flights/models/flight-delays/1"',
        "+depth = 6",
        f'href="{RUN}/diff"',
        'src="/projects/flights/runs/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/image?name=plots%2Froc.png"',
        f"{RUN}/download?name=notebook.ipynb",
    ):
        assert word in text, word
    assert "no%20picture.png" not in re.findall(r'<img src="([^"]*)"', text)[-1]
    assert text.count('class="chart curves"') == 3
    assert (
        ask("GET", f"{RUN}/diff").headers["content-disposition"].startswith('attachment; filename="aaaaaaaaaaaa.diff"')
    )
    assert ask("GET", f"{HOME}/{BAD_RUN}/diff").status_code == 404


def test_markdown_is_set_and_its_links_and_html_stay_text(ask: Ask) -> None:
    shown = artifact(ask, "notes.md")
    assert "<h3>Notes</h3>" in shown
    assert "<li><em>second</em></li>" in shown
    assert "[click](javascript:alert(1))" in shown
    assert not re.search(r"<a [^>]*javascript", shown)
    assert (
        f"<pre>&lt;/pre&gt;{SCRIPT.replace('<', '&lt;').replace('>', '&gt;').replace(chr(34), '&#34;')}</pre>" in shown
    )


def test_a_page_is_shown_where_it_can_run_and_load_nothing(ask: Ask) -> None:
    shown = artifact(ask, "page.html")
    (frame,) = re.findall(r"<iframe[^>]*>", shown)
    assert frame.startswith('<iframe class="page-shown" sandbox src=')
    answer = ask("GET", unescape(re.findall(r'src="([^"]*)"', frame)[0]))
    assert answer.content == PAGE
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert "allow" not in policy
    assert "script" not in policy
    assert "frame-src 'self'" in ask("GET", f"{RUN}/artifact?name=page.html").headers["content-security-policy"]
    for name in ("plots/roc.png", "rows.csv", "drawing.svg", "plots/no picture.png"):
        assert ask("GET", f"{RUN}/shown?name={quote(name)}").status_code == 404, name


def test_pages_are_shown_with_their_source(ask: Ask) -> None:
    for name in ("page.html", "plots/no picture.png"):
        shown = artifact(ask, name)
        assert PAGE.decode() in unescape(shown)
        assert "<img" not in shown
    assert "scripts do not run" in artifact(ask, "page.html")
    assert "not a picture, whatever its name says" in artifact(ask, "plots/no picture.png")


def test_a_drawing_is_an_image_without_an_address(ask: Ask) -> None:
    (source,) = re.findall(r'<img src="([^"]*)"', artifact(ask, "drawing.svg"))
    assert source.startswith("data:image/svg+xml;base64,")


def test_a_frame_of_pandas_is_a_table_too(ask: Ask, workspace: Workspace) -> None:
    pandas = pytest.importorskip("pandas")
    with tracking.start(workspace) as run:
        run.log_table("worst rows", pandas.DataFrame({"delay": [1.5]}))
    shown = ask("GET", f"{HOME}/{run.id}/artifact?name=worst%20rows").text
    assert "<th>delay (Float64)</th>" in shown
    assert "<td>1.5</td>" in shown


def test_tables_are_tables(ask: Ask) -> None:
    for name, head, cell in (
        ("rows.csv", "<th>carrier</th>", "<td>1,5</td>"),
        ("rows.parquet", "<th>delay (Float64)</th>", "<td>1.5</td>"),
        ("mlflow table.json", "<th>a</th>", "<td>2</td>"),
    ):
        shown = artifact(ask, name)
        assert head in shown, name
        assert cell in shown, name
    assert "cannot be read as Parquet" in artifact(ask, "no rows.parquet")
    assert "  &#34;folds&#34;: 5" in artifact(ask, "settings.json")


def test_a_notebook_is_rendered_without_what_it_would_run(ask: Ask) -> None:
    shown = artifact(ask, "notebook.ipynb")
    assert "<h3>Title</h3>" in shown
    assert "[x](javascript:alert(1))" in shown
    assert '<pre class="output">printed &lt;script' in shown
    assert '<pre class="errors">red</pre>' in shown
    assert '<pre class="errors">KeyError &lt;script' in shown
    assert "Its HTML, as text</summary><pre>&lt;table&gt;&lt;script" in shown
    assert re.findall(r'<img src="(data:[^;]*);', shown) == ["data:image/png", "data:image/svg+xml"]
    assert '<pre class="output">no jpeg</pre>' in shown
    assert "An output of application/javascript, which is not shown." in shown


def test_what_workers_took_is_on_the_page(ask: Ask, workspace: Workspace) -> None:
    log = run_log.start(workspace, name="trained")
    log.later(WorkersHeld(WorkerTime(executor="ray", workers=3, used_s=41.25, idle_s=6.25, paid_s=47.5)))
    log.finish()
    page = ask("GET", f"{HOME}/{log.id}").text
    assert "Workers: 41.2 s used, 6.2 s idle, 47.5 s paid on 3 workers (ray)" in page


def test_a_search_shows_its_trials_the_best_first(named: Workspace) -> None:
    def score(depth: int, kind: str) -> float:
        if depth == 3:
            raise ValueError("no tree is that deep")
        return depth / 10

    found = search(named, score, {"depth": [1, 2, 3, 4], "kind": [PAGE.decode()[:40]]}, "auc", 4, sampler="grid")
    page = asker(named)("GET", f"/projects/{named.project}/runs/{found.run_id}").text
    trials = page.partition("Trials, the best first")[2].partition("</table>")[0]
    order = re.findall(r"/runs/(\w{32})", trials)
    by_depth = {trial.params["depth"]: trial.run_id for trial in found.trials}
    assert order[:4] == [by_depth[depth] for depth in (4, 2, 1, 3)]
    assert trials.index(by_depth[4]) < trials.index('class="alias">best<') < trials.index(by_depth[2])
    assert "depth" in trials
    assert PAGE.decode()[:40] not in trials
