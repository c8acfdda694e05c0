"""Metric contracts: which business figure a model is for, who signed that, and what came of it."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.contracts import ContractSignature, KeptContract
from slipway.records.monitors import Finding

__all__ = ["ContractDetail", "ContractState", "Contracts", "GetContract", "SignContract", "operations"]


class GetContract(Struct, frozen=True, kw_only=True):
    """Which contract, by its KPI."""

    kpi: str


class SignContract(Struct, frozen=True, kw_only=True):
    """Put one's name under a contract as it stands, or take it back.

    Args:
        kpi: The contract's KPI.
        digest: Of the terms that one has read: others are not signed. "" for those that stand now.
        comment: Why.
        withdraw: Whether the name is taken back.
    """

    kpi: str
    digest: str = ""
    comment: str = ""
    withdraw: bool = False


class ContractState(Struct, frozen=True, kw_only=True):
    """One contract, and whether it is signed.

    Args:
        contract: As it stands.
        state: "void": it was signed, and something in it changed since.
        by: Who signed it as it stands, "" for nobody.
        on: When.
        void: What made it void, "" where nothing did.
        alarm: Whether the last look at one of its endpoints raised the alarm about its KPI.
    """

    contract: KeptContract
    state: str
    by: str = ""
    on: datetime | None = None
    void: str = ""
    alarm: bool = False


class Contracts(Struct, frozen=True, kw_only=True):
    """All contracts of the project in this environment."""

    contracts: tuple[ContractState, ...]


class ContractDetail(Struct, frozen=True, kw_only=True):
    """One contract with all that a business owner wants to know of it.

    Args:
        found: The contract and its state.
        words: It in plain words: a heading and a sentence each.
        signatures: All that were given, the newest first.
        findings: What its monitors found last, one an endpoint.
        changed: Where a name is void, what changed since: the heading, what was signed, and what stands there now.
        may_sign: Whether whoever asks may sign it, or take back a name.
        unowned: Why nobody can sign it, "" where somebody can.
    """

    found: ContractState
    words: tuple[tuple[str, str], ...]
    signatures: tuple[ContractSignature, ...]
    findings: tuple[Finding, ...]
    changed: tuple[tuple[str, str, str], ...] = ()
    may_sign: bool = True
    unowned: str = ""


operations = (
    Operation(
        name="contracts.list",
        summary="List metric contracts.",
        permission="contracts.read",
        request=Empty,
        response=Contracts,
        body="slipway.flows.metric_contracts:list_contracts",
    ),
    Operation(
        name="contracts.get",
        summary="Show a metric contract in plain words.",
        permission="contracts.read",
        request=GetContract,
        response=ContractDetail,
        body="slipway.flows.metric_contracts:get_contract",
    ),
    Operation(
        name="contracts.sign",
        summary="Sign a metric contract, or take one's name back.",
        permission="contracts.sign",
        request=SignContract,
        response=ContractState,
        body="slipway.flows.metric_contracts:sign",
        changes=True,
    ),
)
