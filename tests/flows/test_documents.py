"""Documents that fill themselves, on a released model and its tables."""

import dataclasses
import json
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.backends import fpdf_document
from slipway.charts.documents import html, markdown
from slipway.errors import Denied, InvalidInput, NotFound
from slipway.flows.documents import answer, get_document, list_documents
from slipway.flows.metric_contracts import keep
from slipway.flows.models import set_alias
from slipway.ledger import answers, entries
from slipway.models import registered
from slipway.operations.declare import Empty, call
from slipway.operations.documents import AnswerField, GetDocument
from slipway.operations.models import SetAlias
from slipway.operations.table import OPERATIONS
from slipway.records.contracts import ContractSignature, ContractTerms
from slipway.records.documents import MODEL_QUESTIONS, TABLE_QUESTIONS, Document, DocumentField
from slipway.records.people import Actor


def shown(desk: Desk, kind: str = "card", name: str = NAME, version: str = "") -> Document:
    return get_document(desk.workspace, GetDocument(kind=kind, name=name, version=version))


def field(document: Document, name: str) -> DocumentField:
    return next(one for one in document.fields if one.name == name)


def say(desk: Desk, name: str, text: str = "", *, kind: str = "card", of: str = NAME) -> None:
    answer(desk.workspace, AnswerField(kind=kind, name=of, field=name, text=text))  # type: ignore[arg-type]


def test_evidence_fills_most_of_a_small_card_and_each_field_names_it(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST)
    still.deploy(FIRST)
    found = shown(desk, version=str(FIRST))
    names = [one.name for one in found.fields]
    assert len(names) == len(set(names))
    assert found.count("auto") / len(found.fields) >= 0.65, [one.name for one in found.fields if one.state == "missing"]
    for one in found.fields:
        if one.state == "auto":
            assert one.evidence, one.name
            assert one.text or one.items or one.head, one.name
        else:
            assert one.state == "missing", one.name
            assert one.text, one.name
            assert one.fix, one.name
    bundle = f"bundle:{desk.version(FIRST).bundle}"
    assert bundle in field(found, "quality").evidence
    assert field(found, "verdict").evidence[0].startswith("verdict:")
    assert "revision 1" in field(found, "served").items[0]
    asked = [one.name for one in found.fields if one.question]
    assert asked == ["owner", "license", "purpose", "users", "misuse", "harm", "limits"]


def test_an_answer_has_a_name_and_a_date_and_counts_in_every_document_of_the_model(desk: Desk) -> None:
    say(desk, "purpose", "To warn\nthe gate.")
    said = field(shown(desk), "purpose")
    assert (said.state, said.text, said.by) == ("asked", "To warn\nthe gate.", desk.workspace.actor.name)
    assert said.at == desk.workspace.clock.now()
    assert not said.is_stale
    assert field(shown(desk, "annex-iv"), "purpose").text == "To warn\nthe gate."
    event = desk.events()[-1]
    assert (event.verb, event.body["field"]) == ("documents.answer", "purpose")
    assert "warn" not in json.dumps(event.body)
    say(desk, "oversight", "The duty manager stops it.", kind="card")
    assert field(shown(desk, "annex-iv"), "oversight").state == "asked"


def test_what_is_old_is_marked_until_somebody_says_that_it_holds(desk: Desk) -> None:
    say(desk, "limits", "Snow.")
    desk.clock.advance_to(desk.clock.now() + timedelta(days=400))
    old = field(shown(desk), "limits")
    assert "more than a year ago" in old.stale
    assert old.fix.startswith(f"Say that it still holds: slipway documents answer card {NAME} limits")
    say(desk, "limits")
    assert field(shown(desk), "limits").stale == ""
    with desk.workspace.ledger.write() as tx:
        before = desk.version(BETTER).created_at - timedelta(days=1)
        answers.keep(tx, desk.workspace.project, f"model:{NAME}", "harm", "Nobody.", actor=Actor("ada"), at=before)
    assert f"before version {BETTER} came to be" in field(shown(desk, version=str(BETTER)), "harm").stale


