"""MLflow's artifact proxy: bytes in, the same bytes out, and no path that leads anywhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow_desk import Desk

from slipway.hashing import digest
from slipway.ledger import projects, uploads
from slipway.ports.workspace import Workspace

INVALID, MISSING = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"
ALL = "/api/2.0/mlflow-artifacts/artifacts"
BIG = bytes(range(256)) * (10 << 12)


@pytest.fixture
def desk(workspace: Workspace) -> Desk:
    projects.register(workspace)
    return Desk(workspace)


def put(desk: Desk, place: str, data: bytes) -> None:
    answer = desk.ask("PUT", f"{ALL}/{place}", content=data)
    assert answer.status_code == 200, answer.text


def names(desk: Desk, path: str) -> dict[str, int | None]:
    answer = desk.good("GET", ALL, {"path": path})
    return {file["path"]: file.get("file_size") for file in answer.get("files", [])}


def test_files_come_back_as_they_went_in(desk: Desk, workspace: Workspace) -> None:
    id = desk.run()
    place = f"0/{id}/artifacts"
    files = {"a.txt": b"hello", "deep/er/odd%20%C3%A4%23%3F%25.bin": b"\0\xff", "empty": b"", "deep/big": BIG}
    for name, data in files.items():
        put(desk, f"{place}/{name}", data)
    for name, data in files.items():
        answer = desk.ask("GET", f"{ALL}/{place}/{name}")
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert names(desk, place) == {"a.txt": 5, "deep": None, "empty": 0}
    assert names(desk, f"{place}/deep") == {"big": len(BIG), "er": None}
    assert names(desk, f"{place}/deep/er") == {"odd ä#?%.bin": 2}
    assert names(desk, f"{place}/a.txt") == names(desk, f"{place}/nothing") == {}
    listed = desk.good("GET", "/artifacts/list", {"run_id": id, "path": "deep"})
    assert [file["path"] for file in listed["files"]] == ["deep/big", "deep/er"]
    assert listed["root_uri"] == f"mlflow-artifacts:/{place}"
    for path in ("/get-artifact", "/ajax-api/2.0/mlflow/get-artifact"):
        assert desk.send("GET", path, {"run_id": id, "path": "a.txt"}).content == b"hello"
    assert workspace.blobs.get(digest(b"hello")) == b"hello"
    page = desk.ask("GET", f"/projects/flights/runs/{id}")
    assert "deep/big" in page.text
    assert list((workspace.root / "uploads").iterdir()) == []


def test_a_later_file_of_a_name_replaces_the_earlier_and_deleting_forgets(desk: Desk) -> None:
    id = desk.run()
    place = f"0/{id}/artifacts"
    for name in ("a", "b/c", "b/d", "bc"):
        put(desk, f"{place}/{name}", b"1")
    put(desk, f"{place}/a", b"22")
    assert desk.ask("GET", f"{ALL}/{place}/a").content == b"22"
    assert desk.ask("DELETE", f"{ALL}/{place}/b").status_code == 200
    assert names(desk, place) == {"a": 2, "bc": 1}
    assert desk.ask("DELETE", f"{ALL}/{place}/").status_code == 200
    assert names(desk, place) == {}
    assert desk.ask("GET", f"{ALL}/{place}/a").status_code == 404


def test_a_file_is_no_folder(desk: Desk) -> None:
    place = f"0/{desk.run()}/artifacts"
    put(desk, f"{place}/a/b", b"1")
    for name in ("a", "a/b/c"):
        assert desk.ask("PUT", f"{ALL}/{place}/{name}", content=b"2").status_code == 400


HOSTILE = [
    "%2e%2e/x",
    "..%2fx",
    "a/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "a//b",
    "%2fetc%2fpasswd",
    "a%5c..%5cb",
    "a%00b",
    "%2e/a",
    "a/%2e",
    "a%0ab",
    "",
    "x" * 4100,
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_no_path_leads_elsewhere(desk: Desk, workspace: Workspace, method: str, name: str) -> None:
    before = sorted(path for path in workspace.root.parent.rglob("*") if "uploads" not in path.parts)
    answer = desk.ask(method, f"{ALL}/0/{desk.run()}/artifacts/{name}", content=b"x" if method == "PUT" else None)
    assert answer.status_code in (400, 404), (answer.status_code, answer.text)
    assert answer.json()["error_code"] in (INVALID, MISSING)
    after = sorted(path for path in workspace.root.parent.rglob("*") if "uploads" not in path.parts)
    assert [path for path in after if path not in before and path.suffix not in (".db-wal", ".db-shm")] == []


def test_what_is_encoded_twice_is_only_an_odd_name(desk: Desk) -> None:
    place = f"0/{desk.run()}/artifacts"
    put(desk, f"{place}/%252e%252e%252fx", b"1")
    assert names(desk, place) == {"%2e%2e%2fx": 1}


@pytest.mark.parametrize(
    "place", ["", "0", "0/x", "../..", "etc/passwd", "0/{id}", "0/{id}/other/a", "1/{id}/artifacts/a", "0/models/m-1/artifacts/a",
              "file:/etc/passwd", "http:/127.0.0.1/x", "0/{unknown}/artifacts/a"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_records_have_artifacts(desk: Desk, method: str, place: str) -> None:
    path = place.format(id=desk.run(), unknown="f" * 32)
    answer = desk.ask(method, f"{ALL}/{path}", content=b"x" if method == "PUT" else None)
    assert answer.status_code in (400, 404, 405), (answer.status_code, answer.text)


def test_listing_takes_no_foreign_path(desk: Desk) -> None:
    id = desk.run()
    for path in ("../../etc", f"0/{id}/artifacts/../..", "/etc", f"0/{id}/artifacts/a//b", "a\\b"):
        answer = desk.send("GET", ALL, {"path": path})
        assert answer.status_code in (400, 404), path
    for path in ("..", "a/../b", "a//b", "#/../..", "?a"):
        answer = desk.send("GET", "/artifacts/list", {"run_id": id, "path": path})
        assert answer.status_code in (200, 400), path
        assert "files" not in answer.json()
    desk.bad(404, MISSING, "GET", "/artifacts/list", {"run_id": "f" * 32})
    desk.bad(400, INVALID, "GET", "/artifacts/list")


def test_a_deleted_run_takes_no_files_and_still_gives_them(desk: Desk) -> None:
    id = desk.run()
    put(desk, f"0/{id}/artifacts/a", b"1")
    desk.good("POST", "/runs/delete", {"run_id": id})
    assert desk.ask("PUT", f"{ALL}/0/{id}/artifacts/b", content=b"1").status_code == 400
    assert desk.ask("GET", f"{ALL}/0/{id}/artifacts/a").content == b"1"


def test_a_damaged_file_is_not_sent(desk: Desk, workspace: Workspace) -> None:
    id = desk.run()
    put(desk, f"0/{id}/artifacts/a", b"whole")
    stored = digest(b"whole")
    path = workspace.root / "blobs" / stored[:2] / stored[2:]
    path.chmod(0o600)
    path.write_bytes(b"other")
    answer = desk.ask("GET", f"{ALL}/0/{id}/artifacts/a")
    assert (answer.status_code, answer.json()["error_code"], b"other" in answer.content) == (500, "DATA_LOSS", False)


def begun(desk: Desk, folder: str, parts: int, path: str = "/somewhere/big.bin") -> Any:
    return desk.good("POST", f"/api/2.0/mlflow-artifacts/mpu/create/{folder}", {"path": path, "num_parts": parts})


def test_an_upload_in_parts_is_put_together(desk: Desk, workspace: Workspace) -> None:
    place = f"0/{desk.run()}/artifacts/deep"
    made = begun(desk, place, 3)
    sent = []
    for credential, data in zip(made["credentials"], (BIG, b"", b"end"), strict=True):
        path = credential["url"].removeprefix("http://127.0.0.1:8300")
        answer = desk.ask("PUT", path, content=data)
        assert answer.status_code == 200, answer.text
        sent.append({"part_number": credential["part_number"], "etag": answer.headers["etag"], "url": "ignored"})
    complete = {"path": "big.bin", "upload_id": made["upload_id"], "parts": sent[::-1]}
    other = complete | {"path": "other.bin"}
    desk.bad(400, INVALID, "POST", f"/api/2.0/mlflow-artifacts/mpu/complete/{place}", other)
    desk.good("POST", f"/api/2.0/mlflow-artifacts/mpu/complete/{place}", complete)
    assert desk.ask("GET", f"{ALL}/{place}/big.bin").content == BIG + b"end"
    assert list((workspace.root / "uploads").iterdir()) == []
    desk.bad(404, MISSING, "POST", f"/api/2.0/mlflow-artifacts/mpu/complete/{place}", complete)


def test_an_upload_in_parts_is_given_up_or_refused(desk: Desk, workspace: Workspace) -> None:
    place = f"0/{desk.run()}/artifacts"
    create, abort = (f"/api/2.0/mlflow-artifacts/mpu/{verb}/{place}" for verb in ("create", "abort"))
    made = begun(desk, place, 2)
    end = {"path": "big.bin", "upload_id": made["upload_id"]}
    lacking = end | {"parts": [{"part_number": 1}]}
    desk.bad(400, INVALID, "POST", f"/api/2.0/mlflow-artifacts/mpu/complete/{place}", lacking)
    parts = f"/api/2.0/mlflow-artifacts/mpu/parts/{made['upload_id']}"
    for path in (
        f"{parts}/0",
        f"{parts}/99999",
        f"{parts}/x",
        f"{parts}/1/2",
        f"{parts[:-32]}{'f' * 32}/1",
        f"{parts[:-32]}../1",
    ):
        assert desk.ask("PUT", path, content=b"x").status_code in (400, 404), path
    desk.good("POST", abort, end)
    desk.bad(404, MISSING, "POST", abort, end)
    for body in (
        {"path": "..", "num_parts": 1},
        {"path": "a", "num_parts": 0},
        {"path": "a", "num_parts": 10_001},
        {"path": ""},
    ):
        desk.bad(400, INVALID, "POST", create, body)
    desk.bad(404, MISSING, "POST", f"/api/2.0/mlflow-artifacts/mpu/create/0/{'f' * 32}/artifacts", {"path": "a"})
    assert list((workspace.root / "uploads").iterdir()) == []


def test_what_a_dead_client_left_is_swept(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads.begin(workspace, "0/x/artifacts/a")
    uploads.new_file(workspace).write_bytes(b"left")
    monkeypatch.setattr(uploads, "_LEFT_AFTER_S", -1)
    uploads.begin(workspace, "0/x/artifacts/b")
    assert len(list((workspace.root / "uploads").iterdir())) == 1


def test_an_upload_belongs_to_its_project(desk: Desk, workspace: Workspace) -> None:
    ships = replace(workspace, project="ships")
    projects.register(ships)
    made = begun(desk, f"0/{desk.run()}/artifacts", 1)
    path = Path(made["credentials"][0]["url"].removeprefix("http://127.0.0.1:8300"))
    assert desk.ask("PUT", f"/projects/ships{path}", content=b"x").status_code == 404
    assert desk.ask("PUT", str(path), content=b"x").status_code == 200
