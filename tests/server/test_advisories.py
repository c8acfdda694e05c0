"""One test for each class of the advisories that servers of this kind had; docs/security.md has the list.

They ask every route, not those that somebody remembered. What the process does besides answering (opening a file or a
connection, reading a pickle) is told by CPython's own audit hooks.
"""

import gzip
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow_filled
import pytest
from mlflow_desk import Desk

from filled_store import GOOD_RUN, fill
from house.test_route_walk import FIELDS
from slipway.hosts.project import open_workspace
from slipway.ledger import projects
from slipway.operations.permissions import allowed
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.server import pages
from slipway.server.mlflow.table import DECLARED

ALL = "/api/2.0/mlflow-artifacts/artifacts"
SECRET = b"the secret is 42"
Request = tuple[str, str, Any]

_heard: list[tuple[str, str]] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _heard is not None and event in ("open", "socket.connect", "socket.getaddrinfo", "pickle.find_class"):
        _heard.append((event, str(arguments[:2])))


sys.addaudithook(_hear)


@contextmanager
def heard() -> Iterator[list[tuple[str, str]]]:
    """What the process opens, connects to and unpickles meanwhile."""
    global _heard
    _heard = told = []
    try:
        yield told
    finally:
        _heard = None


@pytest.fixture
def desk(workspace: Workspace) -> Desk:
    projects.register(workspace)
    return Desk(workspace)


def address(method: str, path: str, parts: dict[str, str]) -> str:
    full = re.sub(r"\{(\w+)(?:\.\.\.)?\}", lambda found: parts.get(found[1], "x"), path)
    return f"/api/{full}" if full[0].isdigit() else f"/{full}"


def good_requests(ids: dict[str, str]) -> list[Request]:
    """A request for each route of MLflow's API that it would answer."""
    known = mlflow_filled.requests(ids)
    found = []
    for one in DECLARED:
        parts, body = known.get(f"{one.method} {one.path}") or known.get(one.path, ({}, None))
        found.append((one.method, address(one.method, one.path, parts), body))
    return found


def native_requests() -> list[Request]:
    return [(one.method, one.path.replace("{project}", "flights"), FIELDS[name]) for name, one in OPERATIONS.items()]


def send(desk: Desk, request: Request, **options: Any) -> Any:
    method, path, body = request
    if isinstance(body, bytes):
        return desk.ask(method, path, content=body, **options)
    if body is None or (method in ("GET", "HEAD") and not isinstance(body, dict)):
        return desk.ask(method, path, **options)
    return desk.ask(method, path, **{"params" if method in ("GET", "HEAD") else "json": body}, **options)


def with_texts(body: Any, text: str) -> Iterator[Any]:
    """A body with each of its texts in turn replaced."""
    if isinstance(body, str):
        yield text
    elif isinstance(body, dict):
        for key, value in body.items():
            yield from ({**body, key: other} for other in with_texts(value, text))
    elif isinstance(body, list):
        for number, value in enumerate(body):
            yield from ([*body[:number], other, *body[number + 1 :]] for other in with_texts(value, text))


TRAVERSALS = [
    "../../../../{name}",
    "%2e%2e%2f%2e%2e%2f{name}",
    "..%5c..%5c{name}",
    "..\\..\\{name}",
    "{path}",
    "/{path}",
    "//{path}",
    "file://{path}",
    "a/../../{name}",
    "{name}\0.txt",
    "link",
    "uploads/link",
    "%252e%252e/{name}",
    "a?/../../{name}",
    "a#/../../{name}",
    "mlflow-artifacts:/{path}",
]


