"""Who calls an endpoint: by the list in its folder, alone."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving_desk import NOW, Desk, error_of

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.errors import Denied, Unauthenticated
from slipway.hashing import digest
from slipway.records.callers import CALLERS_FILE, CALLERS_TYPE, PREDICT, PUSH, READ, Caller, Callers
from slipway.records.reach import Reach
from slipway.serving.callers import CallerCounts, CallerList

SECRET = "a-secret"
LATER = int(NOW.timestamp() * 1e6) + 1
BEARER = {"authorization": f"Bearer slw_t1_{SECRET}"}


class Door:
    """An endpoint's folder and the worker's view of its list."""

    def __init__(self, root: Path, *, is_known_store: bool = True) -> None:
        self.folder = root / "endpoints" / "flights" / "delays"
        self.folder.mkdir(parents=True)
        self.signer = Ed25519Signer(root / "keys")
        self.callers = CallerList(self.folder, self.signer, lambda: is_known_store)
        self._issued = 0

    def tell(self, *rights: str, id: str = "t1", expires_us: int = LATER, signer: Any = None, **changes: Any) -> None:
        self._issued += 1
        caller = Caller("shop", digest(SECRET.encode()), expires_us, rights)
        plain = {"project": "flights", "endpoint": "delays", "issued_us": self._issued, "tokens": {id: caller}}
        told = msgspec.json.encode(Callers(**{**plain, **changes}))
        self.put((signer or self.signer).sign(told, CALLERS_TYPE))

    def put(self, content: bytes) -> None:
        part = self.folder / "part"
        part.write_bytes(content)
        part.replace(self.folder / CALLERS_FILE)

    def admits(self, text: str = f"Bearer slw_t1_{SECRET}", route: str = "predict", now: datetime = NOW) -> str:
        return self.callers.admit([(b"host", b"x"), (b"authorization", text.encode())], route, lambda: now)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_token_is_good_from_the_moment_that_the_list_names_it(door: Door) -> None:
    door.tell()
    assert door.callers.look()
    door.tell(PREDICT, id="t0")
    with pytest.raises(Unauthenticated):
        door.admits("Bearer slw_t2_x")
    door.tell(PREDICT)
    assert door.admits() == "shop", "an unknown token is a reason to look at once"
    assert door.admits(f"bearer  slw_t1_{SECRET}") == "shop"


@pytest.mark.parametrize(
    "text",
    [
        *("", "Bearer", "Bearer ", "Bearer slw_t1_", "Bearer slw_t1_another", f"Basic slw_t1_{SECRET}"),
        *(
            f"slw_t1_{SECRET}",
            f"Bearer xyz_t1_{SECRET}",
            f"Bearer slw_t2_{SECRET}",
            f"Bearer slw_t1_{SECRET}{'x' * 300}",
        ),
        "Bearer \xff\x00",
    ],
)
def test_what_is_no_token_of_the_list_is_nobody_s(door: Door, text: str) -> None:
    door.tell(PREDICT)
    with pytest.raises(Unauthenticated, match="Nobody is known to this endpoint by this token"):
        door.admits(text)


def test_a_token_ends_with_the_business_time(door: Door) -> None:
    door.tell(PREDICT)
    assert door.admits(now=NOW) == "shop"
    with pytest.raises(Unauthenticated, match="The token of shop has ended"):
        door.admits(now=datetime(2013, 4, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("held", "open_routes"),
    [
        ((), {"health"}),
        ((PREDICT,), {"health", "predict"}),
        ((PUSH,), {"health", "labels", "events"}),
        ((READ,), {"health", "endpoint", "metrics"}),
    ],
)
def test_a_right_opens_its_routes_alone(door: Door, held: tuple[str, ...], open_routes: set[str]) -> None:
    door.tell(*held)
    for route in ("predict", "labels", "events", "endpoint", "metrics", "health"):
        if route in open_routes:
            assert door.admits(route=route) == "shop"
        else:
            with pytest.raises(Denied, match=r"shop may not .* at 'delays'.*endpoints\.\w+.*slipway people grant shop"):
                door.admits(route=route)


def test_a_revoked_token_is_good_for_nothing_at_the_next_look(door: Door) -> None:
    door.tell(PREDICT)
    assert door.admits() == "shop"
    door.tell(tokens={})
    assert door.callers.look()
    with pytest.raises(Unauthenticated):
        door.admits()


def test_a_list_that_cannot_be_believed_changes_nothing(door: Door, tmp_path: Path) -> None:
    door.tell(tokens={})
    revoked = (door.folder / CALLERS_FILE).read_bytes()
    door.tell(PREDICT)
    admitting = (door.folder / CALLERS_FILE).read_bytes()
    assert door.admits() == "shop"
    other = Ed25519Signer(tmp_path / "other-keys")
    for content in (b"", b"{}", revoked[:-20], revoked.replace(b'"payload":"', b'"payload":"A')):
        door.put(content)
        assert not door.callers.look()
        assert door.admits() == "shop"
    door.put(revoked)
    assert not door.callers.look(), "an older list that comes back is none"
    door.tell(tokens={}, signer=other)
    assert not door.callers.look(), "signed by a stranger"
    door.tell(tokens={}, endpoint="another")
    assert not door.callers.look()
    (door.folder / CALLERS_FILE).unlink()
    assert not door.callers.look()
    assert door.admits() == "shop"
    door.tell(tokens={})
    assert door.callers.look()
    door.put(admitting)
    assert not door.callers.look()
    with pytest.raises(Unauthenticated):
        door.admits()


def test_where_the_list_is_missing_a_store_that_knows_people_lets_nobody_in(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated):
        Door(tmp_path / "known").admits()
    assert Door(tmp_path / "open", is_known_store=False).callers.admit([], "predict", lambda: NOW) == ""
    broken = Door(tmp_path / "broken", is_known_store=False)
    broken.put(b"not signed")
    broken.callers.look()
    with pytest.raises(Unauthenticated):
        broken.admits()


@pytest.fixture
def desk(door: Door) -> Iterator[Desk]:
    door.tell(PREDICT, READ)
    door.callers.look()
    opened = Desk(admit=door.callers.admit)
    yield opened
    opened.close()


ROW = {"flight_id": "UA1", "distance": 700.0, "departure": "2013-04-01T12:00:00Z"}


def test_who_called_stands_in_the_log_and_in_the_metrics(desk: Desk) -> None:
    assert desk.ask("POST", "/endpoints/delays/predict", json={"rows": [ROW]}, headers=BEARER).status_code == 200
    refused = desk.ask("POST", "/endpoints/delays/labels", json={"labels": []}, headers=BEARER)
    assert "shop may not send labels or events" in error_of(refused, 403)["what"]
    nobody = desk.predict(ROW)
    assert "does not know who calls" in error_of(nobody, 401)["what"]
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert error_of(desk.ask("GET", "/nothing"), 401), "a stranger is not told which routes there are"
    assert error_of(desk.ask("GET", "/nothing", headers=BEARER), 404)
    assert desk.ask("GET", "/health").status_code == 200
    text = desk.ask("GET", "/metrics", headers=BEARER).text
    assert 'slipway_caller_requests_total{endpoint="delays",caller="shop",route="predict"} 1' in text
    assert 'slipway_requests_total{endpoint="delays",route="predict",status="401"} 1' in text
    desk.log.close()
    assert [row.caller for row in desk.logged] == ["shop"]


def test_workers_count_callers_together_and_a_successor_goes_on(tmp_path: Path) -> None:
    first, second = CallerCounts(tmp_path, 0), CallerCounts(tmp_path, 1)
    first.add("shop", "predict")
    second.add("shop", "predict")
    second.add("ada", "events")
    second.write()
    assert first.text("delays").splitlines()[2:] == [
        'slipway_caller_requests_total{endpoint="delays",caller="ada",route="events"} 1',
        'slipway_caller_requests_total{endpoint="delays",caller="shop",route="predict"} 2',
    ]
    successor = CallerCounts(tmp_path, 1)
    successor.add("ada", "events")
    assert 'caller="ada",route="events"} 2' in successor.text("delays")
    assert json.loads((tmp_path / "1.callers").read_bytes()) == {"predict shop": 1, "events ada": 2}


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_an_endpoint_elsewhere_answers_for_its_names_alone(origin: str) -> None:
    desk = Desk(reach=Reach(host="0.0.0.0", names=("models.example.org",), proxies=("127.0.0.1",)))
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "models.example.org"}
    try:
        assert desk.ask("GET", "/health", headers=forwarded).status_code == 200
        for headers in (
            {**forwarded, "x-forwarded-proto": "http"},
            {**forwarded, "x-forwarded-host": "evil.example"},
            {**forwarded, "origin": origin},
            {},
        ):
            error_of(desk.ask("GET", "/health", headers=headers), 403)
    finally:
        desk.close()


def test_the_address_is_the_one_that_callers_use() -> None:
    reach = Reach(host="0.0.0.0", names=("models.example.org",), certificate="c", key="k")
    assert reach.url(8443) == "https://models.example.org:8443"
    assert Reach(host="::1").url(8443) == "http://[::1]:8443"
