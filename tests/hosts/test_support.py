"""The file for whoever helps holds what they need, and nothing of what was planted everywhere."""

import json
import re
import zipfile
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import slipway as sw
from slipway.cli import main
from slipway.hosts.project import open_workspace
from slipway.hosts.support import shown_line, shown_settings
from slipway.operations.declare import call
from slipway.operations.people import AddPerson, AddToken
from slipway.operations.table import operation
from slipway.records.people import Actor
from slipway.tables.versions import overwrite

PLANTED = "pl4nted"
SETTINGS = f"""
[project]
name = "project-{PLANTED}"
module = "{PLANTED}"

[environments.dev]
workers = 7
executor = "processes"

[environments.{PLANTED}]
ledger = "postgresql://{PLANTED}:${{PGPASSWORD}}@{PLANTED}.example.org/db?sslpassword={PLANTED}"
blobs = "s3://{PLANTED}/prefix"

[notify.channels.{PLANTED}]
kind = "mail"
host = "{PLANTED}.example.org"
password = "env:PASSWORD_{PLANTED}"
sender = "{PLANTED}@example.org"
security = "tls"
port = 587
user = "prod"

[notify.channels.chat]
kind = "slack"
url = "env:URL_{PLANTED}"
"""
LOG = f"""2026-01-01T00:00:00.123Z GET /projects/{{project}}/runs 200 12.3 ms by {PLANTED} request {PLANTED}
2026-01-01T00:00:00.123Z GET /projects/{PLANTED}?token={PLANTED} 200 12.3 ms by ada request 1
{{"at":"2026-01-01T00:00:00.123Z","level":"info","route":"/login","status":200,"actor":"{PLANTED}","message":"{PLANTED}"}}
{{"at":"{PLANTED}","level":"{PLANTED}","route":"/{PLANTED} x","status":"{PLANTED}"}}
{{"level":"planted","method":"PLANTED","route":"/{PLANTED}-api-key","status":547799,"ms":5478e40}}
2026-01-01T00:00:00.123Z GET /{PLANTED}-api-key 200 12.3 ms by ada request 1
Traceback (most recent call last):
  File "{Path(sw.__file__).parent}/server/pages.py", line 17, in page
  File "/home/{PLANTED}/lib/python3.12/site-packages/slipway/server/pages.py", line 18, in page
  File "/opt/slipway/customers/{PLANTED}/churn.py", line 19, in of_{PLANTED}
  File "/opt/slipway/server/pages.py", line 19, in of_{PLANTED}
    password = "{PLANTED}"
ValueError: {PLANTED}
{PLANTED}.MyError: {PLANTED}
Of{PLANTED}Error: {PLANTED}
slipway.errors.Of{PLANTED}
slipway.errors.Unavailable: {PLANTED}
The loop of {PLANTED} did not finish: password={PLANTED}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / f"home-{PLANTED}"
    home.mkdir()
    monkeypatch.chdir(home)
    for name in ("SLIPWAY_TOKEN_PROD", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "DATABASE_URL", f"X_{PLANTED}"):
        monkeypatch.setenv(name, f"postgresql://{PLANTED}:{PLANTED}@host/db")
    (home / "slipway.toml").write_text(SETTINGS)
    return home


def failing_run() -> None:
    with sw.run(f"run-{PLANTED}") as run:
        run.log_params({"db_password": PLANTED, "password": PLANTED, "url": f"redis://:{PLANTED}@host"})
        run.set_tags({f"tag-{PLANTED}": PLANTED})
        run.log_text(f"{PLANTED}.txt", PLANTED)
        raise ZeroDivisionError(PLANTED)


def fill(home: Path) -> str:
    """A store with secrets in parameters, tags, artifacts, rows, people, keys and logs; returns a token's text."""
    with pytest.raises(ZeroDivisionError):
        failing_run()
    root = home / ".slipway"
    admin = Actor(f"ada-{PLANTED}", roles=("admin",))
    workspace = open_workspace(root, project=f"project-{PLANTED}", actor=admin)
    overwrite(workspace, f"table-{PLANTED}", pl.DataFrame({f"name-{PLANTED}": [PLANTED]}))
    call(workspace, operation("people.add"), AddPerson(name="ada", roles=("admin",), email=f"{PLANTED}@x.org"))
    token: str = call(workspace, operation("tokens.add"), AddToken(name="ada", label=PLANTED)).text
    workspace.ledger.close()
    (root / "server.log").write_text(LOG)
    endpoint = root / "endpoints" / f"project-{PLANTED}" / f"delays-{PLANTED}"
    endpoint.mkdir(parents=True)
    (endpoint / "front.log").write_text(LOG)
    return token