@pytest.mark.parametrize("wanted", TRAVERSALS)
def test_no_route_reads_or_writes_a_file_that_a_client_names(desk: Desk, workspace: Workspace, wanted: str) -> None:
    secret = workspace.root.parent / "secret.txt"
    secret.write_bytes(SECRET)
    ids = mlflow_filled.fill(desk)
    for folder in (workspace.root, workspace.root / "uploads", workspace.root / "blobs"):
        (folder / "link").symlink_to(secret)
    text = wanted.format(name=secret.name, path=secret)
    before = set(secret.parent.iterdir())
    with heard() as told:
        for method, path, body in good_requests(ids):
            for other in with_texts(body, text):
                answer = send(desk, (method, path, other))
                assert SECRET not in answer.content, (method, path, other)
            in_path = text.replace("\0", "%00").replace("\\", "%5c").replace("?", "%3f").replace("#", "%23")
            for place in (ids["place"], ids["model"], ids["upload"], ids["run"]):
                if place in path:
                    hostile = (method, path.replace(place, f"{place}/{in_path}"), body)
                    answers = [send(desk, hostile), send(desk, (method, path.replace(place, in_path), body))]
                    assert all(SECRET not in answer.content for answer in answers), hostile
                    assert all(answer.status_code < 500 for answer in answers), hostile
    assert [one for one in told if secret.name in one[1]] == []
    assert set(secret.parent.iterdir()) == before
    assert secret.read_bytes() == SECRET


@pytest.mark.parametrize("text", ["../../../outside", "../outside", "a/b", "a\0b", "{}"])
def test_no_name_of_an_endpoint_is_a_way_to_another_folder(desk: Desk, workspace: Workspace, text: str) -> None:
    fill(workspace)
    for method, path, body in native_requests():
        if method == "POST" and any(
            f"/{noun}/" in path for noun in ("abtests", "endpoints", "retrainings", "rollouts")
        ):
            for field in ("endpoint", "name"):
                if field in body:
                    answer = send(desk, (method, path, {**body, field: text}))
                    assert 400 <= answer.status_code < 500, (path, answer.text)
    assert [one for one in workspace.root.parent.rglob("*") if one.name in ("deploy.lock", "outside", "b")] == []


ADDRESSES = [
    "http://127.0.0.1:9/latest/meta-data",
    "https://evil.example/x",
    "file:///etc/passwd",
    "s3://bucket/key",
    "ftp://127.0.0.1/x",
    "//evil.example/x",
    "dbfs:/x",
    "runs:/{run}/http://127.0.0.1:9/",
    "models:/late/1",
]


@pytest.mark.parametrize("wanted", ADDRESSES)
def test_no_address_that_a_client_names_is_opened(desk: Desk, workspace: Workspace, wanted: str) -> None:
    ids = mlflow_filled.fill(desk)
    text = wanted.format(run=ids["run"])
    with heard() as told:
        for method, path, body in good_requests(ids):
            for other in with_texts(body, text):
                answer = send(desk, (method, path, other))
                assert answer.status_code < 500, (method, path, other, answer.text)
            if isinstance(body, dict):
                extra = {"artifact_location": text, "source": text, "run_link": text, "artifact_uri": text}
                assert send(desk, (method, path, {**body, **extra})).status_code < 500, (method, path)
        for method, path, body in native_requests():
            if method == "GET":
                for other in with_texts(body, text):
                    assert send(desk, (method, path, other)).status_code < 500, (path, other)
    assert [one for one in told if one[0].startswith("socket.") or "/etc/passwd" in one[1]] == []


def test_a_model_that_names_itself_as_its_source_ends(desk: Desk) -> None:
    """A version made of a version made of ... is a copy of the first one's place: there is no chain to follow."""
    mlflow_filled.fill(desk)
    for number in range(1, 6):
        made = desk.good("POST", "/model-versions/create", {"name": "late", "source": f"models:/late/{number}"})
        assert made["model_version"]["version"] == str(number + 1)
    uris = {
        desk.good("GET", "/model-versions/get-download-uri", {"name": "late", "version": str(number)})["artifact_uri"]
        for number in range(1, 7)
    }
    assert len(uris) == 1
    assert next(iter(uris)).startswith("mlflow-artifacts:/")
    for source in ("models:/late/7", "models:/late/latest/x", "models:/models:/late/1"):
        answer = desk.send("POST", "/model-versions/create", {"name": "late", "source": source})
        assert answer.status_code in (400, 404), source


