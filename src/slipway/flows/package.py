"""Package: a trained model becomes a bundle in the registry, with the code, data and run that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from slipway import code
from slipway.flows.held_out import held_out_from
from slipway.flows.routes import prove_routes
from slipway.hashing import combine, fingerprint
from slipway.ledger import entries, events, locks, origins, provenance
from slipway.models import registry
from slipway.models.bundle import LoadedModel
from slipway.models.model import Model
from slipway.models.packing import Packed, pack
from slipway.ports.workspace import Workspace
from slipway.records.features import FeatureSetSpec, SkewCertificate, TrainingSet
from slipway.records.models import ImportProof, ModelVersion
from slipway.records.runs import Environment, Run

__all__ = ["Moving", "package"]

CONTENT = "slipway.content"


def package(
    workspace: Workspace,
    model: Model,
    run: Run,
    *,
    name: str,
    features: FeatureSetSpec | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    training: TrainingSet | None = None,
    certificate: SkewCertificate | None = None,
    moving: Moving | None = None,
) -> ModelVersion:
    """Make a bundle of a model and register it as the next version of its name; the very same model is no new version.

    Args:
        workspace: Where it goes.
        model: The trained model.
        run: The run that made it: its code, environment and inputs are the bundle's.
        name: The model's name.
        features: The feature set that its inputs come from, None when it takes them as they are.
        functions: The scalar features' functions by name; their code goes into the bundle.
        training: What it was trained on, where that was a training set of features.
        certificate: What came out of comparing the features' paths, None where there are no features.
        moving: What compares the package with the original, of a model that comes from elsewhere.

    Raises:
        InvalidInput: The package does not answer as the model does.
        InvalidDeclaration: The features' code cannot be taken out of the project.
    """
    sources = code.extract(list((functions or {}).values()))
    data = [node for node in run.inputs if node.startswith("table:")]
    simulated = _simulated(workspace, data)
    environment, installed = _environments(workspace, run)
    held_out = held_out_from(workspace, model, run, training)
    skew = "" if certificate is None else certificate.sentence
    parts = (sources, features, data, installed, training.fingerprint if training else "", skew, held_out)
    content = _content(model, parts, simulated, moving)
    if (former := _former(workspace, name, content, moving)) is not None:
        return former
    packed = pack(
        workspace,
        model,
        name=name,
        through=prove_routes if moving is None else moving.through,
        features=features,
        code=sources,
        modules=_modules(sources),
        environment=environment,
        code_version=run.code,
        data=data,
        training_set=training.fingerprint if training else "",
        run_id=run.id,
        certificate=certificate,
        trained_until=training.last_at if training else None,
        held_out_from=held_out,
        simulated=simulated,
    )
    if moving is None:
        return registry.register(workspace, packed, run_id=run.id, tags={CONTENT: content})
    return moving.registered(workspace, packed, run, content)


def _content(model: Model, parts: tuple[object, ...], simulated: tuple[str, ...], moving: Moving | None) -> str:
    """What tells a model apart from every other; the simulated tables and the original only where there are any."""
    more = (*((simulated,) if simulated else ()), *((moving.key,) if moving is not None else ()))
    return combine(model.slipway_fingerprint(), fingerprint((*parts, *more)))


def _former(workspace: Workspace, name: str, content: str, moving: Moving | None) -> ModelVersion | None:
    """The newest version where it is this very model; of a version that gets its bundle now there is none."""
    former = next(iter(registry.versions(workspace, name)), None) if moving is None or moving.onto is None else None
    if former is None or former.tags.get(CONTENT) != content:
        return None
    workspace.say(f"Unchanged: {name} version {former.number} is this very model (bundle {former.bundle[:12]}).")
    return former


@dataclass(slots=True, kw_only=True)
class Moving:
    """What a model brings along that comes from elsewhere.

    Args:
        key: Tells apart what it is compared by: the digests of the original and of the sample.
        compare: Asks the package for the original's rows.
        onto: The version that has its files already; None to make it the next version.
        keep_run: Whether the run is written down with the version; not of one that is there already.
        proof: What `compare` found, once the package was asked.
    """

    key: str
    compare: Callable[[LoadedModel], ImportProof]
    onto: ModelVersion | None = None
    keep_run: bool = True
    proof: ImportProof | None = None

    def through(self, model: LoadedModel) -> str:
        """Ask the package in every protocol, and as the original was asked: see `pack`."""
        said = prove_routes(model)
        self.proof = self.compare(model)
        return f"{said} {self.proof.sentence}".lstrip()

    def registered(self, workspace: Workspace, packed: Packed, run: Run, content: str) -> ModelVersion:
        """Make it a version, with its run and the proof; rows that differ are told by a tag too."""
        assert self.proof is not None  # packing asks
        tags = {CONTENT: content, "slipway.imported": self.proof.door}
        if self.proof.apart:
            tags["slipway.imported.differs"] = f"{self.proof.apart} rows: {self.proof.accepted}"
        if self.keep_run:
            with workspace.ledger.write() as tx:
                entries.put(tx, run, expect=0)
                events.record(
                    tx, workspace, "runs.finish", f"run:{run.id}", name=run.name, pipeline="", state=run.state
                )
        if self.onto is not None:
            return registry.attach(workspace, self.onto, packed, tags=tags, imported=self.proof)
        return registry.register(workspace, packed, run_id=run.id, tags=tags, imported=self.proof)


def _environments(workspace: Workspace, run: Run) -> tuple[Environment, Environment]:
    """The environment as the bundle names it, and what is installed."""
    environment = run.environment or provenance.environment()
    # What is installed says whether it is the very same model: a lock depends on which code is loaded beside it.
    installed = environment if environment.lock else provenance.environment()
    # A bundle goes where the store is not: it names its packages itself.
    return msgspec.structs.replace(environment, lock=locks.names_of(workspace.blobs, environment)), installed


def _simulated(workspace: Workspace, data: Sequence[str]) -> tuple[str, ...]:
    with workspace.ledger.read() as tx:
        return origins.simulated(tx, data)


def _modules(sources: Mapping[str, str]) -> Sequence[str]:
    paths = [path.removesuffix(".py").removesuffix("/__init__") for path in sources]
    return [path.replace("/", ".") for path in paths]
