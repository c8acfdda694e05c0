"""`slipway card` and `slipway documents`: model cards, data sheets, Annex IV drafts, bills of materials, provenance."""

from pathlib import Path
from typing import Any

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns
from slipway.errors import Conflict, InvalidInput
from slipway.operations.documents import Answered, Attested, Bom, Documents
from slipway.records.documents import Document, DocumentKind

__all__ = ["card", "documents"]

_KINDS = ("card", "datasheet", "annex-iv")
_FORMATS = ("markdown", "html", "json", "pdf")
_SUFFIXES = {".md": "markdown", ".html": "html", ".htm": "html", ".json": "json", ".pdf": "pdf"}


def _shape(function: Any) -> Any:
    """The options that say in which form a document is written, and where to."""
    for option in (
        click.option(
            "--format",
            "form",
            type=click.Choice(_FORMATS),
            help="The form.  [default: by the ending of --out, else markdown]",
        ),
        click.option(
            "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a file."
        ),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("model")
@_shape
@opened
def card(door: Door, model: str, form: str | None, out: Path | None) -> None:
    """Show the card of MODEL, MODEL@3 or MODEL@champion: what evidence tells, what people answered, what is missing."""
    _show(door, "card", model, form, out)


@click.group()
def documents() -> None:
    """Show documents that fill themselves, and answer what they ask."""


@documents.command("list")
@opened
def list_(door: Door) -> None:
    """List the documents of models and tables, and how far each is filled."""
    door.show(door.call("documents.list"), _list_text)


@documents.command()
@click.argument("kind", type=click.Choice(_KINDS), metavar="card|datasheet|annex-iv")
@click.argument("name")
@_shape
@opened
def show(door: Door, kind: DocumentKind, name: str, form: str | None, out: Path | None) -> None:
    """Show a document of NAME, a model or for "datasheet" a table; NAME@3 is that of version 3."""
    _show(door, kind, name, form, out)


@documents.command()
@click.argument("kind", type=click.Choice(_KINDS), metavar="card|datasheet|annex-iv")
@click.argument("name")
@click.argument("field")
@click.argument("text", required=False, default="")
@opened
def answer(door: Door, kind: DocumentKind, name: str, field: str, text: str) -> None:
    """Answer the question FIELD of a document; without TEXT, say that the answer before still holds."""
    given = door.call("documents.answer", kind=kind, name=name, field=field, text=text)
    door.show(given, _answer_text)


@documents.command()
@click.argument("model")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a file.")
@opened
def bom(door: Door, model: str, out: Path | None) -> None:
    """Show what MODEL consists of, as a CycloneDX 1.6 bill of materials in JSON."""
    name, version = _meant(model)
    found: Bom = door.call("documents.bom", name=name, version=version or "latest")
    _write(found.text.encode(), out)


@documents.command()
@click.argument("model")
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where the three files go.  [default: here]",
)
@opened
def attest(door: Door, model: str, out: Path) -> None:
    """Sign where MODEL comes from: SLSA provenance, a Sigstore bundle over it, and the public key."""
    name, version = _meant(model)
    number = door.call("models.get", name=name, version=version or "latest").version.number
    paths = _free(out, f"{name}-{number}")  # what is there already is found before anything is signed
    found: Attested = door.call("documents.attest", name=name, version=str(number))
    out.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, (found.statement, found.signed, found.public_key), strict=True):
        path.write_text(text, encoding="utf-8")
    door.show(found, lambda _: "\n".join(f"Written: {path}" for path in paths))


def _free(out: Path, stem: str) -> list[Path]:
    paths = [out / f"{stem}.{end}" for end in ("provenance.json", "provenance.sigstore.json", "pub")]
    for path in paths:
        if path.exists():
            raise Conflict(f"{path} is there already.", fix="Name another folder: --out FOLDER")
    return paths


def _meant(given: str) -> tuple[str, str]:
    """A name and the version after its @, or after its colon as elsewhere; "" for none."""
    for mark in ("@", ":"):
        name, found, version = given.rpartition(mark)
        if found:
            if not name or not version:
                raise InvalidInput(f"{given!r} names no version.", fix="Write MODEL, MODEL@3 or MODEL@champion.")
            return name, version
    return given, ""


def _show(door: Door, kind: DocumentKind, given: str, form: str | None, out: Path | None) -> None:
    from slipway.charts.documents import html, markdown

    name, version = _meant(given)
    chosen = form or _form_of(out)
    if chosen == "pdf" and out is None:
        raise InvalidInput("A PDF is no text for a terminal.", fix=f"Name a file: --out {name}.pdf", field="out")
    found: Document = door.call("documents.get", kind=kind, name=name, version=version)
    if out is None and (door.as_json or chosen == "json"):
        from slipway.cli.layout import print_json

        print_json(found)
    elif chosen == "pdf":
        from slipway.plugins import load

        _write(load("document", "pdf")(found), out)
    elif chosen == "json":
        from slipway.operations import wire

        _write(wire.encode(found) + b"\n", out)
    else:
        _write((html if chosen == "html" else markdown)(found).encode(), out)


def _form_of(out: Path | None) -> str:
    """The form that a file's ending says."""
    if out is None:
        return "markdown"
    ending = out.suffix.lower()
    if ending not in _SUFFIXES:
        raise InvalidInput(
            f"The ending of {out} says no form that a document has.",
            fix=f"Name a file that ends in {', '.join(_SUFFIXES)}, or say the form: --format markdown",
            field="out",
        )
    return _SUFFIXES[ending]


def _write(data: bytes, out: Path | None) -> None:
    if out is None:
        click.echo(data.decode(), nl=False)
        return
    try:
        out.write_bytes(data)
    except OSError as problem:
        raise InvalidInput(
            f"{out} cannot be written: {problem.strerror}.", fix="Name a file in a folder that is there: --out FILE"
        ) from problem
    click.echo(f"Written: {out}", err=True)


def _list_text(answer: Documents) -> str:
    rows = [
        (
            one.kind,
            f"{one.name} {one.version}",
            *(f"{number:,}" for number in (one.auto, one.asked, one.missing, one.stale)),
        )
        for one in answer.documents
    ]
    return columns(
        ("document", "of", "from evidence", "answered", "missing", "stale"),
        rows,
        empty="There is no model and no table yet: slipway run brings some.",
    )


def _answer_text(answer: Answered) -> str:
    field = answer.field
    left = f"Still asked: {', '.join(answer.missing)}" if answer.missing else "Nothing else is asked."
    return f"{field.title}: {field.text}\n{left}"
