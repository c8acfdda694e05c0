"""The built-in stages of a promotion. Each looks at what is there before it does anything, so that it may run twice."""

from __future__ import annotations

from collections.abc import Callable

from slipway.errors import Conflict, GateRefused, InvalidInput, NotFound, SlipwayError
from slipway.flows import rollouts
from slipway.flows.approve import approvals_of, authors_of
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.feed import keep_views
from slipway.flows.floors import floor_of
from slipway.flows.judging import declared_endpoint, judge_version, judge_words, refusal
from slipway.flows.promotion_replay import replayed
from slipway.flows.promotion_way import Came, Way
from slipway.flows.promotions import newest_of
from slipway.flows.trained_on import TRAINING_SET
from slipway.flows.who_can import is_hopeless, words_of
from slipway.gates.floors import effective
from slipway.governance.asked import Asked, asked
from slipway.governance.raci import ACCOUNTABLE, named
from slipway.ledger import entries
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.received import copy_known, receive, signer_of
from slipway.models.scoring import TOLERANCE
from slipway.operations.endpoints import Deploy
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import CheckSpec, Outcome
from slipway.records.models import Bundle
from slipway.records.promotions import Promotion
from slipway.records.responsibility import Letter, Stage
from slipway.records.rollouts import Rollout
from slipway.records.runs import Run

__all__ = ["STAGES"]

_ASKED_ROWS = 200


def evidence(way: Way) -> Came:
    """These very bytes have been through the environment before this one."""
    found = newest_of(way.source, way.version.name, way.source.environment, bundle=way.version.bundle)
    if found is None or found.state != "done":
        stands = f"its promotion stands at {_standing(found)!r} there" if found else "it was never promoted there"
        raise Conflict(
            f"{way.version.name} {way.version.number} is not through {way.source.environment}: {stands}.",
            why=f"What goes to {way.target.environment} has shown itself in {way.source.environment} before.",
            fix=f"slipway promote {way.version.name} --to {way.source.environment}",
        )
    shown = "; ".join(f"{one.name}: {one.sentence}" for one in found.stages if one.name in ("gate", "experiment"))
    return Came(sentence=f"Through {way.source.environment} on {found.updated_at:%Y-%m-%d}. {shown}")


def copy(way: Way) -> Came:
    """The bundle's bytes, manifest and signature are in the target's store, verified there."""
    if way.is_one_store:
        return Came(sentence=f"{way.source.environment} and {way.target.environment} share a store; nothing to copy.")
    untrusted = _untrusted(way)
    if untrusted:
        return Came(
            state="waiting",
            sentence=f"The store of {way.target.environment} does not trust the key {untrusted}, by which it was signed. "
            f"Whoever answers for {way.target.environment} compares these digits with those of the file in keys/trusted "
            f"of {way.source.environment}'s store, and trusts it once.",
            asked=_holders(way.target, "admin"),
            command=f"slipway promote {way.version.name}:{way.version.number} --to {way.target.environment} "
            f"--trust {untrusted}",
        )
    run = _run(way)
    # Who registered it, who ran what it came from, and whom an earlier store named.
    authors = [way.version.actor.name, *([run.actor.name] if run else []), *way.version.made_by]
    described = [one.digest for one in run.artifacts if one.name == TRAINING_SET] if run else []
    training = way.version.training or next(iter(described), "")
    there = receive(way.source, way.target, way.version, authors=authors, training=training)
    return Came(
        sentence=f"Version {there.number} in {way.target.environment}: digest {there.bundle[:16]} and signature hold there."
    )


def gate(way: Way) -> Came:
    """The target's gate lets it through, but for words that people have yet to give."""
    if not way.is_one_store:  # here and not when it was copied: what a gate lacks may be shown at the source meanwhile
        copy_known(way.source, way.target, way.version)
    declared = declared_endpoint(way.target, way.promotion.endpoint, model=way.version.name)
    version = way.here
    ruling = judge_version(way.target, version, registry.bundle_of(way.target, version), declared, keep=True)
    against = [one for one in ruling.outcomes if one.result in ("refused", "cannot tell")]
    if [one for one in against if is_hopeless(one) or one.kind != "approval"]:
        raise refusal(version, ruling)
    if way.features is not None:  # now, since whoever goes on after an approval may have no code at hand
        keep_views(way.target, way.features)
    passed = sum(one.result == "passed" for one in ruling.outcomes)
    asks = f"; {len(against)} ask for somebody's word" if against else ""
    return Came(
        sentence=f"{passed} of {len(ruling.outcomes)} checks passed{asks} (verdict {ruling.id}).",
        informed=_named(way, "validate", "informed"),
    )


