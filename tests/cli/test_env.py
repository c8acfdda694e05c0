"""`slipway env`: words in, words out."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hosts_up import up
from slipway.cli import main
from slipway.hosts.environment_use import note_use

MODULE = """
import polars as pl
import slipway as sw

@sw.table(key="id")
def boats() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2]})

@sw.pipeline
def count(n: int = 1) -> int:
    return n
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "counted_in_environments"\n')
    (tmp_path / "counted_in_environments.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "counted_in_environments", raising=False)
    return tmp_path


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_from_making_to_destroying(folder: Path) -> None:
    answer = slipway("env", "create", "try", "--expires", "12h")
    assert answer.exit_code == 0, answer.output
    assert "It goes when nobody uses it for 12h." in answer.stdout
    assert slipway("run", "count", "--env", "try").exit_code == 0
    listed = json.loads(slipway("env", "list", "--json").stdout)["environments"]
    assert [(one["name"], one["declared_in"], one["where"]) for one in listed] == [
        ("dev", "", ".slipway"),
        ("try", "slipway.local.toml", ".slipway-try"),
    ]
    assert "if unused" in slipway("env", "list").stdout
    refused = slipway("env", "destroy", "try")
    assert (refused.exit_code, "nobody is here to ask" in refused.stderr) == (2, True)
    refused = slipway("env", "destroy", "try", "--confirm", "dev")
    assert (refused.exit_code, "nothing was destroyed" in refused.stderr) == (2, True)
    answer = slipway("env", "destroy", "try", "--confirm", "try")
    assert "is in the trash until" in answer.stdout
    assert slipway("runs", "list", "--env", "try").exit_code == 5
    assert slipway("env", "restore", "try").exit_code == 0
    assert slipway("runs", "list", "--env", "try").exit_code == 0
    assert slipway("env", "keep", "try", "--expires", "never").exit_code == 0
    assert slipway("env", "destroy", "try", "--confirm", "try", "--now").stdout == "The environment 'try' is gone.\n"
    assert slipway("env", "destroy", "try", "--confirm", "try").exit_code == 5


def test_what_differs_is_said_in_words(folder: Path) -> None:
    assert slipway("env", "create", "try").exit_code == 0
    assert slipway("run", "count").exit_code == 0
    said = slipway("env", "diff", "dev", "try").stdout.splitlines()
    assert said[0] == "settings: store is '.slipway' in dev, '.slipway-try' in try"
    assert said[1].startswith("table: boats: version 1 (")
    assert said[1].endswith(") in dev, not in try")
    assert said[2] == "library: no run finished in try, so Python and libraries cannot be compared"
    assert slipway("run", "count", "--env", "try").exit_code == 0
    found = json.loads(slipway("env", "diff", "try", "dev", "--json").stdout)["differences"]
    assert [one["about"] for one in found] == ["settings"]
    assert slipway("env", "diff", "dev", "dev").stdout == "Nothing differs between dev and dev.\n"
    refused = slipway("env", "diff", "dev", "tri")
    assert (refused.exit_code, "'try'" in refused.stderr) == (5, True)


def test_looking_at_an_environment_makes_nothing(folder: Path) -> None:
    assert slipway("env", "diff", "dev", "dev").exit_code == 0
    assert slipway("env", "list").exit_code == 0
    assert "is not made yet" in slipway("doctor").stdout
    assert sorted(path.name for path in folder.iterdir()) == ["counted_in_environments.py", "slipway.toml"]


def test_a_lock_file_has_a_name_under_which_it_is_found(folder: Path) -> None:
    refused = slipway("env", "lock", "--output", "my.lock")
    assert (refused.exit_code, "would not be found" in refused.stderr) == (2, True)
    (folder / "pylock.toml").write_text('lock-version = "1.0"\n')
    refused = slipway("env", "lock")
    assert (refused.exit_code, "counts before requirements.lock" in refused.stderr) == (2, True)


def test_doctor_says_what_an_isolated_run_needs(folder: Path) -> None:
    assert "there is no lock file" in slipway("doctor").stdout
    (folder / "requirements.txt").write_text("click==8.2.0\n")
    assert "they install requirements.txt, 1 packages" in slipway("doctor").stdout
    (folder / "pylock.toml").write_text("[")
    answer = slipway("doctor")
    assert "pylock.toml cannot be read" in answer.stdout
    assert answer.exit_code == 1


@pytest.mark.full
def test_one_here_is_compared_with_one_at_a_server_and_bad_addresses_are_sentences(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert slipway("env", "create", "try").exit_code == 0
    assert slipway("run", "count", "--env", "try").exit_code == 0
    assert slipway("people", "add", "ada", "--role", "admin", "--env", "try").exit_code == 0
    token = json.loads(slipway("tokens", "add", "--env", "try", "--json").stdout)["text"]
    with up(folder / ".slipway-try") as (url, process), guarded() as guard:
        toml = (folder / "slipway.toml").read_text()
        for name, address in (("there", url), ("guarded", guard)):
            toml += f'\n[environments.{name}]\nserver = "{address}"\n'
        (folder / "slipway.toml").write_text(toml)
        monkeypatch.setenv("SLIPWAY_TOKEN", "wrong")
        refused = slipway("env", "diff", "dev", "there")
        assert (refused.exit_code, "Nobody is known by this token" in refused.stderr) == (7, True)
        monkeypatch.setenv("SLIPWAY_TOKEN", token)
        said = slipway("env", "diff", "try", "there").stdout.splitlines()
        assert said == [
            f"settings: server is not set in try, '{url}' in there",
            "settings: store is '.slipway-try' in try, not set in there",
        ]
        said = slipway("env", "diff", "there", "dev").stdout.splitlines()
        assert said[2].startswith("table: boats: version 1 (")
        assert said[2].endswith(") in there, not in dev")
        refused = slipway("env", "diff", "dev", "guarded")
        assert (refused.exit_code, f"{guard} answered 401: it wants to know who asks" in refused.stderr) == (7, True)
        refused = slipway("env", "destroy", "try", "--confirm", "try")
        assert (refused.exit_code, "A process works in the environment 'try'" in refused.stderr) == (6, True)
        process.kill()
        process.wait()
        refused = slipway("env", "diff", "try", "there")
        assert (refused.exit_code, f"Nobody answers at {url}" in refused.stderr) == (75, True)
    assert slipway("env", "destroy", "try", "--confirm", "try").exit_code == 0, "a killed server uses nothing"


@contextmanager
def guarded() -> Iterator[str]:
    """The address of something that stands before a server and wants a token."""

    class Guard(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Guard) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.full
def test_the_projects_server_says_and_does_what_is_due(folder: Path) -> None:
    assert slipway("env", "create", "try").exit_code == 0
    assert slipway("run", "count", "--env", "try").exit_code == 0
    month = datetime.now(UTC) - timedelta(days=30)
    note_use(folder / ".slipway-try", month)
    command = [sys.executable, "-c", "from slipway.cli import main; main()", "up", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            assert "Slipway serves" in server.stdout.readline()
            warning = server.stdout.readline()
            assert f"The environment 'try' was last used on {month:%Y-%m-%d}. It goes into the trash after" in warning
            assert "unused: into the trash after" in slipway("env", "list").stdout
            text = (folder / "slipway.local.toml").read_text()
            (folder / "slipway.local.toml").write_text(
                re.sub('warned_at = "[^"]*"', f'warned_at = "{month + timedelta(days=8):%Y-%m-%dT%H:%M:%SZ}"', text)
            )
            assert "The environment 'try' was not used and is in the trash until" in server.stdout.readline()
        finally:
            server.terminate()
    assert slipway("env", "restore", "try").exit_code == 0
    assert slipway("runs", "list", "--env", "try").exit_code == 0


def test_a_store_is_copied_by_a_command_that_says_what_to_change(folder: Path) -> None:
    assert slipway("run", "count").exit_code == 0
    text = '\n[environments.dev]\nworkers = 2\n\n[environments.disk]\nstore = "disk"\n'
    (folder / "slipway.toml").write_text((folder / "slipway.toml").read_text() + text)
    told = slipway("env", "copy", "dev", "disk", "--dry-run")
    assert (told.exit_code, "Nothing was copied" in told.stdout) == (0, True)
    assert re.search(r"rows of the ledger +\d+", told.stdout)
    assert not (folder / "disk").exists()
    answer = slipway("env", "copy", "dev", "disk")
    assert answer.exit_code == 0, answer.output
    assert re.search(r"Compared: \d+ rows of the ledger, \d+ blobs \(", answer.stdout)
    assert "All are equal in dev and disk. What is written to dev after" in answer.stdout
    assert answer.stdout.endswith('\n\n[environments.dev]\nstore = "disk"\nworkers = 2\n')
    said = answer.stderr.splitlines()
    assert [said[0], said[-1]] == ["the copy is marked", "the verdict is kept"]
    listed = [json.loads(slipway("runs", "list", "--json", "--env", name).stdout)["runs"] for name in ("dev", "disk")]
    assert listed[0] == listed[1] != []
    assert slipway("audit", "verify", "--env", "disk").exit_code == 0


def test_a_copy_that_differs_ends_with_an_error_and_says_so_in_json_too(folder: Path) -> None:
    assert slipway("run", "count").exit_code == 0
    (folder / "slipway.toml").write_text(
        (folder / "slipway.toml").read_text() + '\n[environments.disk]\nstore = "disk"\n'
    )
    blob = next((folder / ".slipway" / "blobs").glob("*/*"))
    whole = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(b"?" + whole[1:])
    answer = slipway("env", "copy", "dev", "disk", "--json")
    assert answer.exit_code == 1
    assert "1 difference" in answer.stderr
    found = json.loads(answer.stdout)
    assert found["section"] == '[environments.dev]\nstore = "disk"'
    assert [line.partition(":")[0] for line in found["copy"]["differences"]] == ["blobs"]
    refused = slipway("runs", "list", "--env", "disk")
    assert (refused.exit_code, "is a copy that is not whole" in refused.stderr) == (6, True)
    blob.write_bytes(whole)
    assert slipway("env", "copy", "dev", "disk").exit_code == 0
    assert slipway("runs", "list", "--env", "disk").exit_code == 0
