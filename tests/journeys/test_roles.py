"""Each role's first day at a server that knows people: what they do, what they see, and the one thing refused in a sentence.

A real `slipway up` over a store with a released model; everybody comes with their own token, over HTTP, by the command line
and on the pages.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import answer, slipway, stop_all

from hosts_up import up
from slipway.hosts.project import open_workspace
from slipway.operations.declare import call, convert
from slipway.operations.table import OPERATIONS, operation

pytest.importorskip("sklearn", reason="the template's model needs scikit-learn: pip install 'slipway[sklearn]'")
pytestmark = pytest.mark.full

NAME = "my-project"
ROW = {"customer_id": "c1", "plan": "basic", "months": 3, "spent": 40.0, "calls": 4}
WHO = {
    "grace": "business owner",
    "vic": "executive viewer",
    "dan": "data scientist",
    "deb": "data engineer",
    "mel": "ml engineer",
    "sam": "software engineer",
    "pat": "platform engineer",
    "gus": "governance",
    "ada": "admin",
}
DENIED = 7
GATE = "gate=sw.Gate("


class Desk:
    """The server, and everybody's way to it.

    Args:
        url: The server's address.
        folder: A folder whose settings name the server, for the command line.
        tokens: Everybody's token by name.
    """

    def __init__(self, url: str, folder: Path, tokens: dict[str, str]) -> None:
        self.url, self.folder, self.tokens = url, folder, tokens

    def ask(self, who: str, name: str, /, **fields: Any) -> httpx.Response:
        """An operation over HTTP."""
        one = OPERATIONS[name]
        how = "json" if one.changes else "params"
        url = self.url + one.path.replace("{project}", NAME)
        headers = {"authorization": f"Bearer {self.tokens[who]}"}
        return httpx.request(one.method, url, headers=headers, timeout=120, trust_env=False, **{how: fields})

    def good(self, who: str, name: str, /, **fields: Any) -> Any:
        """Its answer."""
        found = self.ask(who, name, **fields)
        assert found.status_code == 200, found.text
        return found.json()

    def refused(self, who: str, name: str, /, **fields: Any) -> str:
        """The sentence with which it is refused."""
        found = self.ask(who, name, **fields)
        assert found.status_code == 403, found.text
        told = found.json()["error"]
        assert told["fix"], "it says what to do next"
        return f"{told['what']} {told['why']}"

    def cli(self, who: str, *arguments: str, fails: int = 0) -> str:
        """What a command prints, or its sentence where it fails."""
        return slipway(*arguments, cwd=self.folder, fails=fails, SLIPWAY_TOKEN=self.tokens[who])

    def served(self) -> Any:
        """The endpoint, which serves: Grace approved, Mel deployed."""
        self.good("grace", "approvals.grant", model=NAME, role="business owner")
        self.good("mel", "endpoints.deploy", model=NAME)
        return self.good("mel", "endpoints.get", name=NAME)

    def page(self, who: str, path: str, status: int = 200) -> str:
        """A page, seen in a browser that logged in."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60, follow_redirects=True) as browser:
            entered = browser.post("/login", data={"token": self.tokens[who]}, headers={"origin": self.url})
            assert entered.status_code == 200, entered.text
            found = browser.get(path)
        assert found.status_code == status, found.text
        return found.text


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A project that dan made and released before anybody was known to the store; its table has a personal column."""
    home = tmp_path_factory.mktemp("roles")
    answer("new", NAME, cwd=home)
    code = home / NAME / "my_project.py"
    text = code.read_text().replace('key="customer_id", checks', 'key="customer_id", personal="customer_id", checks')
    code.write_text(text.replace(GATE, f'{GATE}sw.approval("business owner"), '))
    store = home / "store"
    made = answer("run", "release", cwd=home / NAME, SLIPWAY_STORE=str(store))
    assert made["model"]["number"] == 1
    tokens = _people(store)
    server = home / "desk"
    server.mkdir()
    with up(store) as (url, _):
        (server / "slipway.toml").write_text(
            f'[project]\nname = "{NAME}"\n\n[environments.dev]\nserver = "{url.rstrip("/")}"\n'
        )
        yield Desk(url.rstrip("/"), server, tokens)
        stop_all(store)


def _people(store: Path) -> dict[str, str]:
    workspace = open_workspace(store, project=NAME, environment="dev")
    try:

        def do(name: str, /, **fields: Any) -> Any:
            wanted = operation(name)
            return call(workspace, wanted, convert(wanted, fields))

        do("people.add", name="ada", roles=["admin"])
    finally:
        workspace.ledger.close()
    workspace = open_workspace(store, project=NAME, environment="dev")  # by now as Ada
    try:
        for name, role in WHO.items():
            if name != "ada":
                do("people.add", name=name, roles=[role])
        return {name: do("tokens.add", name=name).text for name in WHO}
    finally:
        workspace.ledger.close()


def test_everybody_is_known_by_their_token(desk: Desk) -> None:
    for name, role in WHO.items():
        told = desk.good(name, "people.me")["identity"]
        assert (told["name"], [grant["role"] for grant in told["grants"]]) == (name, [role]), told
    assert httpx.get(f"{desk.url}/api/v1/projects", trust_env=False).status_code == 401


def test_a_data_scientist_asks_the_gate_and_deploys_nothing(desk: Desk) -> None:
    assert "release" in desk.cli("dan", "runs", "list")
    asked = {one["check"]: one for one in desk.good("dan", "gates.check", model=NAME)["verdict"]["outcomes"]}
    assert any("approv" in check for check in asked), asked
    assert "'endpoints.deploy', which these roles have: admin, ml engineer, platform engineer" in desk.refused(
        "dan", "endpoints.deploy", model=NAME
    )
    told = desk.cli("dan", "deploy", NAME, fails=DENIED)
    assert f"dan may not do endpoints.deploy in '{NAME}'" in told
    assert "approvals.grant" in desk.refused("dan", "approvals.grant", model=NAME, role="business owner")
    page = desk.page("dan", f"/projects/{NAME}/tables/customers")
    assert "personal" in page
    assert not re.search(r"\bc\d+\b", page.partition('<main id="main"')[2].replace("months", ""))


def test_a_data_engineer_sees_persons_and_deploys_nothing(desk: Desk) -> None:
    seen = {one["name"]: one for one in desk.good("deb", "tables.profile", name="customers")["columns"]}
    hidden = {one["name"]: one for one in desk.good("mel", "tables.profile", name="customers")["columns"]}
    assert seen["customer_id"]["personal"]
    assert seen["customer_id"] != hidden["customer_id"]
    assert seen["months"] == hidden["months"]
    assert desk.good("deb", "tables.tag", name="customers", tag="looked-at")["version"]["number"] == 1
    assert "looked-at" in desk.cli("deb", "data", "history", "customers")
    assert "may not export" in desk.refused("mel", "delta.export", name="customers")
    assert "endpoints.deploy" in desk.refused("deb", "endpoints.deploy", model=NAME)
    assert "deb holds data engineer" in desk.refused("deb", "models.alias", name=NAME, version="1", alias="mine")


def test_a_business_owner_reads_approves_and_deploys_nothing(desk: Desk) -> None:
    assert "auc" in desk.page("grace", f"/projects/{NAME}/models/{NAME}/1")
    told = desk.cli("grace", "approve", NAME, "--role", "business owner", "--comment", "it pays")
    assert "grace approved the bundle" in told
    assert "endpoints.deploy" in desk.refused("grace", "endpoints.deploy", model=NAME)
    assert "floors.write" in desk.refused("grace", "floors.set", environment="prod", reason="because")


def test_an_ml_engineer_deploys_rolls_back_and_approves_nothing(desk: Desk) -> None:
    assert "approvals.grant" in desk.refused("mel", "approvals.grant", model=NAME, role="business owner")
    assert desk.served()["revisions"][0]["actor"]["name"] == "mel"
    assert "serves as revision" in desk.cli("mel", "deploy", NAME)
    number = desk.good("mel", "endpoints.rollback", name=NAME, reason="to try it")["revision"]["number"]
    assert number >= 3
    assert "rollback to" in desk.page("mel", f"/projects/{NAME}/endpoints/{NAME}")
    assert "people.write" in desk.refused("mel", "people.add", name="eve", roles=["admin"])


def test_a_software_engineer_reads_the_contract_predicts_and_sees_nothing_else(desk: Desk) -> None:
    desk.served()
    found = desk.good("sam", "endpoints.get", name=NAME)
    assert {"plan", "months", "calls"} <= {field["name"] for field in found["revisions"][0]["contract"]["fields"]}
    url = f"{found['status']['url']}/endpoints/{NAME}/predict"
    said = httpx.post(url, json={"rows": [ROW]}, headers={"authorization": f"Bearer {desk.tokens['sam']}"}, timeout=60)
    assert said.status_code == 200, said.text
    assert 0 < said.json()["predictions"][0]["score"] < 1
    for name in ("runs.search", "tables.list", "models.list", "audit.list", "trash.list", "catalog.search"):
        assert "software engineer" in desk.refused("sam", name), name
    assert "runs.read" in desk.cli("sam", "runs", "list", fails=DENIED)
    assert NAME in desk.page("sam", f"/projects/{NAME}/endpoints/{NAME}")
    assert "may not do" in desk.page("sam", f"/projects/{NAME}/runs", 403)


def test_an_executive_viewer_sees_how_it_stands_and_nothing_behind_it(desk: Desk) -> None:
    desk.served()
    assert NAME in desk.page("vic", "/")
    assert NAME in desk.page("vic", f"/projects/{NAME}/endpoints/{NAME}")
    assert NAME in desk.cli("vic", "models", "list")
    for name in ("runs.search", "tables.list", "audit.list"):
        assert "executive viewer" in desk.refused("vic", name), name
    assert "may not do" in desk.page("vic", f"/projects/{NAME}/tables", 403)


def test_governance_sets_the_floor_audits_approves_in_its_own_role_and_trains_nothing(desk: Desk) -> None:
    floor = desk.good("gus", "floors.set", environment="prod", checks=["sw.no_skew()"], reason="features are shared")
    assert floor["floor"]["name"] == "prod"
    assert "cannot speak as business owner" in desk.refused("gus", "approvals.grant", model=NAME, role="business owner")
    assert desk.good("gus", "approvals.grant", model=NAME, role="governance")["approval"]["name"] == "governance"
    verbs = [event["verb"] for event in desk.good("gus", "audit.list", limit=1000)["events"]]
    assert {"models.register", "approvals.grant"} <= set(verbs)
    assert desk.good("gus", "floors.list")["floors"][0]["reason"] == "features are shared"
    assert desk.good("gus", "audit.seal")
    assert "endpoints.deploy" in desk.refused("gus", "endpoints.deploy", model=NAME)
    assert "runs.write" in desk.refused("gus", "runs.reproduce", target="latest")


def test_a_platform_engineer_operates_empties_the_trash_and_reads_no_person(desk: Desk) -> None:
    assert desk.good("pat", "trash.purge", older_than_days=0, dry_run=True)["bytes"] == 0
    desk.served()
    assert desk.good("pat", "endpoints.stop", name=NAME)["was_running"]
    told = {one["name"]: one for one in desk.good("pat", "tables.profile", name="customers")["columns"]}
    hidden = {one["name"]: one for one in desk.good("mel", "tables.profile", name="customers")["columns"]}
    assert told == hidden
    assert "tables.write" in desk.refused("pat", "delta.export", name="customers")
    assert "approvals.grant" in desk.cli("pat", "approve", NAME, "--role", "business owner", fails=DENIED)


def test_an_admin_lets_people_in_and_cannot_set_the_floor(desk: Desk) -> None:
    added = desk.cli("ada", "people", "add", "eve", "--role", "data scientist", "--in", NAME)
    assert "eve" in added
    text = json.loads(desk.cli("ada", "tokens", "add", "--for", "eve", "--json"))["text"]
    eve = Desk(desk.url, desk.folder, {"eve": text})
    assert eve.good("eve", "runs.search")["runs"]
    assert "floors.write" in desk.refused("ada", "floors.set", environment="prod", reason="to be quick")
    desk.good("ada", "people.change", name="eve", disabled=True)
    assert eve.ask("eve", "runs.search").status_code in (401, 403), "at once"
