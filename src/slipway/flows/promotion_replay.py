"""The replay of a promotion: stored training rows of the source, asked of the very bytes as they serve at the target.

The rows lie where the model was made; features are looked up in the tables of the environment that it goes into. So what
is compared is what callers of that environment will get with what the model was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

from slipway.errors import GateRefused
from slipway.flows.floors import floor_in
from slipway.flows.judging import declared_endpoint
from slipway.flows.promotion_way import Came, Way
from slipway.flows.replay_rows import Served, replay_rows, without_values
from slipway.gates import evidence as make
from slipway.gates.floors import effective
from slipway.gates.judge import judge
from slipway.ports.workspace import Workspace
from slipway.records.gates import CheckSpec, GateSpec
from slipway.records.load import Replay
from slipway.records.models import Bundle, ModelVersion

__all__ = ["replayed"]

_ROWS = 500


def replayed(way: Way, bundle: Bundle) -> Came:
    """What a replay found; a difference that the gate does not tolerate ends the promotion there.

    Args:
        way: What the stage may use.
        bundle: The manifest of what is promoted.

    Returns:
        "done" where nothing differs, or nothing could be replayed and the gate asks for no replay; otherwise "failed".
    """
    asked = _asked_by_gate(way)
    check = asked or CheckSpec(kind="replayed", count=_ROWS)
    found = _found(way, bundle, check.count)
    if found.verdict == "cannot" and asked is None:
        return Came(
            sentence=f"Nothing served beside it, and no training rows could be replayed: {found.sentence.rstrip('.')}. "
            "Its gate asks for no replay, so it goes on.",
            replay=found,
        )
    version = way.here
    told = make.replayed(
        version.bundle,
        way.target.clock.now(),
        verdict=found.verdict,
        rows=found.rows,
        of=found.of,
        share=found.differing / found.rows if found.rows else 0.0,
        note=found.sentence,
    )
    (outcome,) = judge(
        GateSpec(checks=(check,)),
        [told],
        [],
        subject=version.bundle,
        at=way.target.clock.now(),
        champion_known=False,
        model=version.name,
        number=version.number,
    )
    sentence = f"{found.sentence.rstrip('.')}."
    if outcome.result == "passed":
        return Came(sentence=sentence, replay=found)
    problem = GateRefused(
        f"{version.name} {version.number} does not get in {way.target.environment} what it was trained on: {sentence}"
        if found.verdict == "differs"
        else f"{version.name} {version.number}: {outcome.found.rstrip('.')}.",
        why=f"It serves there: slipway rollback {way.promotion.endpoint}{way.env}",
        fix=f"Mend the tables of {way.target.environment}, or what differs, and give the same command again. What is "
        "corrected after the fact may differ: sw.replayed(max_share=0.01) in the gate.",
    )
    return Came(state="failed", sentence=str(problem), replay=found, problem=problem)


def _asked_by_gate(way: Way) -> CheckSpec | None:
    declared = declared_endpoint(way.target, way.promotion.endpoint, model=way.version.name)
    gate = effective(declared.gate, way.target.environment, floor_in(way.target))
    return next((check for check in gate.checks if check.kind == "replayed"), None)


def _found(way: Way, bundle: Bundle, count: int) -> Replay:
    def there(source: Workspace, version: ModelVersion, bundle: Bundle, bodies: Sequence[bytes]) -> Served:
        return way.serve(way.target, way.here, bundle, bodies)

    way.target.say(f"experiment: {count:,} training rows are asked of it as it serves in {way.target.environment}.")
    found = replay_rows(way.source, way.version, bundle, count, serve=there)
    for workspace in (way.source, way.target):  # it is kept, and read by people who may not see personal values
        found = without_values(workspace, found)
    return found
