"""Logging in by an OpenID Connect provider: who may, who may not, and what is refused of a provider or of a thief."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from filled_store import fill
from slipway.errors import InvalidSetting
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.log_in import OidcSettings
from slipway.records.reach import Reach
from slipway.server.app import make_app

pytest.importorskip("joserfc", reason="pip install 'slipway[oidc]'")
from oidc_provider import CLIENT, SECRET, ProviderDesk, provider

HOME = "http://127.0.0.1:8300"
Do = Callable[..., Any]


@pytest.fixture
def do(workspace: Workspace) -> Do:
    def do(name: str, /, **fields: Any) -> Any:
        wanted = operation(name)
        return call(workspace, wanted, convert(wanted, fields))

    fill(workspace)
    do("people.add", name="ada", roles=["admin"])
    do("people.add", name="dan", roles=["data scientist"], email="Dan@example.org")
    return do


@pytest.fixture
def desk() -> Iterator[ProviderDesk]:
    with provider() as running:
        yield running


@pytest.fixture
def settings(desk: ProviderDesk, monkeypatch: pytest.MonkeyPatch) -> OidcSettings:
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    return OidcSettings(issuer=desk.issuer, client_id=CLIENT, client_secret="env:OIDC_SECRET")


class Browser:
    """A browser with cookies, at a server's pages and at the provider's."""

    def __init__(self, workspace: Workspace, settings: OidcSettings, *, reach: Reach | None = None) -> None:
        self._app = make_app(replace(workspace, project=""), reach or Reach(), provider=settings)
        self.cookies: dict[str, str] = {}
        self.flags = ""

    def get(self, url: str, **headers: str) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url=HOME, cookies=self.cookies) as client:
                return await client.get(url, headers=headers)

        answer = asyncio.run(once())
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0].strip('"')
            self.flags += line
        return answer

    def sent_back(self, after: str = "/runs", **headers: str) -> str:
        """Go to the provider; the address to which it sends the browser back."""
        begun = self.get(f"/login/oidc?next={after}", **headers)
        assert begun.status_code == 303, begun.text
        back = httpx.get(begun.headers["location"], trust_env=False)
        assert back.status_code == 302
        return back.headers["location"]

    def log_in(self, after: str = "/runs") -> httpx.Response:
        return self.get(self.sent_back(after))


def refused(answer: httpx.Response, words: str, status: int = 401) -> None:
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert "slipway_session" not in answer.headers.get("set-cookie", "")


def test_whom_the_provider_knows_is_in(workspace: Workspace, do: Do, settings: OidcSettings) -> None:
    browser = Browser(workspace, settings)
    assert browser.get("/").headers["location"].startswith("/login")
    page = browser.get("/login?next=/projects/flights")
    assert f'<a href="/login/oidc?next=/projects/flights">Log in with {settings.issuer}</a>' in page.text
    answer = browser.log_in("/projects/flights")
    assert (answer.status_code, answer.headers["location"]) == (303, "/projects/flights")
    assert browser.get("/api/v1/people/me").json()["identity"]["name"] == "dan"
    assert browser.log_in("https://evil.example").headers["location"] == "/"


def test_without_settings_there_is_no_such_way(workspace: Workspace, do: Do) -> None:
    browser = Browser(workspace, None)  # type: ignore[arg-type]
    assert "oidc" not in browser.get("/login").text
    assert browser.get("/login/oidc").status_code == 404


def test_a_code_and_a_state_are_good_once_and_in_one_browser(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk
) -> None:
    browser = Browser(workspace, settings)
    back = browser.sent_back()
    stolen = browser.cookies.pop("slipway_log_in")
    refused(browser.get(back), "was not begun in this browser")
    browser.cookies["slipway_log_in"] = stolen
    refused(browser.get(back), "has come back before")
    back = browser.sent_back()
    assert browser.get(back).status_code == 303
    refused(browser.get(back), "has come back before")
    code = parse_qs(urlsplit(back).query)["code"][0]
    other = browser.sent_back()
    replayed = other.replace(parse_qs(urlsplit(other).query)["code"][0], code)
    refused(browser.get(replayed), "takes the log-in&#39;s code no more (&#39;invalid_grant&#39;)")
    for odd in ("/login/oidc/back", "/login/oidc/back?state=", "/login/oidc/back?code=x&state=%00"):
        refused(browser.get(odd), "was not begun")


def test_a_log_in_that_takes_too_long_is_over(
    workspace: Workspace, do: Do, settings: OidcSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(workspace, settings)
    back = browser.sent_back()
    real = time.monotonic
    with monkeypatch.context() as later:
        later.setattr("slipway.server.oidc.time.monotonic", lambda: real() + 601)
        answer = browser.get(back)
    refused(answer, "took longer than ten minutes")


def test_what_the_provider_refuses_is_said_as_text(workspace: Workspace, do: Do, settings: OidcSettings) -> None:
    browser = Browser(workspace, settings)
    state = parse_qs(urlsplit(browser.sent_back()).query)["state"][0]
    answer = browser.get(f"/login/oidc/back?state={state}&error=%3Cscript%3E")
    refused(answer, "The provider let nobody in")
    assert "<script>" not in answer.text
    mixed = browser.sent_back().replace("iss=http", "iss=https")
    refused(browser.get(mixed), "let nobody in")


NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.example"}, "another issuer made it"),
        ({"aud": "another"}, "made for another client"),
        ({"aud": [CLIENT, "another"]}, "made for another client"),
        ({"aud": [CLIENT], "azp": "another"}, "made for another client"),
        ({"aud": None}, "made for another client"),
        ({"exp": NOW - 3600}, "it has ended"),
        ({"exp": None}, "does not say until when"),
        ({"exp": "never"}, "does not say until when"),
        ({"iat": NOW + 7200, "exp": NOW + 9000}, "not good yet"),
        ({"nbf": NOW + 7200}, "not good yet"),
        ({"nonce": "another"}, "belongs to another log-in"),
        ({"nonce": None}, "belongs to another log-in"),
        ({"sub": None}, "names nobody"),
        ({"preferred_username": None}, "does not say the claim"),
        ({"preferred_username": ["dan"]}, "does not say the claim"),
        ({"preferred_username": "mallory"}, "is nobody whom this store knows"),
    ],
)
def test_an_id_token_that_is_not_for_this_log_in_is_refused(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk, claims: dict[str, Any], words: str
) -> None:
    desk.claims |= claims
    refused(Browser(workspace, settings).log_in(), words)


def test_clocks_may_be_a_minute_apart(workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk) -> None:
    now = int(time.time())
    for claims in ({"exp": now - 20, "iat": now - 300}, {"iat": now + 40}):
        desk.claims = {"sub": "1", "preferred_username": "dan", **claims}
        assert Browser(workspace, settings).log_in().status_code == 303


@pytest.mark.parametrize("how", ["sign_symmetric", "sign_nothing", "altered", "stranger", "garbage"])
def test_a_signature_that_is_not_the_provider_s_is_refused(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk, how: str
) -> None:
    def altered(claims: dict[str, Any]) -> str:
        head, _, signature = desk.sign(claims).split(".")
        return f"{head}.{desk.sign({**claims, 'preferred_username': 'ada'}).split('.')[1]}.{signature}"

    def stranger(claims: dict[str, Any]) -> str:
        other = ProviderDesk(1)
        other.rotate()
        return other.sign(claims)

    forgers = {"altered": altered, "stranger": stranger, "garbage": lambda claims: "a.b.c"}
    desk.forge = forgers.get(how) or getattr(desk, how)
    refused(Browser(workspace, settings).log_in(), "its signature does not hold")


def test_keys_are_kept_and_fetched_again_when_the_provider_has_others(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(workspace, settings)
    for _ in range(3):
        assert browser.log_in().status_code == 303
    assert (desk.asked.count("/keys"), desk.asked.count("/.well-known/openid-configuration")) == (1, 1)
    desk.rotate()
    refused(
        browser.log_in(), "its signature does not hold"
    )  # they were fetched a moment ago: nobody makes it ask and ask
    real = time.monotonic
    monkeypatch.setattr("slipway.backends.oidc.time.monotonic", lambda: real() + 11)
    assert browser.log_in().status_code == 303


def test_a_client_secret_that_changes_counts_at_the_next_log_in(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(workspace, settings)
    desk.secret = "another"
    answer = browser.log_in()
    refused(answer, "&#39;invalid_client&#39;")
    assert SECRET not in answer.text
    monkeypatch.setenv("OIDC_SECRET", "another")
    assert browser.log_in().status_code == 303


def test_who_was_disabled_or_is_a_service_stays_out(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk
) -> None:
    do("people.change", name="dan", disabled=True)
    refused(Browser(workspace, settings).log_in(), "dan is disabled here")
    do("people.add", name="ci", is_service=True)
    desk.claims["preferred_username"] = "ci"
    refused(Browser(workspace, settings).log_in(), "is nobody whom this store knows")


def test_an_address_counts_once_it_is_verified_and_of_a_domain_that_may(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk
) -> None:
    ours = OidcSettings(
        issuer=desk.issuer, client_id=CLIENT, client_secret="env:OIDC_SECRET", claim="email", domains=("example.org",)
    )
    for claims, words in (
        ({"email": "dan@example.org", "email_verified": True}, ""),
        ({"email": "DAN@example.org", "email_verified": True}, ""),
        ({"email": "dan@example.org", "email_verified": False}, "has verified no e-mail address"),
        ({"email": "dan@example.org", "email_verified": "true"}, "has verified no e-mail address"),
        ({"email": "dan@example.org"}, "has verified no e-mail address"),
        ({"email": "dan@evil-example.org", "email_verified": True}, "has verified no e-mail address"),
        ({"email": "eve@example.org", "email_verified": True}, "is nobody whom this store knows"),
    ):
        desk.claims = {"sub": "1", **claims}
        answer = Browser(workspace, ours).log_in()
        if words:
            refused(answer, words)
        else:
            assert answer.status_code == 303


def test_who_is_unknown_is_made_known_with_the_role_that_settings_say(
    workspace: Workspace, do: Do, desk: ProviderDesk, settings: OidcSettings
) -> None:
    open_to = OidcSettings(
        issuer=desk.issuer, client_id=CLIENT, client_secret="env:OIDC_SECRET", role="executive viewer"
    )
    desk.claims["preferred_username"] = "eve"
    browser = Browser(workspace, open_to)
    assert browser.log_in().status_code == 303
    assert browser.get("/api/v1/people/me").json()["identity"]["grants"] == [
        {"role": "executive viewer", "project": ""}
    ]
    made = [one for one in do("people.list").people if one.name == "eve"]
    assert [one.grants[0].role for one in made] == ["executive viewer"]
    desk.claims["preferred_username"] = "Robert'); DROP"
    refused(Browser(workspace, open_to).log_in(), "cannot be a name here")


def test_logging_in_makes_nobody_the_first_admin(
    workspace: Workspace, desk: ProviderDesk, settings: OidcSettings
) -> None:
    open_to = OidcSettings(issuer=desk.issuer, client_id=CLIENT, client_secret="env:OIDC_SECRET", role="ml engineer")
    refused(Browser(workspace, open_to).log_in(), "is nobody whom this store knows")


def test_through_a_proxy_it_comes_back_by_https(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk
) -> None:
    reach = Reach(host="127.0.0.1", names=("slipway.example.org",), proxies=("127.0.0.1",))
    browser = Browser(workspace, settings, reach=reach)
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "slipway.example.org"}
    assert browser.sent_back(**forwarded).startswith("https://slipway.example.org/login/oidc/back?code=")
    assert "slipway_log_in" in browser.flags
    assert "Secure" in browser.flags
    assert "HttpOnly" in browser.flags


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": "http://login.example.org"}, "no address of a provider"),
        ({"issuer": "login.example.org"}, "no address of a provider"),
        ({"issuer": ""}, "no address of a provider"),
        ({"client_secret": "hunter2"}, "holds the secret itself"),
        ({"role": "admin"}, "nobody gets by logging in"),
        ({"role": "governance"}, "nobody gets by logging in"),
        ({"role": "data sientist"}, "nobody gets by logging in"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_the_server_starts(
    workspace: Workspace, settings: OidcSettings, changes: dict[str, str], words: str
) -> None:
    plain = {"issuer": settings.issuer, "client_id": CLIENT, "client_secret": "env:OIDC_SECRET"}
    with pytest.raises(InvalidSetting, match=words) as said:
        Browser(workspace, OidcSettings(**{**plain, **changes}))
    assert "hunter2" not in str(said.value)


def test_what_does_not_answer_as_a_provider_is_said(
    workspace: Workspace, do: Do, settings: OidcSettings, desk: ProviderDesk
) -> None:
    for discovery in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": None},
    ):
        desk.discovery = discovery
        answer = Browser(workspace, settings).get("/login/oidc")
        assert answer.status_code >= 400
        assert "provider" in answer.text
    gone = OidcSettings(issuer="http://127.0.0.1:9", client_id=CLIENT)
    refused(Browser(workspace, gone).get("/login/oidc"), "cannot be reached", 503)
