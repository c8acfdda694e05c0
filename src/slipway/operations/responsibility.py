"""Who answers for what: the RACI of a project, absences and their deputies, hand-overs."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.operations.permissions import ROLES
from slipway.records.responsibility import Absence, Handover, HandoverItem, Raci

__all__ = [
    "AbsenceKept",
    "Absences",
    "AnswerHandover",
    "Away",
    "Back",
    "Gap",
    "Gaps",
    "GetHandover",
    "HandoverAnswered",
    "HandoverPage",
    "Handovers",
    "ListHandovers",
    "OfferHandover",
    "RaciTable",
    "operations",
    "whom",
]


class RaciTable(Struct, frozen=True, kw_only=True):
    """Who is what.

    Args:
        raci: As slipway.toml had it when the project was last run or deployed, None where it declared none.
        away: Of those it names, who is away now and who acts for them, "" for nobody.
    """

    raci: Raci | None
    away: dict[str, str] = {}


class Gap(Struct, frozen=True, kw_only=True):
    """Something that is missing or cannot be.

    Args:
        stage: In which stage, "" for all or none of them.
        sentence: What.
        fix: What to do next.
    """

    stage: str
    sentence: str
    fix: str


class Gaps(Struct, frozen=True, kw_only=True):
    """Everything that was found, by stage; () where all is well. `stages` were looked at, 0 for no RACI."""

    gaps: tuple[Gap, ...]
    stages: int


class Away(Struct, frozen=True, kw_only=True):
    """An absence.

    Args:
        name: Whose, "" for one's own; another's needs the right to write people.
        since: From when on, with a time zone; now when left out.
        until: Until when; that instant is no part of it.
        deputy: Who receives and does what is theirs meanwhile, "" for nobody.
    """

    name: str = ""
    since: datetime | None = None
    until: datetime
    deputy: str = ""


class AbsenceKept(Struct, frozen=True, kw_only=True):
    """The absence as it is kept."""

    absence: Absence


class Absences(Struct, frozen=True, kw_only=True):
    """Absences, by their beginning."""

    absences: tuple[Absence, ...]


class Back(Struct, frozen=True, kw_only=True):
    """Whose absences are taken back, "" for one's own."""

    name: str = ""


class OfferHandover(Struct, frozen=True, kw_only=True):
    """Offer a model to its next owner.

    Args:
        model: The model's name.
        version: A number, an alias, or "latest".
        to: The next owner, by name.
        comment: What they should know.
        run_book: The run book itself, as Markdown; "" keeps the one of the hand-over before.
    """

    model: str
    version: str = "latest"
    to: str
    comment: str = ""
    run_book: str = ""


class AnswerHandover(Struct, frozen=True, kw_only=True):
    """Accept a model, or return it.

    Args:
        id: The hand-over's.
        accept: Whether it is accepted.
        comment: Why; a return needs one.
    """

    id: str
    accept: bool
    comment: str = ""


class HandoverAnswered(Struct, frozen=True, kw_only=True):
    """The hand-over as it is kept, and what to change in slipway.toml now, in sentences."""

    handover: Handover
    changes: tuple[str, ...] = ()


class ListHandovers(Struct, frozen=True, kw_only=True):
    """Of which model, "" for all."""

    model: str = ""


class Handovers(Struct, frozen=True, kw_only=True):
    """Hand-overs, newest first."""

    handovers: tuple[Handover, ...]


class GetHandover(Struct, frozen=True, kw_only=True):
    """Of which model and version."""

    model: str
    version: str = "latest"


class HandoverPage(Struct, frozen=True, kw_only=True):
    """What whoever takes a model over wants to know.

    Args:
        model: Its name.
        version: The version's number.
        items: What is done and what is missing now.
        run_book: The newest run book, as Markdown; "" for none.
        handovers: All hand-overs of the model, newest first.
        changes: What to change in slipway.toml after the last one that was accepted; () where it says so already.
    """

    model: str
    version: int
    items: tuple[HandoverItem, ...]
    run_book: str
    handovers: tuple[Handover, ...]
    changes: tuple[str, ...] = ()


def whom(owner: str) -> str:
    """An incident's owner as the end of "for ...": a role has an article, a person has none."""
    return f"the {owner}" if owner in ROLES else owner


operations = (
    Operation(
        name="raci.get",
        summary="Show who is responsible, accountable, consulted and informed in each stage.",
        permission="projects.read",
        request=Empty,
        response=RaciTable,
        body="slipway.governance.raci:get_raci",
    ),
    Operation(
        name="raci.check",
        summary="Look for gaps in who answers for what: nobody, two, who cannot, who is away.",
        permission="projects.read",
        request=Empty,
        response=Gaps,
        body="slipway.flows.people_check:check",
    ),
    Operation(
        name="absences.list",
        summary="List who is away or is going to be, and who stands in.",
        permission="people.read",
        request=Empty,
        response=Absences,
        body="slipway.governance.absences:list_absences",
        route="/api/v1/absences",
    ),
    Operation(
        name="absences.add",
        summary="Say that somebody is away, and who stands in for them.",
        permission="absences.own",
        request=Away,
        response=AbsenceKept,
        body="slipway.governance.absences:away",
        changes=True,
        route="/api/v1/absences/add",
    ),
    Operation(
        name="absences.end",
        summary="Take back the absences of somebody that are not over.",
        permission="absences.own",
        request=Back,
        response=Absences,
        body="slipway.governance.absences:back",
        changes=True,
        route="/api/v1/absences/end",
    ),
    Operation(
        name="handovers.list",
        summary="List what was handed over, or is offered.",
        permission="models.read",
        request=ListHandovers,
        response=Handovers,
        body="slipway.flows.handover:list_handovers",
    ),
    Operation(
        name="handovers.get",
        summary="Show what is done and what is missing before a model can be handed over, and its run book.",
        permission="models.read",
        request=GetHandover,
        response=HandoverPage,
        body="slipway.flows.handover:page",
    ),
    Operation(
        name="handovers.offer",
        summary="Offer a model to its next owner.",
        permission="models.write",
        request=OfferHandover,
        response=HandoverAnswered,
        body="slipway.flows.handover:offer",
        changes=True,
    ),
    Operation(
        name="handovers.answer",
        summary="Accept a model that is offered to one, or return it.",
        permission="models.read",
        request=AnswerHandover,
        response=HandoverAnswered,
        body="slipway.flows.handover:answer",
        changes=True,
    ),
)
