"""What a registered version is: a signed bundle that answers as the trained model."""

import json

import pytest

from conformance_journey.world import NAME, World
from slipway.errors import Conflict, GateRefused, InvalidInput, NotFound
from slipway.records.gates import GateSpec


def registered(world: World) -> None:
    """A pipeline that returns a model makes version 1, with the run that made it."""
    assert world.first.version
    told = world.call("models.get", name=NAME, version="1")
    assert (told.version.number, told.version.run_id) == (1, world.first.run.id)


def numbered(world: World) -> None:
    """Another parameter makes the next version; `latest` names it."""
    assert world.second.version
    assert world.call("models.get", name=NAME, version="latest").version.number == 2


def signature(world: World) -> None:
    """A version's signature names its inputs in their order, with their types."""
    bundle = world.call("models.get", name=NAME, version="1").bundle
    names = ["region_size_1d", "region_seen_1d", "load_now_load", "is_large", "size", "region"]
    assert [one.name for one in bundle.signature.inputs] == names


def measured(world: World) -> None:
    """A version carries the metrics of its evaluation, overall and by slice."""
    assert world.first.version
    metrics = world.first.version.metrics
    assert 0.6 < metrics["auc"] < 1
    assert {"auc[region=east]", "auc[region=north]", "auc[region=west]"} <= set(metrics)


def parity(world: World) -> None:
    """The package answered as the trained model, bit for bit, before it was registered."""
    outcomes = {one.kind: one for one in world.deployed.verdict.outcomes}
    assert outcomes["parity"].result == "passed"
    assert "by the package as by the trained model, bit for bit" in outcomes["parity"].found


def lineage(world: World) -> None:
    """A version's lineage leads to the versions of the tables it learnt from."""
    links = str(world.call("models.get", name=NAME, version="1").lineage)
    version = world.module.orders.history()[0].version
    assert f"table:shop/orders@{version}" in links


def moved(world: World) -> None:
    """What moved between two versions is told by its parts."""
    assert world.second.version
    told = world.call("models.diff", target=f"{NAME}:2", before=f"{NAME}:1")
    assert "data" in told.same
    assert "rounds" in str([one.changes for one in told.moved])


def searched(world: World) -> None:
    """Versions are found by their metrics and numbers."""
    assert world.second.version
    found = world.call("models.search", where=f"number > 1 and name = '{NAME}'").models
    assert [row.version.number for row in found] == [2]


def aliased(world: World) -> None:
    """An alias points at a version, and names it."""
    assert world.second.version
    assert world.call("models.alias", name=NAME, version="2", alias="challenger", reason="to try").before == 0
    assert world.call("models.get", name=NAME, version="challenger").version.number == 2


def alias_history(world: World) -> None:
    """Each move of an alias is kept with who and why."""
    (move,) = world.call("models.history", name=NAME, alias="challenger").moves
    assert (move.number, move.before, move.reason) == (2, 0, "to try")
    assert move.actor.name


def what_if(world: World) -> None:
    """A version is asked about a stored row with an input changed."""
    told = world.call("models.what_if", name=NAME, version="1", changed='{"size": 3.0}')
    assert told.after is not None
    assert told.after.values["size"] == 3.0
    assert told.after.score > told.before.score


def explained(world: World) -> None:
    """The contributions of the inputs add up to the score."""
    told = world.call("models.what_if", name=NAME, version="1").before.explanation
    total = told.base + sum(one.contribution for one in told.contributions) + told.rest
    assert total == pytest.approx(told.score)


def unknown_input(world: World) -> None:
    """An input that the model does not take is refused by name."""
    with pytest.raises(InvalidInput, match="weight"):
        world.call("models.what_if", name=NAME, version="1", changed='{"weight": 3.0}')


def no_such_version(world: World) -> None:
    """A version that does not exist is told with the newest one."""
    with pytest.raises(NotFound, match="has no version '9'"):
        world.call("models.get", name=NAME, version="9")


def no_such_model(world: World) -> None:
    """A model that does not exist is told with those that do."""
    with pytest.raises(NotFound, match=NAME):
        world.call("models.get", name="shoop")


def card(world: World) -> None:
    """A version's card is made of evidence, and says what nobody answered."""
    told = world.call("documents.get", kind="card", name=NAME, version="1")
    states = {field.name: field.state for section in told.sections for field in section.fields}
    assert states["type"] == "auto"
    assert "purpose" in states


def answered(world: World) -> None:
    """What people answer stands in the card, with who said it."""
    purpose = "Whether an order comes late."
    told = world.call("documents.answer", kind="card", name=NAME, field="purpose", text=purpose)
    assert (told.field.text, told.field.by) == (purpose, world.workspace.actor.name)


def bill(world: World) -> None:
    """A version's bill of materials is CycloneDX, with the libraries of its environment."""
    told = json.loads(world.call("documents.bom", name=NAME, version="1").text)
    assert told["bomFormat"] == "CycloneDX"
    assert "lightgbm" in {one["name"] for one in told["components"]}


def attested(world: World) -> None:
    """A version's provenance is an in-toto statement about the files of its bundle."""
    told = json.loads(world.call("documents.attest", name=NAME, version="1").statement)
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["subject"][0]["name"] == "manifest.json"


