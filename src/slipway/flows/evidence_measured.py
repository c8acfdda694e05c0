"""Evidence that is measured on processes and targets: load tests on record, a replay through HTTP, a lock elsewhere."""

from __future__ import annotations

from slipway.errors import MissingExtra
from slipway.flows.load_evidence import load_evidence
from slipway.flows.replay_rows import replay_rows, without_values
from slipway.flows.target import packages_of, resolve
from slipway.gates import evidence as make
from slipway.models.numbered import run_stayed
from slipway.models.received import verdicts_of
from slipway.ports.workspace import Workspace
from slipway.records.gates import CheckSpec, Evidence, GateSpec
from slipway.records.locks import LockedPackage
from slipway.records.models import Bundle, ModelVersion

__all__ = ["measured"]


def measured(workspace: Workspace, candidate: ModelVersion, bundle: Bundle, gate: GateSpec) -> list[Evidence]:
    """What the checks of a gate read that is measured on the bundle's process, or known of its target.

    Load tests are read, never made here: `slipway check-load` makes them. A replay is made each time.

    Args:
        workspace: Where the bundles are.
        candidate: The version to be judged.
        bundle: Its manifest.
        gate: The effective gate: what it does not ask for is not collected.
    """
    found: list[Evidence] = []
    kinds = {check.kind for check in gate.checks}
    if "load" in kinds:
        found += load_evidence(workspace, candidate, bundle)
    if "replayed" in kinds:
        found.append(_replay(workspace, candidate, bundle, gate))
    found += [_target(workspace, candidate, bundle, check) for check in gate.checks if check.where]
    return found


def _replay(workspace: Workspace, candidate: ModelVersion, bundle: Bundle, gate: GateSpec) -> Evidence:
    if carried := _replayed_elsewhere(workspace, candidate):
        return carried
    count = max(check.count for check in gate.checks if check.kind == "replayed")
    workspace.say(f"Replaying {count:,} training rows through the endpoint process of the bundle.")
    # A verdict is kept, and read by people who may not see personal values.
    told = without_values(workspace, replay_rows(workspace, candidate, bundle, count))
    return make.replayed(
        candidate.bundle,
        workspace.clock.now(),
        verdict=told.verdict,
        rows=told.rows,
        of=told.of,
        share=told.differing / told.rows if told.rows else 0.0,
        note=told.sentence,
    )


def _replayed_elsewhere(workspace: Workspace, candidate: ModelVersion) -> Evidence | None:
    """What the gate of another store found, where the version came from there: its training rows stayed there too."""
    with workspace.ledger.read() as tx:
        if not run_stayed(tx, candidate):
            return None
    for ruling in verdicts_of(workspace, candidate.bundle):
        for outcome in ruling.outcomes:
            if ruling.environment != workspace.environment and outcome.values.keys() >= {
                "verdict",
                "rows",
                "of",
                "share",
            }:
                where = outcome.values.get("where") or f"in {ruling.environment} on {ruling.created_at:%Y-%m-%d}"
                told = outcome.found if "where" in outcome.values else f"{where}: {outcome.found}"
                return Evidence(
                    kind="replayed",
                    subject=candidate.bundle,
                    at=ruling.created_at,
                    values=outcome.values | {"where": where},
                    note=told,
                )
    return make.replayed(
        candidate.bundle,
        workspace.clock.now(),
        verdict="cannot",
        rows=0,
        of=0,
        share=0.0,
        note="its training rows stayed in the store that it came from, whose gate has not replayed them",
        fix=f"Let that gate judge it with sw.replayed() in it (slipway deploy {candidate.name}), then promote it again.",
    )


def _target(workspace: Workspace, candidate: ModelVersion, bundle: Bundle, check: CheckSpec) -> Evidence:
    """Whether a lock resolves on a named target."""
    name, _, python = check.where.partition(" ")
    platform = "" if name == "here" else name
    environment = bundle.environment
    differing: list[str] = []
    unknown = ""
    packages: tuple[LockedPackage, ...] = ()
    if environment is None:
        unknown = "the bundle names no lock"
    else:
        packages = packages_of(workspace, environment)
        python = python or environment.python
        if _minor(python) != _minor(environment.python):
            differing.append(f"Python {environment.python} in the lock, {python} on the target")
        try:
            faults, unknown = resolve(workspace, packages, platform, python, ask_index=bool(check.limit))
            differing += faults
        except MissingExtra as problem:
            unknown = str(problem)
    return make.environment(
        candidate.bundle,
        workspace.clock.now(),
        differing=differing,
        checked=len(packages),
        where=check.where,
        unknown="" if differing else unknown,
    )


def _minor(python: str) -> tuple[str, ...]:
    return tuple(python.split(".")[:2])
