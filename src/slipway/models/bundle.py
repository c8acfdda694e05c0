"""Released bundles: fetched, verified to the last byte, loaded, and asked. An endpoint needs nothing else of a model.

Loading imports the model's own framework and no other: neither Polars nor the project that trained it. A compiled model
is loaded and asked without that too.

Everything that the manifest names must be there with its very bytes. The one exception is the reference sample: it holds
training rows, and goes when a person's rows are erased. A bundle without it answers as before and cannot be checked again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.hashing import digest, digest_file
from slipway.models.compiled.program import decode_program
from slipway.models.compiled.running import Compiled
from slipway.models.compiled.tree_shares import Shares, tree_shares
from slipway.models.explain import TREES, Explainer
from slipway.models.formats import format_named
from slipway.models.manifest import decode_manifest
from slipway.models.own_code import OWN, own_imports
from slipway.models.prepared import load_prepared
from slipway.models.scoring import TOLERANCE, Scorer
from slipway.models.state import Case
from slipway.ports.model_format import FrameColumn, ModelFormat
from slipway.ports.signer import Signer
from slipway.ports.workspace import Workspace
from slipway.records.explanations import Explanation
from slipway.records.models import Bundle, Decision
from slipway.records.schema import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "COMPILED", "LAYOUT", "MANIFEST", "MODEL", "NO_SAMPLE", "PAYLOAD_TYPE", "SAMPLE", "SIGNATURE", "LoadedModel", "SelfCheck",
    "check_cases", "decode_cases", "load", "unpack", "verify",
]  # fmt: skip

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
LAYOUT = "layout.json"
"""How the estimator is asked: the pandas columns that it was fitted on, none when it takes the encoded matrix."""
SAMPLE = "sample.json"
"""Training rows and edge cases with the trained estimator's own answers. It may have been erased."""
MODEL = "model"
COMPILED = "compiled.bin"
"""The estimator as a program of plain data, where there is one that was proven to answer as it does."""
PAYLOAD_TYPE = "application/vnd.slipway.bundle+json"
NO_SAMPLE = (
    "the reference sample was erased with a person's rows, so that no answer was compared with those of training"
)
_Ask = Callable[[Sequence[Sequence[Any]]], Sequence[float]]
_FETCH_ANEW = "Deploy the version again: its files are fetched anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What came of asking a loaded model its reference sample again.

    Args:
        rows: How many rows were asked; 0 where the sample was erased.
        greatest: The greatest difference from the answers given at packaging.
        is_erased: Whether the sample is not there any more.
    """

    rows: int = 0
    greatest: float = 0.0
    is_erased: bool = False

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        return (
            NO_SAMPLE if self.is_erased else f"asked {self.rows} reference rows, greatest difference {self.greatest:g}"
        )


class _Kept:
    """The estimator in a bundle's folder, loaded when it is first needed: that imports its framework. Safe for threads.

    That may be long after the bundle was verified, so its files are verified again.
    """

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self._folder, self._bundle = folder, bundle
        self._loading = threading.Lock()
        self._loaded: tuple[ModelFormat, Any] | None = None

    def __call__(self) -> tuple[ModelFormat, Any]:
        if self._loaded is None:
            with self._loading:
                if self._loaded is None:
                    for file in self._bundle.files:
                        if PurePosixPath(file.path).parts[0] in (MODEL, OWN):
                            _check_file(self._folder, file.path, file.digest)
                    format = format_named(self._bundle.format)
                    with own_imports(self._folder):
                        self._loaded = (format, format.load(self._folder / MODEL))
        return self._loaded


class LoadedModel:
    """A bundle's model, ready to answer. Safe for threads.

    A compiled estimator answers without the framework that trained it; the estimator itself is loaded for the first row
    that needs it.

    Args:
        folder: The unpacked bundle.
        bundle: Its manifest.

    Raises:
        Corrupt: Its files are not what packing writes.
    """

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder = folder
        self.bundle = bundle
        layout, compiled = _layout(folder), _compiled(folder, bundle.signature)
        self._prepared = load_prepared(folder)
        original = _Kept(folder, bundle)
        if compiled is None:
            original()  # each row is for it
        self._scorer = Scorer(
            original, bundle.task, bundle.signature, layout, self._prepared, compiled, bundle.decision
        )
        self._explainer = Explainer(
            self._scorer, bundle.task, self.cases, has_trees=bundle.format in TREES, trees=self._tree_shares
        )

    def _tree_shares(self) -> Shares | None:
        """Of the compiled estimator, read anew: no process keeps it that is never asked to explain."""
        if not self._scorer.is_compiled:
            return None
        for file in self.bundle.files:
            if file.path == COMPILED:
                _check_file(self.folder, file.path, file.digest)
        program = decode_program((self.folder / COMPILED).read_bytes())
        return None if program is None else tree_shares(program)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.bundle.signature

    @property
    def is_compiled(self) -> bool:
        """Whether rows are answered without the estimator, as far as they are usual."""
        return self._scorer.is_compiled

    @property
    def decision(self) -> Decision:
        """What is done with a score."""
        return self.bundle.decision

    def predict_rows(self, rows: Sequence[Sequence[Any]]) -> list[float]:
        """The scores of rows of plain values in the signature's order.

        Raises:
            InvalidInput: A value does not fit, or the model refuses the row.
        """
        if len(rows) == 1 and (score := self._scorer.alone(rows[0])) is not None:
            return [score]
        scores: list[float] = self._scorer.rows(rows).tolist()
        return scores

    def predict(self, frame: Any) -> NDArray[np.float64]:
        """The scores of a Polars or pandas frame's rows, equal to those of `predict_rows`; columns are found by name.

        Raises:
            InvalidInput: A column is missing or of another type, or the model refuses a row.
        """
        return self._scorer.frame(frame)

    def explain(self, row: Sequence[Any], score: float, top: int) -> Explanation:
        """How the model's answer to one row comes about; see `Explainer`.

        Raises:
            InvalidInput: It cannot be explained.
        """
        return self._explainer(row, score, top)

    def as_seen(self, row: Sequence[Any]) -> list[Any]:
        """The values of one row as the estimator sees them."""
        return self._scorer.as_seen(row)

    def cases(self) -> tuple[Case, ...] | None:
        """The reference sample as it lies in the folder, None where it was erased. No copy of it is kept in memory.

        Raises:
            Corrupt: It is not what packing writes.
        """
        try:
            return decode_cases((self.folder / SAMPLE).read_bytes())
        except FileNotFoundError:
            return None

    def check_sample(self, *, whole: bool = False) -> SelfCheck:
        """Ask the rows of the reference sample again, together and the edge cases one by one.

        Rows that are prepared first are all asked one by one too: a request holds one row, and training held many.

        Args:
            whole: Where the estimator is compiled, ask the estimator itself too, which loads it. Without it, rows that a
                compiled estimator leaves to it are not asked, so that a process is soon ready.

        Raises:
            Corrupt: An answer differs; row and input are named.
        """
        cases = self.cases()
        if cases is None:
            return SelfCheck(is_erased=True)
        asked = cases if whole else tuple(case for case in cases if not self.is_left(case))
        alone = self._prepared is not None
        greatest = check_cases(asked, lambda rows: self._scorer.rows(rows).tolist(), alone=alone)
        if whole and self.is_compiled:
            by_estimator = self._scorer.by_estimator
            greatest = max(greatest, check_cases(asked, lambda rows: by_estimator(rows).tolist(), alone=alone))
        return SelfCheck(rows=len(asked), greatest=greatest)

    def is_left(self, case: Case) -> bool:
        """Whether a compiled estimator leaves a reference row to the estimator itself."""
        return self.is_compiled and self._scorer.needs_estimator(case.row)


def check_cases(cases: Sequence[Case], ask: _Ask, *, alone: bool = False) -> float:
    """Compare answers to reference rows with those of training, together and the edge cases one by one.

    Args:
        cases: The reference rows.
        ask: Rows of a model's inputs to a score each.
        alone: Whether all are asked one by one too.

    Returns:
        The greatest difference.

    Raises:
        Corrupt: An answer differs; row and input are named.
    """
    together = [case for case in cases if case.answer is not None]
    answers = ask([case.row for case in together]) if together else []
    differences = [_compare(case, answer) for case, answer in zip(together, answers, strict=True)]
    for case in cases:
        if case.column or case is cases[0] or alone:
            differences.append(_compare(case, _asked(ask, case.row)))
    return max(differences, default=0.0)


def _compare(case: Case, answer: float | None) -> float:
    if case.answer is None or answer is None:
        if case.answer is answer:
            return 0.0
        difference = float("inf")
    else:
        difference = abs(answer - case.answer)
        if difference <= TOLERANCE * max(1.0, abs(case.answer)):
            return difference
    said = "nothing" if answer is None else repr(answer)
    expected = "refused it" if case.answer is None else f"answered {case.answer!r}"
    where = f" (input {case.column!r})" if case.column else ""
    raise Corrupt(
        f"The loaded model answers {said} for {case.name}{where}; the trained model {expected}.",
        why="A model that answers differently here would answer differently for callers too.",
        fix="Install the versions in the bundle's lock, or pack the model again in this environment.",
    )


def _asked(ask: _Ask, row: Sequence[Any]) -> float | None:
    try:
        return float(ask([row])[0])
    except InvalidInput:
        return None


def load(folder: Path, *, expect: str = "", signer: Signer | None = None) -> LoadedModel:
    """Load an unpacked bundle after verifying every byte of it; its reference sample may have been erased.

    Args:
        folder: Where it lies.
        expect: The digest that the bundle must have, "" when the folder itself is trusted.
        signer: Verifies the signature too; a bundle without one is then refused.

    Raises:
        Corrupt: A file is missing, added or altered, there is a link, a special file or a folder of its own, the digest is
            another, or the signature does not hold.
    """
    return LoadedModel(folder, verify(folder, expect=expect, signer=signer))


def verify(folder: Path, *, expect: str = "", signer: Signer | None = None) -> Bundle:
    """Check an unpacked bundle against its manifest; see `load`."""
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except OSError as problem:
        raise Corrupt(f"{folder} holds no bundle: {problem}.") from problem
    bundle = decode_manifest(manifest)
    # Of the bytes as they were signed: a manifest of an earlier Slipway lacks what `Bundle` has gained since.
    if expect and digest(manifest) != expect:
        raise Corrupt(
            f"The bundle in {folder} has the digest {digest(manifest)[:16]}, not {expect[:16]}.",
            fix=_FETCH_ANEW,
        )
    if signer is not None:
        _verify_signature(folder, manifest, signer)
    known = {file.path: file.digest for file in bundle.files}
    present = set(_files(folder, folder, _folders_of(known)))
    for name in sorted(present - known.keys() - {MANIFEST, SIGNATURE}):
        raise Corrupt(f"The bundle in {folder} holds {name!r}, which its manifest does not name.", fix=_FETCH_ANEW)
    for name, expected in known.items():
        if name == SAMPLE and name not in present:
            continue
        _check_file(folder, name, expected)
    return bundle


def _check_file(folder: Path, name: str, expected: str) -> None:
    is_there = (folder / name).is_file()
    if not is_there or digest_file(folder / name) != expected:
        raise Corrupt(
            f"{name!r} in the bundle {folder} is {'altered' if is_there else 'missing'}.",
            fix=_FETCH_ANEW,
        )


def unpack(workspace: Workspace, manifest: str, folder: Path, *, signature: str = "", expect: str = "") -> Bundle:
    """Fetch a bundle's files into a folder and verify them. A reference sample that was erased stays away.

    Args:
        workspace: Its blobs hold the files, its signer knows the trusted keys.
        manifest: The manifest's blob digest.
        folder: A folder that is empty or does not exist.
        signature: The blob digest of the DSSE envelope over the manifest; "" only where unsigned bundles are allowed.
        expect: The digest that the bundle must have.

    Raises:
        NotFound: A blob is gone.
        Corrupt: A file is damaged, or digest or signature do not hold.
    """
    data = workspace.blobs.get(manifest)
    bundle = decode_manifest(data)
    folder.mkdir(parents=True, exist_ok=True)
    for file in bundle.files:
        target = folder / _inside(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            workspace.blobs.fetch(file.digest, target)
        except NotFound:
            if file.path != SAMPLE:
                raise
    (folder / MANIFEST).write_bytes(data)
    if signature:
        (folder / SIGNATURE).write_bytes(workspace.blobs.get(signature))
    return verify(folder, expect=expect, signer=workspace.signer if signature else None)


def decode_cases(data: bytes) -> tuple[Case, ...]:
    """The reference sample that packing wrote.

    Raises:
        Corrupt: It is none.
    """
    try:
        return msgspec.json.decode(data, type=tuple[Case, ...])
    except msgspec.DecodeError as problem:
        raise Corrupt(f"A bundle's {SAMPLE} cannot be read: {problem}.") from problem


def _compiled(folder: Path, signature: Signature) -> Compiled | None:
    path = folder / COMPILED
    program = decode_program(path.read_bytes()) if path.exists() else None
    return None if program is None else Compiled(program, [field.name for field in signature.inputs])


def _layout(folder: Path) -> tuple[FrameColumn, ...]:
    try:
        return msgspec.json.decode((folder / LAYOUT).read_bytes(), type=tuple[FrameColumn, ...])
    except FileNotFoundError as problem:
        raise Corrupt(
            f"The bundle in {folder} has no {LAYOUT}.",
            why="It was packed by an earlier Slipway, which kept the layout in the reference sample.",
            fix="Train the model again, and deploy that version: slipway run PIPELINE",
        ) from problem
    except (OSError, msgspec.DecodeError) as problem:
        raise Corrupt(f"{folder / LAYOUT} cannot be read: {problem}.", fix=_FETCH_ANEW) from problem


def _verify_signature(folder: Path, manifest: bytes, signer: Signer) -> None:
    if not (folder / SIGNATURE).exists():
        raise Corrupt(f"The bundle in {folder} is not signed.", fix="Deploy a version from the registry.")
    if signer.verify((folder / SIGNATURE).read_bytes(), PAYLOAD_TYPE) != manifest:
        raise Corrupt(f"The bundle in {folder} is signed, but its manifest is another than the signed one.")


def _folders_of(paths: Iterable[str]) -> set[str]:
    return {parent.as_posix() for path in paths for parent in PurePosixPath(path).parents}


def _files(root: Path, folder: Path, folders: set[str]) -> Iterator[str]:
    """The plain files below a folder, by their path in the bundle.

    Raises:
        Corrupt: There is a folder that no file of the manifest lies in, or something that is neither file nor folder. A
            link would bring in what nobody signed.
    """
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            name = path.relative_to(root).as_posix()
            if entry.is_file(follow_symlinks=False):
                yield name
            elif entry.is_dir(follow_symlinks=False) and name in folders:
                yield from _files(root, path, folders)
            else:
                kind = "link" if entry.is_symlink() else "folder" if entry.is_dir() else "special file"
                raise Corrupt(
                    f"The bundle in {root} holds the {kind} {name!r}, which its manifest does not imply.",
                    fix=_FETCH_ANEW,
                )


def _inside(path: str) -> PurePosixPath:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise Corrupt(f"The bundle's manifest names the file {path!r}, which lies outside of it.")
    return parts