PUBLIC = {"/health", "/api/v1/openapi.json", "/api/v1/mlflow-openapi.json", *(path for path, _, _ in pages._STATIC)}
"""What anybody may read who reaches the server: that it is up, its descriptions, its style sheet and script."""
METHODS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
OTHERS = [
    "/graphql", "/api/graphql", "/api/2.0/mlflow/traces", "/api/3.0/mlflow/traces", "/v1/traces", "/ajax-api/3.0/jobs",
    "/api/3.0/mlflow/webhooks", "/api/2.0/mlflow/users/create", "/ajax-api/2.0/mlflow/gateway-proxy", "/gateway",
    "/static-files/x", "/docs", "/redoc", "/openapi.json", "/.git/config", "/signup", "/api/2.0/mlflow/permissions",
]  # fmt: skip


def spellings(path: str) -> list[str]:
    """Other ways to write an address that some server might read as the same."""
    return [
        path,
        f"{path}/",
        f"/{path}",
        f"{path}//",
        path.replace("/", "//"),
        f"/.{path}",
        f"/x/..{path}",
        f"{path}/.",
        f"{path};x",
        f"{path}%20",
        f"{path}%2f",
        path.upper(),
        path.replace("/api/", "/ajax-api/"),
        path.replace("/api/", "/api%2f"),
        f"/projects/flights{path}",
    ]


@pytest.mark.full
def test_nobody_gets_anything_by_any_route_method_or_spelling(workspace: Workspace) -> None:
    fill(workspace)
    nobody = replace(workspace, actor=Actor("somebody", roles=("no such role",)))
    desk = Desk(nobody)
    assert not any(allowed(nobody.actor, one.permission) for one in [*DECLARED, *OPERATIONS.values()])
    fields = {path: body for _, path, body in native_requests()}
    asked = [address("", one.path, {}) for one in DECLARED] + list(fields)
    asked += [
        path.format(project="flights", id=GOOD_RUN, name="x", kpi="x", version="1", kind="card", key="x")
        for path in pages._PAGES
    ]
    with workspace.ledger.read() as tx:
        before = tx.events()
    for path in dict.fromkeys([*asked, *OTHERS, "/metrics", *PUBLIC]):
        for spelled in spellings(path) if path != "/" else ["/", "//", "/."]:
            for method in METHODS if spelled == path else METHODS[:2]:
                answer = send(desk, (method, spelled, fields.get(path)))
                if answer.status_code == 307:  # to the same address without the last slash, which is asked too
                    assert answer.headers["location"].startswith("http://127.0.0.1:8300/"), spelled
                elif path not in PUBLIC:
                    # 422: a page may miss a word of its question before it asks for anything.
                    refused = (403, 404, 405, 422) if path.startswith("/projects/") else (403, 404, 405)
                    assert answer.status_code in refused, (method, spelled, answer.status_code)
    with workspace.ledger.read() as tx:
        assert tx.events() == before


def test_every_route_asks_for_host_and_origin(workspace: Workspace) -> None:
    """A page under a foreign name that resolves to this machine, or that sends a form to it, gets nothing done."""
    fill(workspace)
    desk = Desk(workspace)
    routes = [(one.method, address("", one.path, {}), None) for one in DECLARED] + native_requests()
    with workspace.ledger.read() as tx:
        before = tx.events()
    for request in [*routes, *(("GET", path, None) for path in [*pages._PAGES, *PUBLIC, "/metrics"])]:
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8300",
            "127.0.0.1:x@evil.example",
        ):
            assert send(desk, request, headers={"host": host}).status_code == 403, (request, host)
        if request[0] != "GET":
            for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:8300"):
                assert send(desk, request, headers={"origin": origin}).status_code == 403, (request, origin)
    with workspace.ledger.read() as tx:
        assert tx.events() == before