def approval(way: Way) -> Came:
    """Everybody whose word the target's gate asks for has given it for these bytes."""
    declared = declared_endpoint(way.target, way.promotion.endpoint, model=way.version.name)
    with way.target.ledger.read() as tx:
        floor = floor_of(tx, way.target.environment)
        people = asked(tx, way.target)
    effective_gate = effective(declared.gate, way.target.environment, floor)
    checks = tuple(check for check in effective_gate.checks if check.kind == "approval")
    if not checks:
        return Came(sentence="The gate asks for nobody's word.")
    version = way.here
    outcomes = judge_words(way.target, version, checks)
    for check, outcome in zip(checks, outcomes, strict=True):
        if outcome.result == "refused":
            fix = outcome.fix if is_hopeless(outcome) else outcome.fix + way.env
            raise GateRefused(
                f"{version.name} {version.number}: {outcome.found}.", why=f"Who can help: {outcome.helper}.", fix=fix
            )
        if outcome.result != "passed":
            return _asked(way, people, check, outcome)
    return Came(sentence="; ".join(outcome.found for outcome in outcomes))


def deployed(way: Way) -> Came:
    """It serves at the target's endpoint, by way of the declared roll-out where something served before."""
    version, name = way.here, way.promotion.endpoint
    rollout = rollouts.newest(way.target, name)
    mine = rollout if rollout is not None and rollout.challenger.bundle == version.bundle else None
    if mine is not None and mine.is_under_way:
        return _rolling(way, mine)
    present = _present(way)
    if present is not None and present.served.bundle == version.bundle:
        how = f", rolled out: {mine.reason}" if mine is not None and mine.state == "promoted" else ""
        informed = _named(way, "deploy", "informed")
        return Came(sentence=f"Serves as revision {present.number} of {name}{how}.", informed=informed)
    if mine is not None and way.former == "waiting":  # it was waited for, and ended otherwise
        raise Conflict(
            f"The roll-out of {version.name} {version.number} at {name} ended: {mine.state}.",
            why=mine.reason,
            fix="The champion serves on. Promote it again for a new roll-out, or promote another version.",
        )
    deploy(way.target, Deploy(model=version.name, version=str(version.number), endpoint=name, port=way.port))
    begun = rollouts.under_way(way.target, name)
    if begun is not None and begun.challenger.bundle == version.bundle:
        return _rolling(way, begun)
    informed = _named(way, "deploy", "informed")
    return Came(sentence=f"Serves as revision {revision_of(way.target, name).number} of {name}.", informed=informed)


def experiment(way: Way) -> Came:
    """It was tried as it serves there: by its roll-out, or by rows whose inputs and answers are known, asked over HTTP."""
    version, name = way.here, way.promotion.endpoint
    rollout = rollouts.newest(way.target, name)
    if rollout is not None and rollout.challenger.bundle == version.bundle and rollout.state == "promoted":
        return Came(sentence=f"Beside {rollout.champion.model} {rollout.champion.number}: {rollout.reason}")
    bundle = registry.bundle_of(way.target, version)
    if bundle.features is not None:
        return replayed(way, bundle)
    if revision_of(way.target, name).batch is not None:
        return Came(sentence="It scores a table and answers no requests: its package was proven on its sample.")
    status = way.target.launcher.status(folder_of(way.target, name))
    if status is None or not status.url:
        raise NotFound(
            f"The endpoint {name!r} does not run in {way.target.environment}, so it cannot be asked.",
            fix=f"Deploy it again: slipway deploy {version.name} --version {version.number}{way.env}",
        )
    return _asked_again(way, bundle, status.url)


def registered(way: Way) -> Came:
    """The registries name the version by its environment."""
    environment, version = way.target.environment, way.here
    reason = f"promoted from {way.source.environment}"
    places = [(way.target, version)] + ([] if way.is_one_store else [(way.source, way.version)])
    for workspace, one in places:
        if registry.aliases(workspace, one.name).get(environment) != one.number:
            registry.set_alias(workspace, one.name, environment, one.number, reason=reason)
    return Came(sentence=f"{version.name} {version.number} is {environment!r} in the registry.")


def monitors(way: Way) -> Came:
    """What watches it is part of its revision, so that the loop takes it up by itself."""
    present = revision_of(way.target, way.promotion.endpoint)
    if not present.monitors:
        return Came(sentence="None is declared: nobody would see how it does. Add monitors=[...] to its endpoint.")
    named = ", ".join(one.name for one in present.monitors)
    return Came(sentence=f"{named}: looked at with each pass of `slipway up{way.env}`.")


STAGES: dict[str, Callable[[Way], Came]] = {
    "evidence": evidence,
    "copy": copy,
    "gate": gate,
    "approval": approval,
    "deploy": deployed,
    "experiment": experiment,
    "registry": registered,
    "monitors": monitors,
}


