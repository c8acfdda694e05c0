"""Documents that fill themselves: cards, data sheets, Annex IV drafts, bills of materials, provenance."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.documents import Document, DocumentField, DocumentKind

__all__ = [
    "AnswerField",
    "Answered",
    "Attested",
    "Bom",
    "DocumentRow",
    "Documents",
    "GetDocument",
    "OfVersion",
    "operations",
]


class DocumentRow(Struct, frozen=True, kw_only=True):
    """How far one document is filled: of the newest version of a model or table.

    Args:
        kind: Which document.
        name: Of the model or table.
        version: Its number.
        auto: Fields that evidence fills.
        asked: Fields that people answered.
        missing: Fields that say nothing.
        stale: Fields that may not hold any more.
    """

    kind: DocumentKind
    name: str
    version: int
    auto: int
    asked: int
    missing: int
    stale: int


class Documents(Struct, frozen=True, kw_only=True):
    """The documents of all models and tables that whoever asks may see."""

    documents: tuple[DocumentRow, ...]


class GetDocument(Struct, frozen=True, kw_only=True):
    """Which document.

    Args:
        kind: "card", "datasheet" or "annex-iv".
        name: Of the model; for "datasheet" of the table.
        version: A number, an alias or "latest"; of a table a hash's beginning, a tag or "".
    """

    kind: str
    name: str
    version: str = ""


class AnswerField(Struct, frozen=True, kw_only=True):
    """Answer what a document asks.

    Args:
        kind: Which document asks it; an answer counts in all documents of the model or table.
        name: Of the model or table.
        field: Which question.
        text: The answer; "" says that the one before still holds.
    """

    kind: DocumentKind
    name: str
    field: str
    text: str = ""


class Answered(Struct, frozen=True, kw_only=True):
    """The field as the document has it now, and which ones nobody answered yet."""

    field: DocumentField
    missing: tuple[str, ...]


class OfVersion(Struct, frozen=True, kw_only=True):
    """Which model and version: a number, an alias, or "latest"."""

    name: str
    version: str = "latest"


class Bom(Struct, frozen=True, kw_only=True):
    """A bill of materials.

    Args:
        name: The model's name.
        version: The version's number.
        text: CycloneDX 1.6 as JSON; the same bundle gives the same bytes.
    """

    name: str
    version: int
    text: str


class Attested(Struct, frozen=True, kw_only=True):
    """Where a bundle comes from, signed.

    Args:
        name: The model's name.
        version: The version's number.
        statement: An in-toto statement with SLSA provenance, as JSON.
        signed: A Sigstore bundle with the DSSE envelope over it, as JSON.
        public_key: As PEM: what verifies it.
    """

    name: str
    version: int
    statement: str
    signed: str
    public_key: str


operations = (
    Operation(
        name="documents.list",
        summary="List the documents of models and tables, and how far each is filled.",
        permission="documents.read",
        request=Empty,
        response=Documents,
        body="slipway.flows.documents:list_documents",
    ),
    Operation(
        name="documents.get",
        summary="Show a model's card, a table's data sheet or an Annex IV draft, each field with what it rests on.",
        permission="documents.read",
        request=GetDocument,
        response=Document,
        body="slipway.flows.documents:get_document",
    ),
    Operation(
        name="documents.answer",
        summary="Answer what a document asks because no evidence tells it.",
        permission="documents.answer",
        request=AnswerField,
        response=Answered,
        body="slipway.flows.documents:answer",
        changes=True,
    ),
    Operation(
        name="documents.bom",
        summary="Show what a version consists of, as a CycloneDX bill of materials.",
        permission="documents.read",
        request=OfVersion,
        response=Bom,
        body="slipway.flows.documents_bom:bom",
    ),
    Operation(
        name="documents.attest",
        summary="Sign where a version comes from: SLSA provenance over its files.",
        permission="endpoints.deploy",
        request=OfVersion,
        response=Attested,
        body="slipway.flows.documents_provenance:attest",
        changes=True,
    ),
)
