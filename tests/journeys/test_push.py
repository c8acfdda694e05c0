"""A push to a bare repository ends, by nothing but somebody's approval, with the new version serving."""

import json
from pathlib import Path

import httpx
import pytest
from command_line import answer, kill, slipway, start, stop_all, wait_for
from pushing import NAME, ROW, commit, git, make_worse, prepare, project_in

from slipway.governance import people, tokens
from slipway.hosts.identity import user
from slipway.hosts.project import open_workspace
from slipway.operations.people import AddPerson, AddToken

pytestmark = pytest.mark.full


def with_people(store: Path) -> tuple[str, str]:
    """Prod knows whoever pushes, and grace, who answers for it; gives both tokens."""
    workspace = open_workspace(store, project=NAME, environment="prod")
    people.add(workspace, AddPerson(name="keeper", roles=("admin",), account=user()))
    people.add(workspace, AddPerson(name="grace", roles=("business owner",)))
    keeper, grace = (tokens.add_token(workspace, AddToken(name=name)).text for name in ("keeper", "grace"))
    workspace.ledger.close()
    return keeper, grace


def served(store: Path, token: str) -> tuple[int, float]:
    """The version that answers, over HTTP, and its score."""
    (status,) = store.glob(f"endpoints/*/{NAME}/status.json")
    url = json.loads(status.read_text())["url"]
    shown = {"Authorization": f"Bearer {token}"}
    found = httpx.post(f"{url}/endpoints/{NAME}/predict", json={"rows": [ROW]}, headers=shown, timeout=30).json()
    return found["model"]["version"], found["predictions"][0]["score"]


def test_a_push_goes_to_production_by_nothing_but_the_approval(tmp_path: Path) -> None:
    stores, bare, clone = tmp_path / "stores", tmp_path / "parcels.git", tmp_path / "clone"
    prepare(stores)
    keeper, grace = with_people(stores / "prod")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    said = slipway("ci", "init", "--hook", cwd=bare)
    assert str(bare / "hooks" / "post-receive") in said
    git(tmp_path, "clone", "--quiet", str(bare), str(clone))
    git(clone, "checkout", "--quiet", "-B", "main")
    project_in(clone, stores)
    first = commit(clone, "The first one")

    began = git(clone, "push", "--quiet", "origin", "main")
    assert f"commit {first[:12]} (release): parcels 1: waits for grace" in began, began
    assert "remote: Next:  slipway approve parcels --version 1 --role accountable --env prod" in began
    assert "what serves goes on serving until then" in began
    work = bare / "slipway-work"
    up = start("up", "--env", "prod", "--port", "0", cwd=work)
    try:
        slipway("approve", NAME, "--version", "1", "--env", "prod", cwd=work, SLIPWAY_TOKEN=grace)
        place = f"endpoints/*/{NAME}/status.json"
        wait_for(lambda: list((stores / "prod").glob(place)), "it goes on by itself")
        wait_for(lambda: answer("ci", "status", cwd=work)[0]["state"] == "done", "it is told to be done")
        version, score = served(stores / "prod", keeper)
        assert version == 1
        assert score > 0.5

        make_worse(clone)
        second = commit(clone, "A worse one")
        said = git(clone, "push", "--quiet", "origin", "main")
        assert "1 of 14 checks failed" in said, said
        assert "model: parcels: auc at least 0.7: 0.6475" in said
        assert "what serves goes on serving" in said
        assert served(stores / "prod", keeper) == (version, score)
        states = {one["commit"]: one["state"] for one in answer("ci", "status", cwd=work)}
        assert states == {first: "done", second: "failed"}

        aside = git(clone, "push", "--quiet", "origin", "main:refs/heads/aside")
        assert "refs/heads/aside is not refs/heads/main: nothing is trained or deployed" in aside
        git(clone, "reset", "--quiet", "--hard", first)
        back = git(clone, "push", "--quiet", "--force", "origin", "main")
        assert "the history of refs/heads/main was rewritten" in back
        assert f"commit {first[:12]} (release): parcels 1: done" in back
        assert served(stores / "prod", keeper) == (version, score)
    finally:
        kill(up)
        for name in ("test", "prod"):
            stop_all(stores / name)