def _asked_again(way: Way, bundle: Bundle, url: str) -> Came:
    """The reference rows that were kept at packaging, asked of the endpoint over HTTP and compared with training's answers."""
    sample = next((file for file in bundle.files if file.path == bundles.SAMPLE), None)
    if sample is None or not way.target.blobs.has(sample.digest):
        return Came(sentence=f"Not asked: {bundles.NO_SAMPLE}.")
    names = [field.name for field in bundle.signature.inputs]
    cases = [one for one in bundles.decode_cases(way.target.blobs.get(sample.digest)) if not one.column]
    known = [one for one in cases if one.answer is not None][:_ASKED_ROWS]
    rows = [dict(zip(names, one.row, strict=True)) for one in known]
    key = [field.name for field in revision_of(way.target, way.promotion.endpoint).contract.fields]
    rows = [row | {name: "promotion" for name in key if name not in row} for row in rows]
    scores = way.ask(url, way.promotion.endpoint, rows)
    for number, (one, score) in enumerate(zip(known, scores, strict=True), 1):
        expected = one.answer if one.answer is not None else 0.0
        if abs(score - expected) > TOLERANCE * max(1.0, abs(expected)):
            raise InvalidInput(
                f"The endpoint answers {score!r} to reference row {number}; the trained model answered {one.answer!r}.",
                why="It does not answer as it was trained.",
                fix=f"Roll it back: slipway rollback {way.promotion.endpoint}{way.env}",
            )
    return Came(sentence=f"{len(known)} training rows, asked over HTTP, were answered as in training.")


def _untrusted(way: Way) -> str:
    """The key that the target would have to trust, "" where it trusts one that signed."""
    envelope = way.source.blobs.get(way.version.signature)
    try:
        way.target.signer.verify(envelope, bundles.PAYLOAD_TYPE)
    except SlipwayError:
        trusted = {path.stem for path in (way.target.root / "keys" / "trusted").glob("*.pub")}
        signers = signer_of(way.source, way.version)
        if trusted & set(signers):
            raise  # it is trusted, and the signature does not hold
        return signers[0] if signers else ""
    return ""


def _rolling(way: Way, rollout: Rollout) -> Came:
    name = way.promotion.endpoint
    last = f" {rollout.looks[-1].sentence}" if rollout.looks else ""
    return Came(
        state="waiting",
        sentence=f"In {rollout.state} beside {rollout.champion.model} {rollout.champion.number} since "
        f"{rollout.since:%Y-%m-%d %H:%M}; `slipway up{way.env}` decides.{last}",
        command=f"slipway rollout status {name}{way.env}",
        informed=_named(way, "deploy", "informed"),
    )


def _present(way: Way) -> Revision | None:
    """What serves at the target's endpoint, None where nothing was deployed there by that environment."""
    try:
        found = revision_of(way.target, way.promotion.endpoint)
    except NotFound:
        return None
    return found if found.environment == way.target.environment else None


def _standing(promotion: Promotion) -> str:
    return next((one.name for one in promotion.stages if one.state != "done"), "the end")


def _run(way: Way) -> Run | None:
    """The run that made the version, None where it is not here."""
    with way.source.ledger.read() as tx:
        known = way.version.run_id and entries.etag(tx, Run, way.version.run_id)
        return entries.get(tx, Run, way.version.run_id) if known else None


def _named(way: Way, stage: Stage, letter: Letter) -> tuple[str, ...]:
    with way.target.ledger.read() as tx:
        return named(tx, way.target, stage, letter)


def _asked(way: Way, people: Asked, check: CheckSpec, outcome: Outcome) -> Came:
    """That a word is waited for: of whom, who is consulted first, and who was told that it waits."""
    version = way.here
    given = words_of(approvals_of(way.target, version.bundle), (), way.target.clock.now()).given.get(check.role, ())
    if check.role == ACCOUNTABLE and people.rows:
        names, who = people.acting("approve", "accountable"), f" Accountable: {people.shown('approve', 'accountable')}."
    else:
        names, who = people.speakers(check.role, authors_of(way.target, version)) or (check.role,), ""
    return Came(
        state="waiting",
        sentence=f"{outcome.check[:1].upper()}{outcome.check[1:]}: {outcome.found}.{who}",
        asked=tuple(name for name in names if name not in given),
        consulted=people.acting("approve", "consulted"),
        informed=people.named("validate", "informed"),
        command=outcome.fix + way.env,
    )


def _holders(workspace: Workspace, role: str) -> tuple[str, ...]:
    """Who holds a role there; the role itself where nobody is known to."""
    with workspace.ledger.read() as tx:
        return asked(tx, workspace).holders(role) or (role,)
