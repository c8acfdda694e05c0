"""`slipway predict` and `slipway labels`: talk to an endpoint from the command line."""

import sys
from typing import Any

import click
import msgspec

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, figure
from slipway.client.endpoint import EndpointClient
from slipway.errors import Conflict, InvalidInput, Unavailable
from slipway.hosts.identity import shown_token
from slipway.operations.endpoints import EndpointDetail
from slipway.records.explanations import Explanation

__all__ = ["answers_at", "explanation_text", "labels", "predict"]

_SHOWN = 5e-5
"""A residual of rounding is not shown."""


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.argument("rows", metavar="[ROWS]", required=False)
@click.option("--explain", type=int, default=0, metavar="N", help="Tell the N inputs that moved each answer most.")
@opened
def predict(door: Door, name: str, rows: str | None, explain: int) -> None:
    """Ask ENDPOINT about ROWS: a JSON object, a list of them, or - for standard input.

    Without ROWS it is asked about a row of the sample by which its model is proven.
    """
    asked = _sampled(door, name) if rows is None else _objects(rows, "row")
    with _client(door, name) as client:
        answer = client.predict(asked, explain=explain)
    door.show(answer, _answers)


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.argument("labels", metavar="LABELS")
@opened
def labels(door: Door, name: str, labels: str) -> None:
    """Tell ENDPOINT what became true: JSON objects with "value" and "key" or "prediction", or - for standard input."""
    detail = door.call("endpoints.get", name=name)
    if detail.revisions[0].batch is not None:
        accepted = door.call("scorings.label", name=name, labels=_objects(labels, "label")).accepted
    else:
        with _client_of(detail, name) as client:
            accepted = client.labels(_objects(labels, "label"))
    door.show({"accepted": accepted}, lambda answer: f"{answer['accepted']} labels accepted.")


def _sampled(door: Door, name: str) -> list[dict[str, Any]]:
    """A row of the bundle's sample; a key that the model does not take is made up."""
    contract = door.call("endpoints.get", name=name).revisions[0].contract
    fields = [field.name for field in contract.fields]
    made_up = {
        field.name: "sample" for field in contract.fields if field.name in contract.key and field.type == "string"
    }
    row = made_up | door.call("endpoints.sample", name=name).row
    if missing := [field for field in fields if field not in row]:
        given = msgspec.json.encode(row | dict.fromkeys(missing, "...")).decode()
        raise InvalidInput(
            f"The sample of {name!r} holds no {missing[0]!r}, which a request must carry.",
            fix=f"Give a row: slipway predict {name} '{given}'",
        )
    click.echo(f"Asked: {msgspec.json.encode(row).decode()}", err=True)
    return [row]


def _client(door: Door, name: str) -> EndpointClient:
    return _client_of(door.call("endpoints.get", name=name), name)


def _client_of(detail: EndpointDetail, name: str) -> EndpointClient:
    return EndpointClient(answers_at(detail, name), name, shown_token(detail.revisions[0].environment))


def answers_at(detail: EndpointDetail, name: str) -> str:
    """Where an endpoint answers.

    Raises:
        Conflict: It is a batch endpoint.
        Unavailable: It does not run.
    """
    if detail.revisions[0].batch is not None:
        raise Conflict(
            f"The batch endpoint {name!r} scores a table, and answers no requests.",
            fix=f"Score its new rows: slipway score {name}",
        )
    if detail.status is None or not detail.status.url:
        newest = detail.revisions[0]
        served = newest.served
        named = "" if served.model == name else f" --endpoint {name}"
        named += "" if newest.environment == "dev" else f" --env {newest.environment}"
        raise Unavailable(
            f"The endpoint {name!r} does not run.",
            fix=f"Start it again: slipway deploy {served.model} --version {served.number}{named}",
        )
    return detail.status.url


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
        if price := prediction.get("price"):
            told += f" {price['unit']}".rstrip() + (
                f"  (at the {price['at_limit']} limit)" if price["at_limit"] else ""
            )
        by = prediction.get("fallback")
        told += "" if by is None else f"  (by the fallback: {by['by']}, {by['reason']})"
        lines.append(f"{prediction['score']:.4f}{told}  {prediction['id']}")
        if prediction.get("explanation") is not None:
            lines.append(explanation_text(msgspec.convert(prediction["explanation"], Explanation)))
        elif "unexplained" in prediction:
            lines.append(prediction["unexplained"])
    model = answer["model"]
    return "\n".join([*lines, f"{model['name']} {model['version']}, revision {answer['revision']}"])


def explanation_text(found: Explanation) -> str:
    """An explanation as a table of what adds up to the score."""
    rows = [("base", "", figure(found.base))]
    rows += [(one.input, _value(one.value), _signed(one.contribution)) for one in found.contributions]
    rows += [("all others", "", _signed(found.rest))] if found.rest else []
    rows += [("residual", "", _signed(found.residual))] if abs(found.residual) >= _SHOWN else []
    rows.append((f"score ({found.scale})", "", figure(found.score)))
    return columns(("input", "value", found.how), rows, empty="")


def _signed(value: float) -> str:
    return f"{value:+.4g}"


def _value(value: Any) -> str:
    if value is None:
        return "missing"
    return figure(value) if isinstance(value, float) else str(value)
