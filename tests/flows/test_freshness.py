"""A feed that stops coming in while requests go on: counted by the endpoint, told by its monitor."""

from datetime import UTC, datetime, timedelta

import pytest
from small_desk import FIRST, NAME, Desk

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.flows.watch import watch
from slipway.operations.endpoints import Watch

pytestmark = pytest.mark.full


def test_a_feed_that_stops_opens_an_incident_and_its_return_closes_it(desk: Desk) -> None:
    desk.declare(monitors=[sw.Freshness("weather_now")])
    desk.approve(FIRST)
    deployed = desk.deploy(FIRST)
    assert deployed.status is not None
    row = {"flight_id": "Q", "origin": "JFK", "distance": 300, "departure": "2013-04-01T12:30:00Z"}
    fresh, stale = datetime(2013, 3, 20, tzinfo=UTC), datetime(2013, 4, 20, tzinfo=UTC)
    assert watch(desk.workspace, Watch(name=NAME)).findings[0].state == "cannot tell"
    with EndpointClient(deployed.status.url, NAME) as client:
        for since, state, incidents in ((fresh, "ok", 0), (stale, "alert", 1), (fresh, "ok", 0)):
            for minute in range(120):
                client.predict([row], at=since + timedelta(minutes=minute))
            found = watch(desk.workspace, Watch(name=NAME))
            (finding,) = found.findings
            assert (finding.name, finding.state, finding.rows) == ("freshness of weather_now", state, 120)
            assert len(found.incidents) == incidents
            assert all(incident.cause == "broken feed" for incident in found.incidents)