def test_a_form_of_a_foreign_page_is_no_request(desk: Desk) -> None:
    """What a page can send without asking first: a form, as one of three types, by POST."""
    for declared in DECLARED:
        if declared.method == "POST" and declared.raw is None:
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
                answer = desk.ask("POST", address("", declared.path, {}), content=b"{}", headers={"content-type": kind})
                assert (answer.status_code, "takes JSON" in answer.text) == (400, True), (declared.path, kind)


SCRIPT = '<script>alert("x")</script>'
MARKUP = [SCRIPT, '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{7*7}}", "</title><svg onload=alert(1)>"]


@pytest.mark.parametrize("text", MARKUP)
def test_what_clients_named_is_text_on_every_page(desk: Desk, workspace: Workspace, text: str) -> None:
    tags = [{"key": key, "value": text} for key in ("mlflow.note.content", "mlflow.user", "mlflow.source.name", "t")]
    experiment = desk.good("POST", "/experiments/create", {"name": text, "tags": tags})["experiment_id"]
    run = desk.run(experiment, run_name=text, tags=tags, user_id=text)
    desk.good("POST", "/runs/log-batch", {"run_id": run, "params": [{"key": "p", "value": text}], "tags": tags})
    dataset = {"name": text, "digest": text, "source": text, "source_type": text, "schema": text, "profile": text}
    desk.good("POST", "/runs/log-inputs", {"run_id": run, "datasets": [{"dataset": dataset}]})
    name = re.sub(r"[/:.%\"']", "", text)
    assert put(desk, f"{experiment}/{run}/artifacts/{percent(text.replace('/', '_'))}.html", text.encode()) == 200
    model = desk.good("POST", "/logged-models", {"experiment_id": experiment, "name": name, "model_type": text})
    desk.good("POST", "/registered-models/create", {"name": name, "description": text, "tags": tags})
    version = {"name": name, "source": f"models:/{model['model']['info']['model_id']}", "description": text}
    desk.good("POST", "/model-versions/create", version | {"run_link": text, "run_id": run, "tags": tags})
    seen, waiting = set(), ["/", "/projects/flights/audit", f"/projects/flights/runs/{run}"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.startswith("/"):
            continue
        seen.add(path)
        answer = desk.ask("GET", path)
        assert answer.status_code == 200, path
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        found = answer.text
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert SCRIPT not in found
        assert not re.search(r"<img|<svg[^>]*onload|href=\"\s*javascript:|src=\"\s*javascript:", found), path
        assert "49" not in found or text != "{{7*7}}" or "{{7*7}}" in found
        waiting += [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*)"', found)]
    assert len(seen) > 10
    assert any(percent(name) in path for path in seen)


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.js", "x.xml", "x.pdf", "x", "x.json", "x.png"])
def test_what_clients_stored_is_never_shown_by_a_browser(desk: Desk, name: str) -> None:
    ids = mlflow_filled.fill(desk)
    content = b"<html><script>alert(1)</script>"
    assert put(desk, f"{ids['place']}/{name}", content) == 200
    assert put(desk, f"{ids['experiment']}/models/{ids['model']}/artifacts/{name}", content) == 200
    for path, query in (
        (f"{ALL}/{ids['place']}/{name}", {}),
        ("/get-artifact", {"run_id": ids["run"], "path": name}),
        ("/api/2.0/mlflow/get-artifact", {"run_uuid": ids["run"], "path": name}),
        (f"/ajax-api/2.0/mlflow/logged-models/{ids['model']}/artifacts/files", {"artifact_file_path": name}),
        ("/model-versions/get-artifact", {"name": "late", "version": "1", "path": name}),
    ):
        answer = desk.ask("GET", path, params=query)
        assert (answer.status_code, answer.content) == (200, content), path
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "name", ['a"; filename="b.html', "a;b=c", "a'b", "ä€\U0001f600", "a%0d%0ab", "a b", "\u202egnp"]
)
def test_no_name_becomes_a_header(desk: Desk, name: str) -> None:
    ids = mlflow_filled.fill(desk)
    assert put(desk, f"{ids['place']}/{percent(name)}", b"x") == 200
    answer = desk.ask("GET", f"{ALL}/{ids['place']}/{percent(name)}")
    kind, plain, exact = answer.headers["content-disposition"].rsplit("; ", 2)
    assert (kind, exact) == ("attachment", f"filename*=UTF-8''{percent(name.replace(chr(0x202E), chr(0xFFFD)))}")
    assert re.fullmatch(r'filename="[\w. -]*"', plain, re.ASCII), plain
    assert put(desk, f"{ids['place']}/a%0d%0aset-cookie:%20a=b", b"x") == 400
    for path in ("/projects/x%0d%0aset-cookie:%20a=b/", "//evil.example/projects/", "/%0d%0aset-cookie:%20a=b/"):
        answer = desk.ask("GET", path)
        assert "set-cookie" not in answer.headers
        assert not answer.headers.get("location", "http://127.0.0.1:8300/").startswith(("//", "http://evil", "/\\"))


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self._path),)


