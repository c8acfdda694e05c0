"""Evidence that is measured on processes and targets: load tests on record, a replay through HTTP, a lock elsewhere."""

from __future__ import annotations

from slipway.errors import MissingExtra
from slipway.flows.load_evidence import load_evidence
from slipway.flows.replay_rows import replay_rows, without_values
from slipway.gates import evidence as make
from slipway.ledger import locks
from slipway.pipelines import isolation
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
        lock = locks.lock_of(workspace.blobs, environment)
        packages = lock.packages if lock is not None else _named(environment.lock)
        python = python or environment.python
        if _minor(python) != _minor(environment.python):
            differing.append(f"Python {environment.python} in the lock, {python} on the target")
        own = [one for one in packages if one.wheel or one.origin]
        differing += [
            f"{one.name} {one.version} is kept as {one.file}, for this kind of machine only"
            for one in own
            if platform and not one.file.endswith("-none-any.whl")
        ]
        try:
            others = [one for one in packages if one not in own]
            said, is_unknown = isolation.opened(workspace).unresolved(
                others, platform, python, ask_index=bool(check.limit)
            )
        except MissingExtra as problem:
            said, is_unknown = str(problem), True
        if said and is_unknown:
            unknown = said
        elif said:
            differing.append(said)
    return make.environment(
        candidate.bundle,
        workspace.clock.now(),
        differing=differing,
        checked=len(packages),
        where=check.where,
        unknown="" if differing else unknown,
    )


def _named(lock: tuple[str, ...]) -> tuple[LockedPackage, ...]:
    pairs = (pinned.partition("==") for pinned in lock)
    return tuple(LockedPackage(name=name, version=version) for name, _, version in pairs)


def _minor(python: str) -> tuple[str, ...]:
    return tuple(python.split(".")[:2])
