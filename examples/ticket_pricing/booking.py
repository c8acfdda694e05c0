"""A booking page, *SIMULATED*: search a route and a day, see the price, book. It asks by the typed client.

slipway client ticket-prices --out . && python booking.py [PORT [frozen]]
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.simple_server import make_server

import httpx
import simulator
from ticket_prices_client import ENDPOINT, URL, Client, EndpointError, Prediction

HTML = Path(__file__).with_name("booking.html").read_text(encoding="utf-8")
PAGE, ROW = (Template(part) for part in HTML.split("<!-- a flight -->\n"))
KEY = ("flight_id", "days_before")
offered: dict[tuple[str, int], Prediction] = {}  # a flight has one price a day, whoever asks and however often
booked: Counter[tuple[str, int]] = Counter()


def search(client: Client, now: datetime, to: str, day: str) -> str:
    """A day's flights as rows of the page; the endpoint is asked for those that nobody has seen today."""
    flights = simulator.on_sale(now.date()).filter(dest=to, day=date.fromisoformat(day))
    rows = flights.select("flight_id", "departure", "days_before", "seats", "usual_fare").to_dicts()
    keyed = {tuple(one[name] for name in KEY): one for one in rows}
    fresh = [key for key in keyed if key not in offered]
    offered.update(zip(fresh, client.predict([keyed[key] for key in fresh]) if fresh else [], strict=True))
    return "".join(row(offered[key], key[0], one["departure"], to=to, day=day) for key, one in keyed.items())


def row(price: Prediction, flight: str, at: datetime, **where: str) -> str:
    shown = {"fare": f"{price['score']:.0f}", "how": "fixed fare" if "fallback" in price else "today's price"}
    return ROW.substitute(name=flight.partition("-")[0], at=f"{at:%H:%M}", id=price["id"], **shown, **where)


def book(client: Client, now: datetime, id: str) -> str:
    """Books at the price that was shown. A price's label is how many booked by it so far; the newest counts."""
    (key,) = [key for key, price in offered.items() if price["id"] == id]
    booked[key] += 1
    client.labels([{"key": dict(zip(KEY, key, strict=True)), "value": booked[key], "observed_at": now}])
    return f"Booked {key[0].partition('-')[0]} for {offered[key]['score']:.0f} USD. Nobody pays, and nobody flies."


def site(client: Client) -> Callable[..., Iterable[bytes]]:
    """The page as a WSGI application."""

    def page(asked: dict[str, Any], answer: Callable[..., Any]) -> Iterable[bytes]:
        sent = asked["wsgi.input"].read(min(int(asked.get("CONTENT_LENGTH") or 0), 1000)).decode()
        now = datetime.now(UTC)
        given, status, said, rows = dict(parse_qsl(f"{asked['QUERY_STRING']}&{sent}")), "200 OK", "", ""
        try:
            if "book" in given:
                said = book(client, now, given["book"])
            if "to" in given:
                rows = search(client, now, given["to"], given["day"]) or "<tr><td>No flight on that day.</td></tr>"
        except (KeyError, ValueError):
            status, said = "400 Bad Request", "Choose a route, a day, and an offer of this page."
        except (EndpointError, httpx.TransportError):
            status, said = "503 Service Unavailable", "There are no prices just now. Try again soon."
        places = (f"<option{' selected' * (to == given.get('to'))}>{to}</option>" for to in simulator.DESTINATIONS)
        day = given["day"] if rows else f"{now:%Y-%m-%d}"
        answer(status, [("Content-Type", "text/html; charset=utf-8")])
        said = said and f"<p role=status>{said}</p>"
        return [PAGE.substitute(said=said, to="".join(places), day=day, rows=rows).encode()]

    return page


def feed(now: datetime) -> None:
    """Tells the endpoint what rivals ask today; one that is not told for 36 hours goes by the fixed-fare rule."""
    seen = simulator.rivals_today(simulator.on_sale(now.date()), seed=now.toordinal()).to_dicts()
    for first in range(0, len(seen), 1000):
        told = {"view": "rival", "rows": [{**one, "seen_at": now.isoformat()} for one in seen[first : first + 1000]]}
        httpx.post(f"{URL}/endpoints/{ENDPOINT}/events", json=told).raise_for_status()


if __name__ == "__main__":
    port, *frozen = sys.argv[1:] or ["8400"]
    if not frozen:
        feed(datetime.now(UTC))
    with Client() as client, make_server("127.0.0.1", int(port), site(client)) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