def test_no_pickle_of_a_client_is_loaded(desk: Desk, workspace: Workspace) -> None:
    ids = mlflow_filled.fill(desk)
    mark = workspace.root.parent / "loaded"
    bomb = pickle.dumps(Bomb(str(mark)))
    described = b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"
    for root in (ids["place"], f"{ids['experiment']}/models/{ids['model']}/artifacts"):
        for name, data in (("MLmodel", described), ("model.pkl", bomb), ("python_model.pkl", bomb), ("params", bomb)):
            assert put(desk, f"{root}/{name}", data) == 200
    with heard() as told:
        for request in good_requests(ids):
            send(desk, request)
        for name in ("late", ids["model"], f"late:1 {ids['run']}"):
            for path, body in (
                ("endpoints/deploy", {"model": name}),
                ("approvals/grant", {"model": name}),
                ("features/certify", {"model": name}),
                ("runs/reproduce", {"target": ids["run"]}),
                ("runs/reproduce", {"target": "late"}),
            ):
                answer = desk.ask("POST", f"/api/v1/projects/flights/{path}", json=body)
                assert 400 <= answer.status_code < 500, (path, body, answer.text)
        for path in (f"runs/{ids['run']}", "models/late/1", "models", "runs"):
            desk.ask("GET", f"/projects/flights/{path}")
    assert [one for one in told if one[0] == "pickle.find_class"] == []
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists()  # it would have gone off


def test_what_a_pipeline_made_is_not_changed_by_a_client(workspace: Workspace) -> None:
    """It is loaded again when it is reproduced, by formats that may run code."""
    fill(workspace)
    desk = Desk(workspace)
    before = desk.get(GOOD_RUN)
    place = f"{before['info']['artifact_uri'].removeprefix('mlflow-artifacts:/')}"
    for name in ("params", "steps/train"):
        assert put(desk, f"{place}/{name}", b"x") == 400
        assert desk.ask("DELETE", f"{ALL}/{place}/{name}").status_code == 400
    run = {"run_id": GOOD_RUN}
    for path, body in (
        ("/runs/log-metric", {"key": "auc", "value": 1, "timestamp": 1}),
        ("/runs/log-parameter", {"key": "new", "value": "1"}),
        ("/runs/log-batch", {"metrics": [{"key": "auc", "value": 1, "timestamp": 1}]}),
        ("/runs/update", {"status": "FAILED"}),
        ("/runs/log-inputs", {"datasets": [{"dataset": {"name": "d", "digest": "1"}}]}),
        ("/runs/outputs", {"models": []}),
        ("/runs/log-model", {"model_json": "{}"}),
    ):
        assert "of the pipeline 'release'" in desk.bad(400, "INVALID_PARAMETER_VALUE", "POST", path, run | body)
    assert desk.get(GOOD_RUN) == before
    desk.good("POST", "/runs/set-tag", run | {"key": "seen", "value": "yes"})


