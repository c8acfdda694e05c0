"""A store whose blobs and parts are in an object store: by slipway.toml alone, in every process, on every machine."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
from click.testing import CliRunner

import objects_here
from hosts_up import up
from slipway.backends.object_blobs import ObjectBlobs
from slipway.cli import main
from slipway.errors import Conflict, InvalidSetting
from slipway.hosts.blob_places import check_place, prove_blobs
from slipway.hosts.project import open_project, open_workspace
from slipway.hosts.settings import read_settings
from slipway.pipelines import staging
from slipway.ports.runner import RESULT_FILE
from slipway.ports.workspace import Workspace
from slipway.tables import versions
from slipway.tables.part_folders import table_folder

PROJECT = """
import slipway as sw
from slipway.ports.workspace import workspace
from slipway.tables import versions

@sw.step
def total() -> int:
    return int(versions.read(workspace(), "numbers").collect()["n"].sum())

@sw.pipeline
def add():
    return total()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with objects_here.s3() as environment:
        yield environment


@pytest.fixture
def place(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty place in a bucket."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return f"s3://store/{objects_here.named_bucket(tmp_path)}"


@pytest.fixture
def door(place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[objects_here.Door]:
    """A proxy before the server."""
    made = objects_here.Door(os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    yield made
    made.close()


def project(folder: Path, place: str) -> Path:
    folder.mkdir()
    (folder / "slipway.toml").write_text(
        f'[project]\nname = "sums"\nmodule = "project"\n[environments.dev]\nblobs = "{place}"\n'
    )
    (folder / "project.py").write_text(PROJECT)
    return folder


def joined(first: Path, second: Path) -> Path:
    """Let a second folder share the first one's ledger and keys, as a machine that shares a database does."""
    second.mkdir(parents=True)
    (second / "ledger.db").symlink_to(first.resolve() / "ledger.db")
    shutil.copytree(first / "keys", second / "keys")
    return second


def numbers(start: int, stop: int) -> pl.DataFrame:
    return pl.DataFrame({"n": list(range(start, stop))})


@pytest.mark.parametrize("url", ["s3://store", "s3://store/a/b.c", "gs://my_store/x=1/", "az://container/prod", ""])
def test_places_that_fit(url: str) -> None:
    check_place(url, "The setting blobs")


@pytest.mark.parametrize(
    "url", ["store", "/data", "s3:/store", "s3://", "http://store/a", "s3://store//a", "s3://store/../a", "s3://sto re/a"]
)  # fmt: skip
def test_places_that_do_not(url: str) -> None:
    with pytest.raises(InvalidSetting, match=re.escape(repr(url))):
        check_place(url, "The setting blobs")


@pytest.mark.parametrize("url", ["s3://key:hidden@store/a", "s3://store/a?secret=hidden", "az://store/a#hidden"])
def test_a_secret_in_the_settings_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text(f'[project]\nname = "p"\n[environments.prod]\nblobs = "{url}"\n')
    with pytest.raises(InvalidSetting, match="from the environment") as told:
        read_settings(tmp_path)
    assert "hidden" not in str(told.value)


def test_the_environment_may_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\n')
    monkeypatch.setenv("SLIPWAY_BLOBS", "s3://store/a")
    assert read_settings(tmp_path).environment("dev").blobs == "s3://store/a"


def test_a_store_that_has_its_blobs_in_its_folder_does_not_lose_them(tmp_path: Path) -> None:
    opened = open_workspace(tmp_path, project="p")
    opened.blobs.put(b"abc")
    opened.ledger.close()
    with pytest.raises(InvalidSetting, match=r"keeps its blobs in .*blobs, and .* names s3://store/a.*copy"):
        open_workspace(tmp_path, project="p", blobs="s3://store/a")


def test_a_folder_without_an_object_store_needs_no_proof(tmp_path: Path) -> None:
    prove_blobs(tmp_path)


@pytest.mark.full
def test_the_settings_alone_choose_it_and_the_folder_remembers(place: str, tmp_path: Path) -> None:
    home = project(tmp_path / "home", place)
    with open_project(home) as opened:
        one = opened.workspace.blobs.put(b"abc")
    assert ObjectBlobs(place).get(one) == b"abc"
    root = home / ".slipway"
    assert not (root / "blobs").exists()
    again = open_workspace(root, project="sums")
    assert again.blobs.get(one) == b"abc"
    again.ledger.close()
    with pytest.raises(InvalidSetting, match="would not be found"):
        open_workspace(root, project="sums", blobs=f"{place}-other")


@pytest.mark.full
def test_a_place_belongs_to_one_ledger(place: str, tmp_path: Path) -> None:
    open_workspace(tmp_path / "a", project="p", blobs=place).ledger.close()
    with pytest.raises(Conflict, match="blobs of another ledger"):
        open_workspace(tmp_path / "b", project="p", blobs=place)
    open_workspace(joined(tmp_path / "a", tmp_path / "c"), project="p", blobs=place).ledger.close()


@pytest.mark.full
def test_a_store_moves_into_a_bucket_by_copying_its_files(place: str, tmp_path: Path) -> None:
    """As docs/production.md says."""
    root = tmp_path / "store"
    opened = open_workspace(root, project="sums")
    versions.overwrite(opened, "numbers", numbers(0, 10))
    one = opened.blobs.put(b"abc")
    opened.ledger.close()
    with pytest.raises(InvalidSetting, match="copy"):
        open_workspace(root, project="sums", blobs=place)
    endpoint, bucket = os.environ["AWS_ENDPOINT_URL"], place.removeprefix("s3://")
    for path in [path for name in ("blobs", "tables") for path in (root / name).rglob("*") if path.is_file()]:
        name = path.relative_to(root).as_posix()
        assert httpx.put(f"{endpoint}/{bucket}/{name}", content=path.read_bytes()).is_success
    shutil.rmtree(root / "blobs")
    shutil.rmtree(root / "tables")
    moved = open_workspace(root, project="sums", blobs=place)
    assert moved.blobs.get(one) == b"abc"
    assert versions.read(moved, "numbers").collect().equals(numbers(0, 10))
    assert versions.verify(moved, "numbers").rows == 10
    moved.ledger.close()


@pytest.mark.full
def test_a_second_machine_reads_trains_and_continues(place: str, tmp_path: Path) -> None:
    home = project(tmp_path / "home", place)
    other = project(tmp_path / "other", place)
    with open_project(home) as here:
        versions.overwrite(here.workspace, "numbers", numbers(0, 1000))
    joined(home / ".slipway", other / ".slipway")
    with open_project(other) as there:
        assert versions.read(there.workspace, "numbers").collect().equals(numbers(0, 1000))
        versions.append(there.workspace, "numbers", numbers(1000, 1001))
        folder = answered(there.workspace, there.snapshot(), tmp_path)
        shutil.rmtree(table_folder(there.workspace, "numbers"))
    result = subprocess.run(
        [sys.executable, "-m", "slipway.hosts.pipeline_run", str(folder)], capture_output=True, text=True
    )
    assert '"finished"' in (folder / RESULT_FILE).read_text(), result.stderr
    with open_project(home) as here:
        assert versions.read(here.workspace, "numbers").collect().height == 1001
        assert not (home / ".slipway" / "blobs").exists()
        assert not (other / ".slipway" / "blobs").exists()


def answered(workspace: Workspace, snapshot: str, folder: Path) -> Path:
    task = staging.task(workspace, snapshot=snapshot, pipeline="add", folder=str(folder))
    return staging.stage(workspace, "one", task)


@pytest.mark.full
def test_a_server_starts_on_a_store_that_keeps_conditions_and_remembers_the_proof(
    door: objects_here.Door, place: str, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    open_workspace(root, project="p", blobs=place).ledger.close()
    with up(root) as (url, _):
        assert url
    door.asked.clear()
    prove_blobs(root)
    assert door.asked == []
    assert not list(ObjectBlobs(place).bucket.under("probes"))


@pytest.mark.full
def test_a_server_does_not_start_on_a_store_that_overwrites(
    door: objects_here.Door, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that loses the header is such a store."""
    home = project(tmp_path / "home", place)
    door.drops = {"if-none-match"}
    monkeypatch.chdir(home)
    ended = CliRunner().invoke(main, ["up", "--port", "0"])
    told = str(ended.exception) + ended.output
    assert ended.exit_code
    assert "overwrites an object that is there" in told
    assert "Amazon S3, Google Cloud Storage" in told
    door.drops = set()
    prove_blobs(home / ".slipway")


@pytest.mark.full
def test_the_doctor_looks_at_it(
    door: objects_here.Door, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = project(tmp_path / "home", place)
    with open_project(home):
        pass
    monkeypatch.chdir(home)
    door.status = 403
    told = CliRunner().invoke(main, ["doctor"])
    assert told.exit_code
    assert f"The object store {place} refuses" in told.output
    door.status = 0
    assert f"{place} answers" in CliRunner().invoke(main, ["doctor"]).output
    monkeypatch.chdir(project(tmp_path / "new", place))
    assert f"{place} answers" in CliRunner().invoke(main, ["doctor"]).output, "also before anything is stored"


@pytest.mark.full
def test_the_pages_say_that_the_object_store_is_away(door: objects_here.Door, place: str, tmp_path: Path) -> None:
    home = project(tmp_path / "home", place)
    with open_project(home) as opened:
        versions.overwrite(opened.workspace, "numbers", numbers(0, 10))
        versions.append(opened.workspace, "numbers", numbers(10, 12))
    asked = "api/v1/projects/sums/tables/diff?name=numbers&before=1&after=2"
    with up(home / ".slipway") as (url, _):
        assert httpx.get(f"{url}/{asked}", trust_env=False, timeout=120).status_code == 200
        door.status = 503
        answer = httpx.get(f"{url}/{asked}", trust_env=False, timeout=120)
        assert (answer.status_code, f"object store {place}" in answer.text) == (503, True)
