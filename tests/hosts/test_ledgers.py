"""Where slipway.toml says that a store's ledger lies, and who follows it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import postgres_here
from hosts_up import up
from slipway.errors import InvalidSetting, Unavailable
from slipway.hosts.ledgers import is_store, open_ledger
from slipway.hosts.project import open_project
from slipway.hosts.settings import read_settings

URL = "postgresql://ada:${SLIPWAY_TEST_SECRET}@127.0.0.1:9/x"


def written(folder: Path, ledger: str, more: str = "") -> str:
    (folder / "slipway.toml").write_text(
        f'[project]\nname = "flights"\n[environments.prod]\nstore = "store"\nledger = "{ledger}"\n{more}'
    )
    return read_settings(folder).environment("prod").ledger


@pytest.mark.parametrize("url", ["", "postgresql://h/x", "postgres://u:${SECRET}@h:5432/x", "env:DATABASE_URL", URL])
def test_an_environment_names_its_ledger(tmp_path: Path, url: str) -> None:
    assert written(tmp_path, url) == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://me:hunter2@h/x", "holds a password"),
        ("postgresql://h/x?password=hunter2", "holds a password"),
        ("redis://h", "names no PostgreSQL database"),
        ("host=h password=hunter2", "names no PostgreSQL database"),
    ],
)
def test_a_password_or_another_database_is_refused(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence) as refusal:
        written(tmp_path, url)
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(InvalidSetting, match=sentence):
        open_ledger(tmp_path / "store", url)
    assert not is_store(tmp_path / "store")


def test_a_variable_that_is_not_set_or_names_another_database_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLIPWAY_TEST_SECRET", raising=False)
    with pytest.raises(InvalidSetting, match="SLIPWAY_TEST_SECRET is not set"):
        open_ledger(tmp_path, URL)
    monkeypatch.setenv("SLIPWAY_TEST_SECRET", "mysql://me:hunter2@h/x")
    with pytest.raises(InvalidSetting, match="names no PostgreSQL") as refusal:
        open_ledger(tmp_path, "env:SLIPWAY_TEST_SECRET")
    assert "hunter2" not in str(refusal.value)


def test_a_store_whose_ledger_is_a_file_is_not_split(tmp_path: Path) -> None:
    written(tmp_path, "")
    with open_project(tmp_path, environment="prod"):
        pass
    written(tmp_path, "postgresql://h/x")
    with pytest.raises(InvalidSetting, match="in a file already"), open_project(tmp_path, environment="prod"):
        pass


def test_a_store_whose_ledger_is_in_a_database_is_not_split(tmp_path: Path) -> None:
    written(tmp_path, "")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "ledger.url").write_text(URL)
    with pytest.raises(InvalidSetting, match=r"slipway\.toml names none"), open_project(tmp_path, environment="prod"):
        pass


@pytest.mark.full
def test_a_database_that_does_not_answer_is_said_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg", reason="pip install 'slipway[postgres]'")
    monkeypatch.setenv("SLIPWAY_TEST_SECRET", "hun/t@er2")
    with pytest.raises(Unavailable, match=r"database x at 127\.0\.0\.1:9 cannot be reached") as refusal:
        open_ledger(tmp_path / "store", URL)
    assert "er2" not in str(refusal.value)
    assert not is_store(tmp_path / "store")


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty ledger, whose password (nobody asks for it here) stands in the environment."""
    with postgres_here.cleaned() as url:
        user = next((user for user in re.findall(r"//([^/@:]*)@", url)), os.environ.get("PGUSER", "root"))
        monkeypatch.setenv("SLIPWAY_TEST_SECRET", "hun/t@er2")
        yield re.sub(r"//([^/@]*@)?", f"//{user}:${{SLIPWAY_TEST_SECRET}}@", url, count=1)


@pytest.mark.full
def test_whatever_opens_the_store_opens_the_same_ledger_and_nothing_keeps_the_password(
    ledger: str, tmp_path: Path
) -> None:
    written(tmp_path, ledger)
    script = (
        "import slipway as sw\nwith sw.run('tried', environment='prod') as run: run.log_params({'depth': 4})\n"
        "print(run.id)"
    )
    run_id = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=900
    ).stdout.strip()
    store = tmp_path / "store"
    assert not (store / "ledger.db").exists()

    def answer(*words: str) -> str:
        command = [sys.executable, "-m", "slipway", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "er2" not in done.stdout + done.stderr
        return done.stdout

    assert run_id in answer("runs", "list", "--env", "prod", "--json")
    assert run_id in answer("runs", "list", "--root", "store", "--project", "flights", "--json")
    assert "store" in answer("doctor", "--env", "prod")
    with up(store) as (url, process):
        listed = answer("api", "runs.search", "--root", "store", "--project", "flights")
        assert run_id in listed
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"er2" not in line
        assert url
    assert "er2" not in (store / "ledger.url").read_text()
    for path in store.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not [word for word in (b"t@er2", b"t%40er2") if word in data], path
    with closing(open_ledger(store)) as opened, opened.read() as tx:
        assert tx.get("run", run_id) is not None
    with open_project(tmp_path, environment="prod", root=tmp_path / "simulation"):
        assert (tmp_path / "simulation" / "ledger.db").exists(), "another store has a ledger of its own"