def gate_passes(world: World) -> None:
    """A gate passes with the figure, its interval and the number of rows."""
    told = world.call("gates.check", model=NAME, version="2").verdict
    (auc,) = (one for one in told.outcomes if one.kind == "metric")
    assert told.passed
    assert auc.values["low"] < auc.values["value"] < auc.values["high"]
    assert auc.values["n"] > 200


def gate_refuses(world: World) -> None:
    """A gate that asks for more refuses, and says by how much it is missed."""
    checks = world.module.sw.Gate(world.module.sw.metric("auc") >= 0.99).spec
    assert isinstance(checks, GateSpec)
    told = world.call("endpoints.deploy", model=NAME, version="2", dry_run=True, gate=checks).verdict
    assert not told.passed
    (refused,) = (one for one in told.outcomes if one.result == "refused")
    assert refused.check == "auc at least 0.99"
    assert refused.fix.startswith("It misses by ")


def verdict_kept(world: World) -> None:
    """Verdicts are kept with the version that they are about."""
    told = world.call("models.get", name=NAME, version="1")
    assert world.deployed.verdict.id in {one.id for one in told.verdicts}


def approved(world: World) -> None:
    """An approval is bound to the digest of the version's bundle, and lapses."""
    kept = world.call("approvals.grant", model=NAME, version="2", comment="as agreed").approval
    assert world.second.version
    assert kept.bundle == world.second.version.bundle
    assert kept.expires_at == world.clock.now().replace(month=4, day=12)


def rejected(world: World) -> None:
    """A word can be no: it is kept beside the others."""
    world.call("approvals.grant", model=NAME, version="2", decision="rejected", comment="not yet")
    assert "rejected" in {one.decision for one in world.call("models.get", name=NAME, version="2").approvals}


def wrong_decision(world: World) -> None:
    """A word that is neither yes nor no is refused."""
    with pytest.raises(InvalidInput, match="perhaps"):
        world.call("approvals.grant", model=NAME, version="2", decision="perhaps")


def dry_run(world: World) -> None:
    """A dry run judges and says what it would change, and changes nothing."""
    told = world.call("endpoints.deploy", model=NAME, version="2", dry_run=True)
    assert (told.verdict.passed, told.revision) == (True, None)
    assert world.ask().json()["model"]["version"] == 1


def overtaken(world: World) -> None:
    """A deployment that was decided in view of another revision is a conflict."""
    with pytest.raises(Conflict, match="This was decided in view of revision 7"):
        world.call("endpoints.deploy", model=NAME, version="2", expect=7)


def floor_refuses(world: World) -> None:
    """What an environment asks of every model refuses one that lacks it."""
    world.call("floors.set", environment="dev", checks=["sw.approval('accountable')"], reason="as agreed")
    try:
        with pytest.raises(GateRefused):
            world.call("endpoints.deploy", model=NAME, version="2")
    finally:
        world.call("floors.set", environment="dev", checks=[], reason="as before")
    assert world.ask().json()["model"]["version"] == 1


def deployed(world: World) -> None:
    """Another version serves at the same address, as the next revision."""
    told = world.call("endpoints.deploy", model=NAME, version="2", at_once=True)
    assert (told.revision.number, told.revision.served.number) == (2, 2)
    answer = world.ask().json()
    assert (answer["model"]["version"], answer["revision"]) == (2, 2)


def champion(world: World) -> None:
    """The alias champion follows what serves."""
    assert world.call("models.get", name=NAME, version="champion").version.number == 2


def rolled_back(world: World) -> None:
    """A rollback lets the version before serve again, with the answers of then."""
    before = world.kept["answer"]
    told = world.call("endpoints.rollback", name=NAME)
    assert (told.revision.number, told.revision.served.number) == (3, 1)
    assert world.ask().json()["predictions"][0]["score"] == before


def first_answer(world: World) -> None:
    """A version that is deployed answers at the address that the deployment told."""
    world.kept["answer"] = world.ask().json()["predictions"][0]["score"]
    assert world.ask().json()["model"]["version"] == 1


def served_when(world: World) -> None:
    """What served since when is told, with the verdict that let it through."""
    served = world.call("audit.serving", endpoint=NAME).served
    assert sorted((one.revision, one.arms[0].version) for one in served) == [(1, 1), (2, 2), (3, 1)]
    assert all(one.verdict for one in served)


def held(world: World) -> None:
    """A version that serves cannot be put into the trash."""
    with pytest.raises((Conflict, InvalidInput)):
        world.call("trash.put", items=[f"model:{NAME}:1"])
    assert world.ask().status_code == 200


BEHAVIOURS = (
    registered,
    numbered,
    signature,
    measured,
    lineage,
    moved,
    searched,
    aliased,
    alias_history,
    what_if,
    explained,
    unknown_input,
    no_such_version,
    no_such_model,
    card,
    answered,
    bill,
    attested,
    gate_passes,
    gate_refuses,
    first_answer,
    parity,
    verdict_kept,
    dry_run,
    overtaken,
    floor_refuses,
    deployed,
    champion,
    rolled_back,
    served_when,
    held,
    approved,
    rejected,
    wrong_decision,
)
