"""`slipway check-load` and `slipway replay`: a packaged model measured before it is released."""

import click

from slipway.cli.deploy import shown_gate
from slipway.cli.door import Door, opened
from slipway.cli.exits import REFUSED
from slipway.cli.layout import columns, facts, figure
from slipway.operations.load import CheckedLoad, Replayed
from slipway.records.load import LoadReport

__all__ = ["check_load", "replay"]


@click.command("check-load")
@click.argument("target", metavar="RUN|MODEL[:VERSION]")
@click.option("--rate", type=float, help="Requests a second; what gate or scope ask for, or 200, when missing.")
@click.option("--rows", default=1, show_default=True, help="Rows a request.")
@click.option("--seconds", default=5.0, show_default=True, help="For how long.")
@click.option("--endpoint", default="", help="Whose gate and workers; the model's own when missing.")
@opened
def check_load(door: Door, target: str, rate: float | None, rows: int, seconds: float, endpoint: str) -> None:
    """Does the model of a RUN, or a MODEL, hold its load on this machine? Nothing is deployed.

    Starts the bundle's endpoint process, sends stored rows over HTTP at the rate (whether or not those before were
    answered), then as many as it takes, and says latency, throughput, CPU, memory and size. The figures are kept as
    evidence about these bytes; what the endpoint's gate asks by sw.load(...) is answered. The exit code is 3 where it does
    not hold.
    """
    gate = shown_gate(door, endpoint or target.partition(":")[0])
    asked = {"target": target, "rate": rate, "rows": rows, "seconds": seconds, "endpoint": endpoint, "gate": gate}
    answer: CheckedLoad = door.call("models.load", **asked)
    door.show(answer, _load_text)
    if not answer.holds:
        raise click.exceptions.Exit(REFUSED)


@click.command()
@click.argument("model")
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@click.option("--rows", default=500, show_default=True, help="How many stored training rows at most.")
@opened
def replay(door: Door, model: str, version: str, rows: int) -> None:
    """Ask stored training rows of MODEL over HTTP, and compare what it is given with its training set.

    The bundle's real endpoint process answers, with an online store that is loaded from the tables as they are; nothing is
    deployed. The exit code is 3 where a value differs, or nothing could be compared.
    """
    answer: Replayed = door.call("models.replay", model=model, version=version, rows=rows)
    door.show(answer, _replay_text)
    if answer.replay.verdict != "equal":
        raise click.exceptions.Exit(REFUSED)


def _load_text(answer: CheckedLoad) -> str:
    report = answer.report
    needs = columns(
        ("need", "result", "found"),
        [(outcome.check, outcome.result, outcome.found) for outcome in answer.outcomes],
        empty="Its gate declares no need of load: sw.load(rate=200, p95_ms=50), sw.load(rate=200, memory='500MB').",
    )
    told = f"{'holds' if answer.holds else 'does not hold'}: {report.name} {report.number} at {report.rate:g} requests a second"
    return f"{told}\n\n{facts(_rows(report))}\n\n{needs}"


def _rows(report: LoadReport) -> list[tuple[str, str]]:
    latency = ", ".join(
        f"{name} {figure(value)} ms"
        for name, value in (("p50", report.p50_ms), ("p95", report.p95_ms), ("p99", report.p99_ms))
        if value is not None
    )
    sender = f"the sender itself was up to {figure(report.late_ms)} ms late with 95 of 100"
    return [
        (
            "requests",
            f"{report.sent:,} of {report.rows:,} rows in {report.seconds:g} s, {report.failed:,} not answered",
        ),
        ("first of them", report.failure),
        ("latency", f"{latency}; {sender}" if latency else ""),
        ("saturation", f"{figure(report.throughput)} requests a second, {report.workers} workers"),
        ("CPU", "" if report.cpu_ms is None else f"{figure(report.cpu_ms)} ms a request"),
        (
            "memory",
            f"{report.pss_bytes / 1e6:,.0f} MB (PSS), {report.rss_bytes / 1e6:,.0f} MB (RSS)"
            if report.rss_bytes
            else "",
        ),
        ("bundle", f"{report.bundle_bytes / 1e6:,.3g} MB, {report.parent_id[:12]}"),
        ("ready after", f"{report.ready_s:.1f} s"),
        (
            "machine",
            f"{report.machine.name}: {report.machine.cores} cores, {report.machine.processor or report.machine.system}",
        ),
        ("load before", "" if report.load_before is None else f"{report.load_before:.1f}"),
    ]


def _replay_text(answer: Replayed) -> str:
    found = answer.replay
    rows = [
        (one.column, f"{one.compared:,}", f"{one.differing:,}", one.first) for one in found.columns if one.differing
    ]
    table = columns(("column", "compared", "differ", "first"), rows, empty="")
    head = f"{found.verdict}: {found.sentence}"
    took = f"{answer.model} {answer.number}, {found.rows:,} of {found.of:,} rows, {found.seconds:.1f} s"
    return "\n\n".join(part for part in (head, table, took) if part)
