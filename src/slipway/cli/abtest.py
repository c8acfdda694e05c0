"""`slipway abtest`: versions side by side, compared by a business metric, and a person's decision."""

from typing import Any

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.operations.abtests import ABTestDetail
from slipway.records.abtests import ABTest, ArmResult

__all__ = ["abtest"]


@click.group()
def abtest() -> None:
    """Compare versions by a business metric, side by side."""


@abtest.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--arm", "arms", multiple=True, required=True, metavar="VERSION=PERCENT", help="An arm; repeat it.")
@click.option("--minimal-effect", type=float, required=True, help="The least difference that matters.")
@click.option(
    "--metric", type=click.Choice(["label", "cost", "contract"]), default="label", show_default=True,
    help="What is compared: the labels themselves, what decisions cost, or the metric contract's KPI.",
)  # fmt: skip
@click.option("--times", default="", metavar="FIELD", help="A request field by which each value is multiplied.")
@click.option("--better", type=click.Choice(["higher", "lower"]), help="lower for cost, higher for label when missing.")
@click.option("--unit", default="", help="What the metric is counted in: EUR.")
@click.option("--entity", default="", metavar="FIELD,...", help="What shares an arm; the contract's key when missing.")
@click.option("--window", default="7d", show_default=True, help="How long an entity's outcome takes.")
@click.option("--covariate", default="", metavar="FIELD|prior", help="Takes out what varies with it.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="The chance of a wrong word on any arm.")
@click.option("--deadline", default="60d", show_default=True, help="When you are asked to decide.")
@click.option(
    "--look", "looks", multiple=True, metavar="TIME", help="A planned look, such as 14d; at any time if none."
)
@click.option("--model", default="", help="Whose versions; the model that serves when missing.")
@opened
def start(door: Door, name: str, arms: tuple[str, ...], model: str, **given: Any) -> None:
    """Let versions answer beside what serves at ENDPOINT: --arm 2=30 --arm 3=30 leaves the champion 40 %."""
    answer = door.call("abtests.start", endpoint=name, arms=_percents(arms), spec=_spec(given), model=model)
    door.show(answer, _text)


@abtest.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--id", "id", default="", metavar="ID", help="An earlier test; the newest when missing.")
@opened
def status(door: Door, name: str, id: str) -> None:
    """Show the report of the newest A/B test of ENDPOINT."""
    door.show(door.call("abtests.get", endpoint=name, id=id), _text)


@abtest.command()
@click.argument("name", metavar="ENDPOINT")
@opened
def look(door: Door, name: str) -> None:
    """Judge the A/B test under way at ENDPOINT now; the controller does so once a day."""
    door.show(door.call("abtests.look", endpoint=name), _text)


@abtest.command()
@click.argument("name", metavar="ENDPOINT")
@click.argument("arm", metavar="VERSION|champion")
@click.option("--reason", required=True, help="Why; it is kept.")
@opened
def decide(door: Door, name: str, arm: str, reason: str) -> None:
    """End the A/B test at ENDPOINT: let VERSION serve, or keep the champion."""
    door.show(door.call("abtests.decide", endpoint=name, arm=arm, reason=reason), _text)


def _percents(arms: tuple[str, ...]) -> dict[str, float]:
    from slipway.errors import InvalidInput

    found: dict[str, float] = {}
    for one in arms:
        name, _, percent = one.partition("=")
        try:
            share = float(percent)
        except ValueError:
            raise InvalidInput(
                f"{one!r} is no arm.", fix="Write version and percent: --arm 2=30", field="arm"
            ) from None
        if name in found:
            raise InvalidInput(f"The arm {name!r} was given twice.", fix="Name each version once.", field="arm")
        found[name] = share
    return found


def _spec(given: dict[str, Any]) -> dict[str, Any]:
    from slipway.schema.durations import microseconds

    window, deadline, looks = given.pop("window"), given.pop("deadline"), given.pop("looks")
    better = given.pop("better") or ("lower" if given["metric"] == "cost" else "higher")
    entity = tuple(one.strip() for one in given.pop("entity").split(",") if one.strip())
    return {
        **given,
        "better": better,
        "entity": entity,
        "window_us": microseconds(window, "window"),
        "deadline_us": microseconds(deadline, "deadline"),
        "looks_us": tuple(microseconds(one, "look") for one in looks),
    }


def _text(answer: ABTestDetail) -> str:
    test = answer.test
    last = test.looks[-1] if test.looks else None
    parts = [
        facts(
            [
                ("A/B test", test.id),
                ("endpoint", test.name),
                ("champion", f"{test.control.model} {test.control.number}"),
                ("arms", ", ".join(f"{arm.name} ({arm.fraction:.0%})" for arm in test.arms)),
                ("metric", _metric(test)),
                ("began", instant(test.created_at)),
                ("stands", test.state if test.ended_at is None else f"{test.state} {instant(test.ended_at)}"),
                ("why", test.reason),
                ("says", last.sentence if last else "Nothing has been looked at yet."),
                ("looked", instant(last.at) if last else ""),
            ]
        )
    ]
    if last is not None and last.arms:
        head = ("arm", "entities", "known", "mean", "effect", "interval", "a month", "verdict")
        parts.append(columns(head, [_row(one) for one in last.arms], empty=""))
    if last is not None and last.unknown:
        parts.append("Not known:\n" + "\n".join(f"- {one}" for one in last.unknown))
    if test.is_under_way:
        parts.append(f"Decide:  slipway abtest decide {test.name} VERSION|champion --reason ...")
    return "\n\n".join(parts)


def _metric(test: ABTest) -> str:
    spec = test.spec
    unit = f", in {spec.unit}" if spec.unit else ""
    what = spec.metric if spec.contract is None else spec.contract.kpi
    return f"{what}{f' times {spec.times}' if spec.times else ''}{unit}; {spec.better} is better"


def _row(one: ArmResult) -> tuple[str, ...]:
    is_control = one.name == "champion"
    return (
        one.name,
        f"{one.assigned:,}",
        f"{one.measured:,}",
        _figure(one.mean),
        _figure(one.effect, "+"),
        _interval(one.low, one.high),
        f"{_figure(one.month, '+')} {_interval(one.month_low, one.month_high)}".strip(),
        "" if is_control else one.verdict,
    )


def _figure(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign},.4g}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"({low:+,.4g} to {high:+,.4g})"
