"""An endpoint beside the system that it is to replace: declared, asked by the real process, and told."""

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from small_desk import FIRST, NAME, Desk

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.flows.endpoints import revision_of
from slipway.flows.old_system import agreement, check_fields
from slipway.operations.old_systems import GetAgreement
from slipway.records.endpoints import Contract
from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.tables.segments import SegmentWriter

URL = "https://old.example/score"


class Old(BaseHTTPRequestHandler):
    """Answers one half to all but short flights, and fails on the shortest."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = json.dumps({"late": 0.5 if body["distance"] > 300 else 0.9}).encode()
        self.send_response(500 if body["distance"] < 100 else 200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/score"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"url": "ftp://old/score"}, "an old system's url"),
        ({"url": "https://ada:s3cret@old/score"}, "an old system's url"),
        ({"score": "predictions.*.score"}, "cannot have its score"),
        ({"rows": "rows"}, "cannot have its score"),
        ({"headers": {"Authorization": "Bearer s3cret"}}, "where its secret is kept"),
        ({"headers": {"X-Any": "command:cat /etc/passwd"}}, "where its secret is kept"),
        ({"url": "http://old.example/score", "headers": {"Authorization": "${TOKEN}"}}, "in the open"),
        ({"timeout": "2h"}, "time-out"),
        ({"at_once": 0}, "at_once"),
        ({"sample": 2}, "sample"),
        ({"tolerance": math.inf}, "inf is given as tolerance"),
        ({"tolerance": math.nan}, "nan is given as tolerance"),
        ({"tolerance": -1}, "-1 is given as tolerance"),
    ],
)
def test_what_cannot_be_asked_or_would_tell_a_secret_is_refused(given: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidDeclaration, match=what) as refused:
        sw.OldSystem(**{"url": URL, **given})
    assert "s3cret" not in str(refused.value)
    assert "to inf" not in refused.value.why


def test_fields_that_no_request_has_are_refused(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST)
    still.declare(old_system=sw.OldSystem(url=URL, fields={"theirs": "altitude"}))
    with pytest.raises(InvalidInput, match="'altitude', which no request has"):
        still.deploy(FIRST)


def test_a_tolerance_that_no_record_can_keep_is_refused() -> None:
    spec = sw.OldSystem(url=URL).spec()
    for wrong in (math.inf, math.nan, -1.0):
        with pytest.raises(InvalidInput, match="is no tolerance"):
            check_fields(NAME, msgspec.structs.replace(spec, tolerance=wrong), Contract(fields=()))


def test_who_declares_none_is_compared_with_none(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST)
    still.deploy(FIRST)
    with pytest.raises(InvalidInput, match="compared with no old system"):
        agreement(still.workspace, GetAgreement(endpoint=NAME))


def test_agreement_is_told_with_the_greatest_differences_by_id(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST)
    still.declare(old_system=sw.OldSystem(url=URL, tolerance=0.01))
    still.deploy(FIRST)
    revision = revision_of(still.workspace, NAME)
    assert revision.old_system is not None
    assert agreement(still.workspace, GetAgreement(endpoint=NAME)).sentence.startswith("No row has been compared")
    at_us = int(still.clock.now().timestamp() * 1e6)
    answered = [
        PredictionRow(f"p{i}", at_us + i, 0, 1, revision.served.bundle[:16], f"secret-{i}", [], [], 0.5, revision=1)
        for i in range(100)
    ]
    mark = revision.old_system.mark
    theirs = [ShadowRow(f"p{i}", at_us + i, 1, "reference", mark, 0.505, 2_000_000) for i in range(96)]
    theirs += [ShadowRow(f"p{i}", at_us + i, 1, "reference", mark, 0.5 + i / 1000, 2_000_000) for i in (96, 97)]
    theirs += [ShadowRow(f"p{i}", at_us + i, 1, "reference", mark, None, 9, "timeout") for i in (98, 99)]
    theirs += [ShadowRow("p1", at_us, 1, "reference", "another system", 9.0)]
    for kind, rows in (("predictions", answered), ("shadows", theirs)):
        writer = SegmentWriter(still.folder / "log", kind)
        writer.append(rows)
        writer.close()
    found = agreement(still.workspace, GetAgreement(endpoint=NAME, most=5))
    assert (found.compared, found.scored, found.agreeing, found.problems) == (100, 98, 96, {"timeout": 2})
    assert [one.prediction for one in found.greatest] == ["p97", "p96"]
    assert found.took_ms == 2.0
    assert found.sentence == (
        "Of 100 rows the old system scored 98 (2 timeout); 96 agree within 0.01, as asked, wider than rounding (97.96%), shown to be more than 80.0%."
    )
    assert "secret" not in repr(found)


@pytest.mark.full
def test_the_first_version_ever_deployed_is_compared_by_its_real_process(desk: Desk, url: str) -> None:
    desk.approve(FIRST)
    desk.declare(old_system=sw.OldSystem(url=url, score="late", fields=["distance"], tolerance=0.0))
    deployed = desk.deploy(FIRST)
    assert deployed.status is not None
    row = {"flight_id": "Q", "origin": "JFK", "departure": "2013-04-01T09:00:00Z"}
    with EndpointClient(deployed.status.url, NAME) as client:
        client.predict(
            [{**row, "flight_id": f"Q{i}", "distance": distance} for i, distance in enumerate((500, 200, 50))]
        )
        client.settle()
    found = agreement(desk.workspace, GetAgreement(endpoint=NAME, days=400))
    assert (found.compared, found.scored, found.problems) == (3, 2, {"error": 1})
    assert {one.theirs for one in found.greatest} <= {0.5, 0.9}
