"""Making a bundle: files into the blobs, answers proven equal, manifest signed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from slipway.errors import Corrupt, InvalidInput
from slipway.ids import check_name
from slipway.models.bundle import COMPILED, LAYOUT, MANIFEST, MODEL, PAYLOAD_TYPE, SAMPLE, SIGNATURE, LoadedModel, load
from slipway.models.card import card
from slipway.models.manifest import bundle_digest, encode_manifest
from slipway.models.model import Model
from slipway.models.own_parts import save_own
from slipway.ports.workspace import Workspace
from slipway.records.features import FeatureSetSpec, SkewCertificate, View, Windows
from slipway.records.models import Bundle, BundleFile
from slipway.records.runs import CodeVersion, Environment
from slipway.schema.validation import check_field_names
from slipway.stats.profiles import to_bytes, weighed

__all__ = ["Packed", "pack"]

_PROFILE = "profile.bin"
_CHECK = """
import sys
from pathlib import Path
from slipway.models.bundle import load
load(Path(sys.argv[1])).check_sample(whole=True)
"""
_CARD = "card.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A bundle whose files lie in the blobs.

    Args:
        bundle: The manifest.
        digest: The bundle's digest.
        manifest: The manifest's blob digest.
        signature: The blob digest of the DSSE envelope over the manifest.
        size_bytes: Of all files.
    """

    bundle: Bundle
    digest: str
    manifest: str
    signature: str
    size_bytes: int


def pack(
    workspace: Workspace,
    model: Model,
    *,
    name: str,
    through: Callable[[LoadedModel], str] = lambda model: "",
    features: FeatureSetSpec | None = None,
    code: Mapping[str, str] | None = None,
    modules: Sequence[str] = (),
    environment: Environment | None = None,
    code_version: CodeVersion | None = None,
    data: Sequence[str] = (),
    training_set: str = "",
    run_id: str = "",
    certificate: SkewCertificate | None = None,
    trained_until: datetime | None = None,
    held_out_from: datetime | None = None,
    simulated: Sequence[str] = (),
) -> Packed:
    """Package a model, prove that the package answers as the trained model does, and sign it.

    Args:
        workspace: Where the files go; its signer signs.
        model: The trained model.
        name: The model's name in the registry.
        through: Asks the packaged model through every route that serving offers, and says in a sentence what was proven.
        features: The feature set that its inputs come from, None when it takes them as they are.
        code: The reduced modules' sources by path: "features.py".
        modules: The reduced modules, in import order.
        environment: The lock.
        code_version: Which code trained it.
        data: Lineage nodes of the table versions it was trained on.
        training_set: The fingerprint of the training rows.
        run_id: The run that made it.
        certificate: The skew certificate of the features, None without any.
        trained_until: The greatest decision time it was trained on.
        held_out_from: From this decision time on no row of its training set taught it.
        simulated: The simulated tables.

    Raises:
        InvalidInput: The package does not give the trained model's answers (row and input are named), the features are
            not the model's inputs, no request can carry a field's name, or a price depends on more than the offer.
    """
    _check(model, name, features)
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as temporary:
        _write(folder := Path(temporary), model, code or {})
        unsigned = msgspec.structs.replace(
            _proven(folder, model, name, features, through),
            modules=tuple(modules),
            environment=environment,
            code=code_version or CodeVersion(),
            data=tuple(data),
            training_set=training_set,
            certificate=certificate,
            run_id=run_id,
            trained_until=trained_until,
            held_out_from=held_out_from,
            simulated=tuple(simulated),
        )
        return _sealed(workspace, folder, unsigned, model)


def _check(model: Model, name: str, features: FeatureSetSpec | None) -> None:
    check_name(name, "model")
    _check_features(model, features)
    check_field_names(_sent_names(model, features))
    _check_offer(model, features)


def _of_model(model: Model, name: str) -> Bundle:
    """The part of a manifest that the model itself tells."""
    return Bundle(
        model=name,
        format=model.state.format,
        task=model.task,
        files=(),
        signature=model.signature,
        decision=model.decision,
        metrics=model.evaluation.metrics if model.evaluation else (),
        label=model.evaluation.label if model.evaluation else "",
        overlap=model.evaluation.overlap if model.evaluation else None,
        explained=model.state.explained,
    )


def _proven(
    folder: Path, model: Model, name: str, features: FeatureSetSpec | None, through: Callable[[LoadedModel], str]
) -> Bundle:
    """The same with what was proven of the files, to which the compiled model is added."""
    parity = prove(folder, model)  # of the estimator itself: it is asked before a compiled one is there
    found = msgspec.structs.replace(_of_model(model, name), features=features, compiled=_compile(folder, model))
    return msgspec.structs.replace(found, parity=f"{parity} {through(LoadedModel(folder, found))}".rstrip())


def _sealed(workspace: Workspace, folder: Path, unsigned: Bundle, model: Model) -> Packed:
    """The files with their card put into the blobs, and the manifest over them signed and read back."""
    (folder / _CARD).write_text(card(unsigned), encoding="utf-8")
    judged_on = workspace.blobs.put(model.evaluated) if model.evaluated else ""
    bundle = msgspec.structs.replace(unsigned, files=_store(workspace, folder), evaluated=judged_on)
    manifest = encode_manifest(bundle)
    envelope = workspace.signer.sign(manifest, PAYLOAD_TYPE)
    (folder / MANIFEST).write_bytes(manifest)
    (folder / SIGNATURE).write_bytes(envelope)
    load(folder, expect=bundle_digest(bundle), signer=workspace.signer)
    if _may_be_own(model):
        _prove_elsewhere(folder)
    return Packed(
        bundle=bundle,
        digest=bundle_digest(bundle),
        manifest=workspace.blobs.put(manifest),
        signature=workspace.blobs.put(envelope),
        size_bytes=sum(file.size_bytes for file in bundle.files),
    )


