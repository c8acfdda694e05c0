"""`slipway predict` and `slipway labels`: talk to an endpoint from the command line."""

import sys
from typing import Any

import click
import msgspec

from slipway.cli.door import Door, opened
from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidInput, Unavailable
from slipway.hosts.identity import shown_token

__all__ = ["labels", "predict"]


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.argument("rows", metavar="ROWS")
@opened
def predict(door: Door, name: str, rows: str) -> None:
    """Ask ENDPOINT about ROWS: a JSON object, a list of them, or - for standard input."""
    with _client(door, name) as client:
        answer = client.predict(_objects(rows, "row"))
    door.show(answer, _answers)


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.argument("labels", metavar="LABELS")
@opened
def labels(door: Door, name: str, labels: str) -> None:
    """Tell ENDPOINT what became true: JSON objects with "value" and "key" or "prediction", or - for standard input."""
    with _client(door, name) as client:
        accepted = client.labels(_objects(labels, "label"))
    door.show({"accepted": accepted}, lambda answer: f"{answer['accepted']} labels accepted.")


def _client(door: Door, name: str) -> EndpointClient:
    detail = door.call("endpoints.get", name=name)
    if detail.status is None or not detail.status.url:
        newest = detail.revisions[0]
        served = newest.served
        named = "" if served.model == name else f" --endpoint {name}"
        named += "" if newest.environment == "dev" else f" --env {newest.environment}"
        raise Unavailable(
            f"The endpoint {name!r} does not run.",
            fix=f"Start it again: slipway deploy {served.model} --version {served.number}{named}",
        )
    return EndpointClient(detail.status.url, name, shown_token())


def _objects(text: str, what: str) -> list[dict[str, Any]]:
    if text == "-":
        text = sys.stdin.read()
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as problem:
        raise InvalidInput(
            f"The {what}s are not JSON: {problem}.", fix="Give an object, as in '{\"distance\": 1400}'."
        ) from problem
    rows = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f"A {what} is not a JSON object.", fix="Give an object, or a list of objects.")
    return rows


def _answers(answer: dict[str, Any]) -> str:
    lines = []
    for prediction in answer["predictions"]:
        decision = prediction.get("decision")
        told = "" if decision is None else f"  {'yes' if decision else 'no'}"
        lines.append(f"{prediction['score']:.4f}{told}  {prediction['id']}")
    model = answer["model"]
    return "\n".join([*lines, f"{model['name']} {model['version']}, revision {answer['revision']}"])
