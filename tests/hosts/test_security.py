"""`slipway doctor --security`: each point is good, and is to be mended when what it looks at goes wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import endpoint_folder as ef
import msgspec
import polars as pl
import pytest
from click.testing import CliRunner

from authority import Authority
from slipway.backends.clocks import SystemClock
from slipway.cli import main
from slipway.data.declare import table
from slipway.data.write import write
from slipway.errors import Denied
from slipway.governance.callers import tell_endpoint
from slipway.governance.tokens import identified
from slipway.hosts.endpoint_reach import let_endpoints_answer
from slipway.hosts.security import look_at_security
from slipway.hosts.settings_secrets import plain_secrets
from slipway.ledger import entries
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, in_project
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.people import Token
from slipway.records.reach import Reach
from slipway.records.security import Point
from slipway.serving.reach import SERVER_REACH_FILE, encoded

Do = Callable[..., Any]
NO_FIX = ("personal columns", "secrets in settings", "reach of the server", "way to the database")


@pytest.fixture
def store(workspace: Workspace) -> Workspace:
    return replace(workspace, clock=SystemClock())


@pytest.fixture
def do(store: Workspace) -> Do:
    def do(name: str, /, **fields: Any) -> Any:
        wanted = operation(name)
        return call(store, wanted, convert(wanted, fields))

    do("projects.add", name=store.project)
    return do


def point(workspace: Workspace, about: str, *arguments: Any, **more: Any) -> Point:
    found = [one for one in look_at_security(workspace, *arguments, **more) if one.about == about]
    assert len(found) == 1, about
    assert found[0].state == "good" or found[0].fix or about in NO_FIX
    return found[0]


def two_admins(do: Do) -> None:
    for name in ("ada", "bob"):
        do("people.add", name=name, roles=["admin"])


def test_people_and_admins(store: Workspace, do: Do) -> None:
    assert point(store, "people").state == "to mend"
    do("people.add", name="ada", roles=["admin"])
    assert point(store, "people").state == "good"
    assert "ada is the only admin" in point(store, "admins").found
    do("people.add", name="bob", roles=["admin"])
    do("people.add", name="dee", roles=["data engineer"], project=store.project)
    assert point(store, "admins").state == "good"
    assert "ada, bob, dee" in point(store, "right tables.personal").found
    assert point(store, "right floors.write").state == "to mend", "nobody may"
    do("people.add", name="gov", roles=["governance"])
    assert point(store, "right floors.write").state == "good"
    for name in ("eve", "fay", "gus", "hal"):
        do("people.add", name=name, roles=["admin"])
    assert point(store, "admins").state == "to mend"


def test_who_may_not_look_is_told_nothing(store: Workspace, do: Do) -> None:
    two_admins(do)
    for role, may in (("data scientist", False), ("software engineer", False), ("governance", True)):
        do("people.add", name=role.replace(" ", "-"), roles=[role])
        text = do("tokens.add", name=role.replace(" ", "-")).text
        seen = in_project(replace(store, identity=identified(store.ledger, text, store.clock.now())), store.project)
        if may:
            assert list(look_at_security(seen))
        else:
            with pytest.raises(Denied, match=r"doctor\.security"):
                list(look_at_security(seen))


def test_tokens(store: Workspace, do: Do) -> None:
    two_admins(do)
    do("people.add", name="ci", is_service=True, roles=["ml engineer"])
    made = do("tokens.add", name="ada", days=366, label="laptop").token
    assert point(store, "tokens that nobody uses").state == "good"
    with store.ledger.write() as tx:
        kept = entries.get(tx, Token, made.id)
        entries.put(tx, msgspec.structs.replace(kept, used_at=store.clock.now() - timedelta(days=91)))
    found = point(store, "tokens that nobody uses")
    assert (found.state, found.fix) == ("to mend", f"slipway tokens revoke {made.id}")
    do("tokens.revoke", id=made.id)
    assert point(store, "tokens that nobody uses").state == "good"
    do("tokens.add", name="ci", scopes=["runs.write"])
    assert point(store, "tokens of services").state == "good"
    do("tokens.add", name="ci")
    assert "ci's" in point(store, "tokens of services").found


def test_reach(store: Workspace, do: Do, tmp_path: Path) -> None:
    assert point(store, "reach of the server").state == "cannot tell"
    certificate, key = Authority(tmp_path).sign("localhost", days=60)
    reach = Reach(host="0.0.0.0", certificate=str(certificate), key=str(key), names=("localhost",))
    (store.root / SERVER_REACH_FILE).write_bytes(encoded(reach))
    assert "the store knows nobody" in point(store, "reach of the server").found
    two_admins(do)
    assert point(store, "reach of the server").state == "good"
    let_endpoints_answer(store, reach)
    assert point(store, "reach of the endpoints").state == "good"
    key.chmod(0o644)
    assert "may read the key" in point(store, "reach of the endpoints").found
    Authority(tmp_path).sign("localhost", days=1)
    assert "ends on" in point(store, "reach of the endpoints").found
    certificate.unlink()
    assert point(store, "reach of the endpoints").state == "to mend"
    (store.root / SERVER_REACH_FILE).write_bytes(b"{")
    assert "cannot be read" in point(store, "reach of the server").found


def test_endpoints(store: Workspace, do: Do) -> None:
    about = ("callers of endpoints", "gates of endpoints", "bundles of endpoints", "pickles")
    assert point(store, "endpoints").found == "Nothing is deployed."
    revision = ef.deploy_plain(store)
    with store.ledger.write() as tx:
        entries.put(tx, revision, expect=0)
        tx.set_ref(store.project, "endpoint", ef.NAME, revision.id, expect=None)
    assert [point(store, one).state for one in about] == ["to mend", "to mend", "good", "good"]
    two_admins(do)
    tell_endpoint(store, ef.NAME)
    assert point(store, about[0]).state == "good"
    home = ef.folder_of(store) / "bundles" / revision.served.bundle
    (home / "signature.json").unlink()
    assert f"{store.project}/{ef.NAME}" in point(store, about[2]).found


def test_files_and_keys(store: Workspace, do: Do) -> None:
    readable, written = "who may read the ledger and the key", "who may write the store's files"
    key, ledger = store.root / "keys" / "signing.key", store.root / "ledger.db"
    store.root.chmod(0o755)
    ledger.chmod(0o600)
    assert [point(store, one).state for one in (readable, written, "signing keys")] == ["good"] * 3
    for path, mode in ((ledger, 0o604), (key, 0o640)):
        path.chmod(mode)
        assert str(path) in point(store, readable).found
        store.root.chmod(0o700)
        assert point(store, readable).state == "good", "nobody else enters the folder"
        store.root.chmod(0o755)
        path.chmod(0o600)
    (store.root / "keys").chmod(0o777)
    assert point(store, written).state == "to mend"
    (store.root / "keys" / "trusted" / "stranger.pub").write_bytes(b"k" * 32)
    assert "2 keys are trusted" in point(store, "signing keys").found
    key.unlink()
    assert point(store, "signing keys").state == "to mend"


def test_the_way_to_the_database(store: Workspace) -> None:
    for url, state in (
        ("postgresql://slipway@db.example.org/slipway", "to mend"),
        ("postgresql://slipway@db.example.org/slipway?sslmode=verify-full", "good"),
        ("postgresql://slipway@127.0.0.1/slipway", "good"),
        ("env:DATABASE_URL", "cannot tell"),
    ):
        assert point(store, "way to the database", ledger_url=url).state == state


def test_floors_and_audit(store: Workspace, do: Do) -> None:
    assert point(store, "floors").state == "cannot tell", "dev alone has none"
    prod = replace(store, environment="prod")
    assert "No floor is set for prod" in point(prod, "floors").found
    with store.ledger.write() as tx:
        there = declared_id(store.project, "test-eu", "flights")
        entries.put(
            tx,
            DeclaredEndpoint(id=there, project=store.project, name="flights", created_at=store.clock.now(), model="m"),
        )
    assert "No floor is set for test and prod" in point(prod, "floors").found
    assert point(store, "audit log").state == "to mend", "what happened is not sealed"
    assert point(store, "audit log elsewhere").state == "cannot tell"
    do("audit.seal")
    assert point(store, "audit log").state == "good"
    (store.root / "keys" / "audit.head").write_bytes(b"another")
    assert point(store, "audit log").state == "to mend"


def test_personal_columns(store: Workspace, do: Do) -> None:
    frame = pl.DataFrame({"id": [1], "email": ["x"], "height": [1.0]})

    def people() -> None: ...

    write(store, table(key="id")(people), frame)
    assert f"{store.project}/people.email" in point(store, "personal columns").found
    write(store, table(key="id", personal="email")(people), frame.with_columns(height=2.0))
    assert point(store, "personal columns").state == "good"


@pytest.mark.parametrize(
    ("line", "is_plain"),
    [
        ('ledger = "postgresql://a:hunter2@db/x"', True),
        ('ledger = "postgresql://a:${PGPASSWORD}@db/x"', False),
        ('online = "redis://db?password=hunter2"', True),
        ('client_secret = "hunter2"', True),
        ('client_secret = "env:SECRET"', False),
        ('client_secret = "file:/run/secrets/oidc"', False),
        ('client_secret = "command:vault read x"', False),
        ('client_secret = ""', False),
        ('note = "slw_01a218107bf077f8a7978f935ae46e5b_x"', True),
        (f'keys = ["{"AKIA" + "ABCDEFGHIJKLMNOP"}"]', True),
        ('name = "flights"', False),
    ],
)
def test_secrets_in_settings(store: Workspace, tmp_path: Path, line: str, is_plain: bool) -> None:
    file = tmp_path / "slipway.toml"
    file.write_text(f"[section]\n{line}\n")
    found = point(store, "secrets in settings", file)
    assert found.state == ("to mend" if is_plain else "good")
    assert "hunter2" not in found.found
    assert bool(plain_secrets(file)) == is_plain


def test_the_command_says_it_in_words_and_json_and_by_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "flights"\n')
    (tmp_path / "project.py").write_text("")
    told = CliRunner().invoke(main, ["doctor", "--security", "-C", str(tmp_path)])
    assert told.exit_code == 1
    assert "TO MEND      people: The store knows nobody" in told.output
    points = json.loads(CliRunner().invoke(main, ["doctor", "--security", "--json", "-C", str(tmp_path)]).stdout)
    assert {one["state"] for one in points} == {"good", "to mend", "cannot tell"}
