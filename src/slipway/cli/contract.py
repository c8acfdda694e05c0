"""`slipway contract`: which business figure a model is for, who signed that, and what came of it."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.operations.contracts import ContractDetail, Contracts, ContractState

__all__ = ["contract"]


@click.group()
def contract() -> None:
    """See, draft and sign metric contracts: which business figure a model is for."""


@contract.command("list")
@opened
def list_(door: Door) -> None:
    """List all contracts, and whether they are signed."""
    door.show(door.call("contracts.list"), _list_text)


@contract.command()
@click.argument("kpi")
@opened
def show(door: Door, kpi: str) -> None:
    """Show the contract on KPI in plain words, with what was found last and how its hypothesis stands."""
    door.show(door.call("contracts.get", kpi=kpi), _text)


@contract.command()
@opened
def draft(door: Door) -> None:
    """Keep the contracts that the project's code declares, so that they can be read and signed before anything serves."""
    from slipway.flows.metric_contracts import draft as keep
    from slipway.schema.metric_contract import MetricContract

    found = [keep(door.workspace, one.terms()) for one in door.project.declared(MetricContract).values()]
    door.show(Contracts(contracts=tuple(found)), _list_text)


@contract.command()
@click.argument("kpi")
@click.option("--comment", default="", help="Why; it is kept.")
@click.option("--withdraw", is_flag=True, help="Take your name back.")
@opened
def sign(door: Door, kpi: str, comment: str, withdraw: bool) -> None:
    """Put your name under the contract on KPI as it stands; anything that changes in it makes that void."""
    detail = door.call("contracts.get", kpi=kpi)
    digest = detail.found.contract.digest
    answer = door.call("contracts.sign", kpi=kpi, digest=digest, comment=comment, withdraw=withdraw)
    door.show(answer, lambda found: f"{found.contract.terms.kpi}: {_state(found)}")


def _list_text(answer: Contracts) -> str:
    rows = [
        (
            one.contract.terms.kpi,
            _state(one),
            one.contract.terms.owner,
            ", ".join(one.contract.endpoints),
            one.contract.standing.verdict
            if one.contract.standing
            else "undecided"
            if one.contract.terms.hypothesis
            else "",
            "its KPI got worse" if one.alarm else "",
        )
        for one in answer.contracts
    ]
    empty = "No metric contract is drafted. Declare one, sw.MetricContract(...), then: slipway contract draft"
    return columns(("contract", "state", "owner", "endpoints", "hypothesis", "alarm"), rows, empty=empty)


def _state(found: ContractState) -> str:
    if found.on is not None:
        return f"signed by {found.by} {instant(found.on)}"
    return f"void: {found.void}" if found.void else "drafted, not signed"


def _text(answer: ContractDetail) -> str:
    kept = answer.found.contract
    says = [("contract", kept.terms.kpi), ("state", _state(answer.found)), ("digest", kept.digest[:16])]
    if answer.unowned:
        says.append(("owner", answer.unowned))
    parts = [facts(says)]
    if answer.changed:
        lines = [f"  {title}\n    as signed: {then}\n    now: {now}" for title, then, now in answer.changed]
        parts.append("\n".join(["What changed since it was signed", *lines]))
    parts.append("\n\n".join(f"{title}\n  {said}" for title, said in answer.words))
    if kept.standing is not None:
        parts.append(f"How the hypothesis stands\n  {kept.standing.verdict}: {kept.standing.sentence}")
    parts += [
        f"Found at {one.parent_id.partition('/')[2]}, {instant(one.created_at)}\n  {one.state}: {one.sentence}"
        for one in answer.findings
    ]
    if not answer.found.by:
        parts.append(f"Sign:  slipway contract sign {kept.name}")
    return "\n\n".join(parts)