def test_evidence_of_another_version_is_marked(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    still.deploy(FIRST)
    assert "Nowhere now: small-delays answers with version 1" in field(shown(desk, version=str(BETTER)), "served").text
    elsewhere = dataclasses.replace(desk.workspace, environment="prod")
    judged = get_document(elsewhere, GetDocument(kind="card", name=NAME, version=str(FIRST)))
    assert field(judged, "verdict").stale == "It was judged in dev, and this is prod."


def test_what_cannot_be_answered_is_said_in_a_sentence(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="nothing that a person answers"):
        say(desk, "quality", "It is splendid.")
    with pytest.raises(InvalidInput, match="No document of 'small-delays' asks 'purpos'") as near:
        say(desk, "purpos", "To warn.")
    assert "purpose" in near.value.fix
    with pytest.raises(InvalidInput, match="says nothing"):
        say(desk, "purpose", "x")
    with pytest.raises(NotFound, match="nothing can still hold"):
        say(desk, "purpose")
    with pytest.raises(NotFound):
        say(desk, "purpose", "To warn.", of="nothing")
    with pytest.raises(NotFound):
        shown(desk, "datasheet", "nothing")
    with pytest.raises(InvalidInput, match="There is no document 'cart'") as named:
        shown(desk, "cart")
    assert "card" in named.value.fix
    stranger = dataclasses.replace(desk.workspace, actor=Actor("eve", roles=("executive viewer",)))
    request = AnswerField(kind="card", name=NAME, field="purpose", text="To warn.")
    with pytest.raises(Denied):
        call(stranger, OPERATIONS["documents.answer"], request)
    seen = call(stranger, OPERATIONS["documents.get"], GetDocument(kind="card", name=NAME))
    assert "open to you" in field(seen, "checks").text  # they may see models, and no tables
    with pytest.raises(Denied):
        call(stranger, OPERATIONS["documents.get"], GetDocument(kind="datasheet", name="flights"))
    assert {one.kind for one in call(stranger, OPERATIONS["documents.list"], Empty()).documents} == {"card", "annex-iv"}


def test_a_data_sheet_tells_of_a_table(desk: Desk) -> None:
    found = shown(desk, "datasheet", "flights")
    assert field(found, "rows").text.startswith("Version 1 has 3,360 rows")
    assert ("late", "bool", "0.0%", "") in field(found, "columns").rows
    assert field(found, "checks").rows[0][:2] == ("flight_id is unique", "passed")
    assert field(found, "models").items == (f"{NAME} 3",)
    assert [one.name for one in found.fields if one.question] == list(TABLE_QUESTIONS)
    say(desk, "motivation", "To learn who is late.", kind="datasheet", of="flights")
    assert field(shown(desk, "datasheet", "flights"), "motivation").state == "asked"
    listed = list_documents(desk.workspace, Empty()).documents
    assert [(one.kind, one.name) for one in listed] == [
        ("card", NAME),
        ("annex-iv", NAME),
        ("datasheet", "flights"),
        ("datasheet", "weather"),
    ]
    assert listed[2].asked == 1


def test_the_annex_has_nine_points_and_leaves_to_people_what_is_theirs(desk: Desk) -> None:
    found = shown(desk, "annex-iv")
    assert [section.title[:2] for section in found.sections] == [f"{number}." for number in range(1, 10)]
    assert "draft" in found.title
    assert field(found, "declaration").state == field(found, "standards").state == "missing"
    assert {one.name for one in found.fields if one.question} == set(MODEL_QUESTIONS) - {"license"}


def test_what_people_write_stays_text_in_every_form(desk: Desk) -> None:
    hostile = "# Not a heading\n<script>alert(1)</script> [a](javascript:x) | *x*\n==="
    say(desk, "purpose", hostile)
    say(desk, "license", "apache-2.0: yes")
    found = shown(desk)
    text = markdown(found)
    assert text.startswith('---\nlicense: "apache-2.0: yes"\nlibrary_name: lightgbm\n')
    assert "\n\\# Not a heading\n" in text
    assert "\\<script\\>alert(1)\\</script\\> \\[a](javascript:x) \\| \\*x\\*" in text
    assert "\n\\===\n" in text
    page = html(found)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "").split("</style>")[0]


def test_a_model_of_the_same_name_begins_without_answers(desk: Desk) -> None:
    workspace = desk.workspace
    with workspace.ledger.write() as tx:
        registered.create(tx, workspace, "other", tags={})
        answers.keep(
            tx, workspace.project, "model:other", "owner", "Ada.", actor=Actor("ada"), at=workspace.clock.now()
        )
        registered.rename(tx, workspace, "other", "another")
        assert registered.documents(tx, workspace, "another")["owner"].text == "Ada."
        assert answers.answers(tx, workspace.project, "model:other") == {}
        registered.delete(tx, workspace, "another")
        registered.create(tx, workspace, "another", tags={"document.limits": "Snow."})
        former = registered.documents(tx, workspace, "another")
    assert list(former) == ["limits"]  # a store of an earlier release kept them among the tags
    assert former["limits"].actor.name == ""


def test_an_alias_names_the_version(desk: Desk) -> None:
    set_alias(desk.workspace, SetAlias(name=NAME, version="2", alias="shown"))
    assert shown(desk, version="shown").version == 2


def test_a_contract_that_is_void_marks_the_field(desk: Desk) -> None:
    workspace = desk.workspace
    terms = ContractTerms(kpi="cost of errors", formula="label", columns=("label",), unit="USD", owner="ada")
    signed = ContractSignature(
        id="1" * 32,
        project=workspace.project,
        name=terms.slug,
        created_at=workspace.clock.now(),
        parent_id=f"{workspace.project}/{terms.slug}",
        digest=terms.digest,
        actor=Actor("ada"),
        terms=terms,
    )
    with workspace.ledger.write() as tx:
        keep(tx, workspace, terms, endpoint=NAME)
        entries.put(tx, signed)
    assert field(shown(desk), "contract").stale == ""
    with workspace.ledger.write() as tx:
        keep(tx, workspace, structs.replace(terms, unit="EUR"), endpoint=NAME)
    found = field(shown(desk), "contract")
    assert found.stale.startswith("The contract on cost of errors is void")
    assert found.fix == "Have it signed as it stands: slipway contract sign cost-of-errors"


def test_a_pdf_has_every_letter_or_says_which_it_has_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    say(desk, "purpose", "To warn people in Łódź.")
    if any(Path(folder, "DejaVuSans-Bold.ttf").is_file() for folder in fpdf_document._FOLDERS):
        assert fpdf_document.pdf(shown(desk)).startswith(b"%PDF-")
    monkeypatch.setattr(fpdf_document, "_FOLDERS", ())
    with pytest.raises(InvalidInput, match="No font was found that has 'Ł'") as refused:
        fpdf_document.pdf(shown(desk))
    assert "fonts-dejavu-core" in refused.value.fix
    say(desk, "purpose", "To warn people in Köln.")
    assert fpdf_document.pdf(shown(desk)).startswith(b"%PDF-")