def test_what_unfolds_is_refused_or_kept_folded(desk: Desk) -> None:
    ids = mlflow_filled.fill(desk)
    json = {"content-type": "application/json"}
    deep = b'{"run_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    wide = b'{"run_id":"x","value":' + b"9" * 1_000_000 + b"}"
    folded = gzip.compress(b'{"run_id":"' + b"x" * (200 << 20) + b'"}', 1)
    for request in good_requests(ids):
        if request[0] in ("POST", "PATCH", "DELETE") and isinstance(request[2], dict | None):
            for body in (deep, wide, folded):
                answer = desk.ask(request[0], request[1], content=body, headers=json | {"content-encoding": "gzip"})
                assert answer.status_code < 500, (request, body[:30])
    for name, one in OPERATIONS.items():
        if one.changes:
            path = one.path.replace("{project}", "flights")
            for body in (deep, wide, folded):
                answer = desk.ask("POST", path, content=body, headers=json | {"content-encoding": "gzip"})
                assert 400 <= answer.status_code < 500, (name, body[:30])
    nested = {"run_id": ids["run"], "model_json": "{" + '"a":{' * 20_000 + "}" * 20_001}
    desk.bad(400, "INVALID_PARAMETER_VALUE", "POST", "/runs/log-model", nested)
    history = {"run_id": ids["run"], "key": "mlflow.log-model.history", "value": "[" * 8000}
    desk.good("POST", "/runs/set-tag", history)
    desk.bad(400, "INVALID_PARAMETER_VALUE", "POST", "/runs/log-model", {"run_id": ids["run"], "model_json": "{}"})
    assert put(desk, f"{ids['place']}/bomb.zip", folded) == 200
    assert desk.ask("GET", f"{ALL}/{ids['place']}/bomb.zip").content == folded


SLOW = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from mlflow_desk import Desk
from slipway.hosts.project import open_workspace
desk = Desk(open_workspace(Path(sys.argv[1]), project="flights", environment="dev", say=print))
for sign in ("MATCHES '(a+)+b'", "MATCHES '((a|aa)+)+$b'", "matches '(.*a){20}b'", "LIKE '" + "%a" * 400 + "b'"):
    for path, field, body in (
        ("/runs/search", "tags.long", {"experiment_ids": ["0"]}),
        ("/experiments/search", "tags.long", {}),
        ("/logged-models/search", "tags.long", {"experiment_ids": ["0"]}),
    ):
        print(desk.send("POST", path, {**body, "filter": f"{field} {sign}"}).status_code)
    for path in ("/registered-models/search", "/model-versions/search"):
        print(desk.send("GET", path, {"filter": f"tags.long {sign}"}).status_code)
    for noun in ("runs", "models", "tables"):
        print(desk.ask("GET", f"/api/v1/projects/flights/{noun}/search", params={"where": f"tags.long {sign}"}).status_code)
"""


def test_no_filter_takes_forever(tmp_path: Path) -> None:
    """In a process of its own: what backtracks holds the interpreter, so that nothing beside it could stop it."""
    root = tmp_path / "other"
    workspace = open_workspace(root, project="flights", environment="dev", say=print)
    projects.register(workspace)
    desk = Desk(workspace)
    long = [{"key": "long", "value": "a" * 5000}]
    desk.good("POST", "/experiments/create", {"name": "long", "tags": long})
    desk.run(tags=long)
    model = desk.good("POST", "/logged-models", {"experiment_id": "0", "name": "m", "tags": long})
    desk.good("POST", "/registered-models/create", {"name": "m", "tags": long})
    source = f"models:/{model['model']['info']['model_id']}"
    desk.good("POST", "/model-versions/create", {"name": "m", "source": source, "tags": long})
    workspace.ledger.close()
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", SLOW, str(root), str(tests), str(tests / "server")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"200", "400", "422"}
    assert done.stdout.split().count("200") >= 12


def put(desk: Desk, place: str, data: bytes) -> int:
    return desk.ask("PUT", f"{ALL}/{place}", content=data).status_code


def percent(name: str) -> str:
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "_.-~") else "".join(f"%{b:02X}" for b in c.encode()) for c in name
    )