def prove(folder: Path, model: Model) -> str:
    """Ask the packaged model for every reference row and edge case, from files alone.

    Args:
        folder: The bundle's files.
        model: The trained model, whose own answers are in its cases.

    Returns:
        The sentence for the manifest.

    Raises:
        InvalidInput: An answer differs; row and input are named.
    """
    loaded = LoadedModel(folder, _of_model(model, "draft"))
    try:
        greatest = loaded.check_sample().greatest
    except Corrupt as problem:
        raise InvalidInput(
            f"The packaged model is not the trained one. {problem.what}",
            why=_reason(model, problem.what),
            fix="Make the pipeline treat the value alike (one kind of missing value, no randomness), and train again.",
        ) from problem
    if not model.state.cases:
        return "No answer was compared: the rows that were kept with the trained model were erased."
    rows = sum(not case.column for case in model.state.cases)
    edges = len(model.state.cases) - rows
    how = "bit for bit" if greatest == 0 else f"to {greatest:.1e}"
    return f"{rows} training rows and {edges} edge cases answered by the package as by the trained model, {how}."


def _compile(folder: Path, model: Model) -> str:
    """Add the compiled estimator to the bundle's files, if it has a form that is proven to answer alike.

    Returns:
        The sentence for the manifest.
    """
    found = model.compiled()
    if found.data is not None:
        (folder / COMPILED).write_bytes(found.data)
    return found.sentence


def _prove_elsewhere(folder: Path) -> None:
    """Load the bundle in a new process that sees installed packages only, as an endpoint does.

    Raises:
        InvalidInput: It needs code that only the project has.
    """
    done = subprocess.run(
        [sys.executable, "-E", "-P", "-c", _CHECK, str(folder)], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = done.stderr.strip().rpartition("\n")[2]
        raise InvalidInput(
            f"The packaged model does not load in a process of its own: {told}",
            why="An endpoint has the installed packages and the classes that the model consists of, and not the project.",
            fix="Let its classes import what they need at the top of their module, and read no files of the project.",
        )


def _may_be_own(model: Model) -> bool:
    """Whether the model may hold classes that are not its framework's."""
    return model.state.format == "pickle" or bool(model.state.trust)


def _reason(model: Model, sentence: str) -> str:
    """Which input looks different to the packaged model than it did in training, where that can be seen."""
    for case in model.state.cases:
        if case.name in sentence and case.column:
            return f"The input {case.column!r} is treated differently."
    return "Its answers for training rows must be those of training."


def _check_features(model: Model, features: FeatureSetSpec | None) -> None:
    if features is None:
        return
    given = {field.name for field in features.features}
    lacking = [field.name for field in model.signature.inputs if field.name not in given]
    if lacking:
        raise InvalidInput(
            f"The model takes {', '.join(repr(name) for name in lacking)}, which the feature set "
            f"{features.name!r} does not have.",
            why="An endpoint could not compute it.",
            fix="Train on the feature set's names: sw.inputs(rows, features).",
        )


def _check_offer(model: Model, features: FeatureSetSpec | None) -> None:
    """Two callers with the same offer get the same price: nothing else that a request carries may reach it."""
    if not model.decision.is_price:
        return
    asked = model.signature.inputs if features is None else features.request
    besides = [field.name for field in asked if field.name not in model.decision.offer]
    if besides:
        raise InvalidInput(
            f"The price depends on {', '.join(repr(name) for name in besides)}, which is no field of the offer.",
            why=f"The same offer ({', '.join(model.decision.offer)}) must cost the same, whoever asks.",
            fix="Leave it out of the model's features, or, if it belongs to the offer, name it: sw.price(offer=[...]).",
            field=besides[0],
        )


def _sent_names(model: Model, features: FeatureSetSpec | None) -> list[str]:
    """The columns that an endpoint would take in: a request's, and those of pushed rows."""
    if features is None:
        return [field.name for field in model.signature.inputs]
    names = [field.name for field in features.request]
    for part in features.parts:
        if isinstance(part, Windows):
            names += [part.time, *part.by, *part.event_id, *(aggregate.column for aggregate in part.aggregates)]
        elif isinstance(part, View):
            names += [part.time, *part.entity, *(field.name for field in part.fields)]
    return names


def _write(folder: Path, model: Model, code: Mapping[str, str]) -> None:
    (folder / MODEL).mkdir()
    model.save_estimator(folder / MODEL)
    if _may_be_own(model):
        save_own(model.estimator, folder)
    model.save_prepare(folder)
    (folder / LAYOUT).write_bytes(msgspec.json.encode(model.state.layout))
    (folder / SAMPLE).write_bytes(msgspec.json.encode(model.state.cases))
    (folder / _PROFILE).write_bytes(to_bytes(weighed(model.profile, _importance(model))))
    for path, source in code.items():
        target = folder / "code" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source, encoding="utf-8")


def _importance(model: Model) -> dict[str, float] | None:
    """What the model uses each input for, where it was explained: whichever of both ways to ask finds more."""
    if model.state.explained is None:
        return None
    return {one.input: max(one.contribution, one.permuted, 0.0) for one in model.state.explained.importances}


def _store(workspace: Workspace, folder: Path) -> tuple[BundleFile, ...]:
    files = []
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        digest = workspace.blobs.put_file(path)
        files.append(
            BundleFile(path=path.relative_to(folder).as_posix(), digest=digest, size_bytes=path.stat().st_size)
        )
    return tuple(files)