def bundle(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ("support-bundle", str(home.parent / "support.zip"), *words))


def texts(home: Path) -> dict[str, str]:
    with zipfile.ZipFile(home.parent / "support.zip") as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_nothing_that_was_planted_is_in_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = fill(project)
    monkeypatch.setenv("SLIPWAY_TOKEN", token)
    done = bundle(project)
    assert done.exit_code == 0, done.output
    raw = (project.parent / "support.zip").read_bytes()
    found = texts(project)
    secret = (project / ".slipway" / "keys" / "signing.key").read_bytes()
    for planted in (PLANTED.encode(), token.encode(), secret, secret.hex().encode(), b"ada", b"example.org"):
        assert planted not in raw
        assert not [name for name, text in found.items() if planted in text.encode()]
    assert not re.search(r"[\w.]+@[\w.]+|/(home|tmp|root)/", "".join(found.values()))


def test_what_helps_is_in_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TOKEN", fill(project))
    assert bundle(project, "--json").exit_code == 0
    found = {name: json.loads(text) for name, text in texts(project).items() if name.endswith(".json")}
    assert found["versions.json"]["slipway"]
    assert found["versions.json"]["libraries"]["msgspec"]
    assert {"about": "store", "is_well": True} in found["doctor.json"]
    toml = found["settings.json"]["slipway.toml"]
    assert toml["environments"]["dev"] == {"workers": 7, "executor": "processes"}
    assert toml["environments"]["(name 2)"] == {"ledger": "postgresql:(set)", "blobs": "s3:(set)"}
    mail = toml["notify"]["channels"]["(name 1)"]
    assert {key: mail[key] for key in ("security", "port", "user")} == {"security": "tls", "port": 587, "user": "(set)"}
    assert found["settings.json"]["environment"] == {"SLIPWAY_TOKEN": "(set)"}
    assert (found["ledger.json"]["database"], found["ledger.json"]["schema"]) == ("sqlite", 2)
    assert found["ledger.json"]["records"]["run"] == "1"
    assert found["sizes.json"]["folders"]["blobs"]["files"] >= 1
    assert [one["error"] for one in found["executions.json"] if one["kind"] == "run"] == ["ZeroDivisionError"]
    assert found["logs.json"]["server"][:2] == [
        "2026-01-01T00:00:00.123Z GET /projects/{project}/runs 200 12.3 ms",
        "(a line)",
    ]
    assert found["logs.json"]["endpoint 1 front"][3:] == [
        "(a line)",
        "(a line)",
        "2026-01-01T00:00:00.123Z GET (a route) 200 12.3 ms",
        "Traceback",
        "  slipway/server/pages.py, line 17, in page",
        "  slipway/server/pages.py, line 18, in page",
        *["(a line)"] * 3,
        "ValueError",
        *["(an error)"] * 2,
        "(a line)",
        "slipway.errors.Unavailable",
        "(a line)",
    ]
    assert json.loads(found["logs.json"]["server"][2])["route"] == "/login"


def test_a_broken_store_or_settings_still_give_one(project: Path) -> None:
    fill(project)
    (project / ".slipway" / "ledger.db").write_bytes(b"no ledger any more" * 1000)
    (project / "slipway.toml").write_text(SETTINGS + f'\nunknown = "{PLANTED}"\n[{PLANTED}]\nx = "{PLANTED}"\n')
    assert bundle(project, "--root", str(project / ".slipway")).exit_code == 0
    found = texts(project)
    assert json.loads(found["ledger.json"]) == {"problem": "Corrupt"}
    assert PLANTED not in "".join(found.values())
    (project.parent / "support.zip").unlink()
    assert bundle(project).exit_code == 0
    found = texts(project)
    assert PLANTED not in "".join(found.values())
    assert json.loads(found["settings.json"])["slipway.toml"]["(name 4)"] == {"(name 1)": "(set)"}


def test_who_may_not_see_settings_gets_none_and_no_file_is_overwritten(project: Path) -> None:
    fill(project)  # the account of this process is nobody's now
    assert bundle(project).exit_code == 7
    assert not (project.parent / "support.zip").exists()
    (project.parent / "support.zip").touch()
    assert bundle(project).exit_code == 2


def test_no_store_is_made_for_it(project: Path) -> None:
    (project / ".slipway").mkdir()
    assert bundle(project).exit_code == 0
    assert list((project / ".slipway").iterdir()) == []
    assert json.loads(texts(project)["ledger.json"]) == {"problem": "NotFound"}


def test_an_odd_url_of_the_online_store_is_a_finding(project: Path) -> None:
    pytest.importorskip("redis", reason="pip install 'slipway[redis]'")
    (project / "slipway.toml").write_text(
        '[project]\nname = "p"\n[environments.dev]\nonline = "redis://127.0.0.1:6379/0?foo=1"\n'
    )
    looked = CliRunner().invoke(main, ("doctor",))
    assert isinstance(looked.exception, SystemExit)
    assert (
        "MISSING  online store: The URL of the online store, redis://127.0.0.1:6379/0, does not name" in looked.output
    )
    assert "setting `online` in slipway.toml" in looked.output
    assert bundle(project).exit_code == 0
    assert {"about": "online", "is_well": False} in json.loads(texts(project)["doctor.json"])


def test_a_fault_of_the_doctor_leaves_the_rest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(way: object) -> None:
        raise TypeError(PLANTED)

    monkeypatch.setattr("slipway.cli.doctor._store", fails)
    assert bundle(project).exit_code == 0
    found = json.loads(texts(project)["doctor.json"])
    assert found[-1] == {"about": "doctor", "is_well": False}
    assert {"about": "Python", "is_well": True} in found
    assert PLANTED not in "".join(texts(project).values())


@given(st.text())
def test_no_line_of_another_form_is_shown(text: str) -> None:
    shown = shown_line(f"secret {text}")
    assert shown == "(a line)"
    assert "secret" not in shown_line(
        f'  File "/x/secret{text.strip()}',
    )


def test_a_number_is_shown_where_slipway_knows_a_number_alone(tmp_path: Path) -> None:
    file = tmp_path / "slipway.toml"
    file.write_text("""
pin = 5470
[environments.dev]
workers = 7
ledger = 5471
password = "prod"
[server.oidc]
issuer = "https://example.org"
client_secret = 4711
[cost]
cpu_hour = 0.25
[raci.train]
informed = ["prod", 5472]
[planted]
share = 0.5474
until = 2054-07-05
is_closed = true
pins = [5475, {pin = 5476}]
""")
    assert shown_settings(file, {})["slipway.toml"] == {
        "(name 1)": "(set)",
        "environments": {"dev": {"workers": 7, "ledger": "(set)", "(name 3)": "(set)"}},
        "server": {"oidc": {"issuer": "https:(set)", "client_secret": "(set)"}},
        "cost": {"cpu_hour": 0.25},
        "raci": {"train": {"informed": ["prod", "(set)"]}},
        "(name 6)": {
            "(name 1)": "(set)",
            "(name 2)": "(set)",
            "(name 3)": "(set)",
            "(name 4)": ["(set)", {"(name 1)": "(set)"}],
        },
    }


def test_settings_that_are_no_toml_are_told_by_their_fault(tmp_path: Path) -> None:
    file = tmp_path / "slipway.toml"
    file.write_text(f"password = {PLANTED}")
    assert shown_settings(file, {})["slipway.toml"] == "cannot be read: TOMLDecodeError"
