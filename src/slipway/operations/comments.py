"""What people say to each other: comments with mentions, and the notices that come of all that happens."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.monitors import Incident
from slipway.records.responsibility import Comment, Handover, Notice

__all__ = [
    "AddComment",
    "AllComments",
    "CommentKept",
    "Comments",
    "DeleteComment",
    "EditComment",
    "FindComments",
    "Inbox",
    "ListComments",
    "ListNotices",
    "MarkNotices",
    "NoticesMarked",
    "Remark",
    "operations",
]


class ListComments(Struct, frozen=True, kw_only=True):
    """On what: run:ID, model:NAME:VERSION, verdict:ID, incident:ID or table:NAME."""

    about: str


class Comments(Struct, frozen=True, kw_only=True):
    """The comments on something (a node of the lineage), oldest first."""

    about: str
    comments: tuple[Comment, ...]


class FindComments(Struct, frozen=True, kw_only=True):
    """Which of all comments.

    Args:
        person: Said by this person, or mentioning them; "" for everybody's.
        kind: On which sort of thing: run, model, verdict, incident or table; "" for all.
        limit: How many at most, 1 to 500.
    """

    person: str = ""
    kind: str = ""
    limit: int = 100


class Remark(Struct, frozen=True, kw_only=True):
    """A comment with what it is on, and where its thread stands.

    Args:
        comment: As it is kept; without text once it is deleted.
        kind: What sort of thing it is on.
        called: What people call that thing, "" where it is gone.
        place: The parts of the address of the page with its thread, within the project; () for none.
        later: How many comments that still stand came after it in its thread.
        waits_for: Who is mentioned in it and has said nothing in its thread since.
    """

    comment: Comment
    kind: str
    called: str = ""
    place: tuple[str, ...] = ()
    later: int = 0
    waits_for: tuple[str, ...] = ()


class AllComments(Struct, frozen=True, kw_only=True):
    """Comments of a project, newest first.

    Args:
        remarks: Those that were asked for, of what whoever asks may see.
        more: How many older ones were left out.
        kinds: How many there are on each sort of thing, of the person that was asked for.
        people: In how many each person speaks or is mentioned, of the kind that was asked for.
    """

    remarks: tuple[Remark, ...] = ()
    more: int = 0
    kinds: dict[str, int] = {}
    people: dict[str, int] = {}


class AddComment(Struct, frozen=True, kw_only=True):
    """Say something.

    Args:
        about: Of what; see `ListComments`.
        text: Markdown; `@name` tells that person.
    """

    about: str
    text: str


class EditComment(Struct, frozen=True, kw_only=True):
    """Say something else instead."""

    id: str
    text: str


class DeleteComment(Struct, frozen=True, kw_only=True):
    """Which comment."""

    id: str


class CommentKept(Struct, frozen=True, kw_only=True):
    """The comment as it is kept, and in sentences which of those it mentions are not told, and why."""

    comment: Comment
    unheard: tuple[str, ...] = ()


class ListNotices(Struct, frozen=True, kw_only=True):
    """How many notices at most; `everything` for those that were read, too."""

    everything: bool = False
    limit: int = 200


class Inbox(Struct, frozen=True, kw_only=True):
    """What needs whoever asks, in all projects of the store where they hold a role.

    Args:
        approvals: Versions that wait for their word.
        handovers: Models that are offered to them.
        incidents: Open ones that are theirs to look at.
        notices: What they are told beside these, newest first.
        untold: Why the channels could not tell of these incidents, or perhaps not.
        stands_for: Those who are away and for whom they act: what is waited for from them is among the above.
        more: How many notices were left out.
    """

    approvals: tuple[Notice, ...]
    handovers: tuple[Handover, ...]
    incidents: tuple[Incident, ...]
    notices: tuple[Notice, ...]
    stands_for: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    more: int = 0


class MarkNotices(Struct, frozen=True, kw_only=True):
    """Which of one's own notices were read, by id; () for all of them."""

    ids: tuple[str, ...] = ()


class NoticesMarked(Struct, frozen=True, kw_only=True):
    """How many were unread until now."""

    marked: int


operations = (
    Operation(
        name="comments.list",
        summary="List the comments on a run, version, verdict, incident or table.",
        permission="comments.read",
        request=ListComments,
        response=Comments,
        body="slipway.governance.comments:list_comments",
    ),
    Operation(
        name="comments.all",
        summary="List all comments of a project, newest first, by person and kind of thing.",
        permission="comments.read",
        request=FindComments,
        response=AllComments,
        body="slipway.governance.comments:all_comments",
    ),
    Operation(
        name="comments.add",
        summary="Comment on a run, version, verdict, incident or table; who is mentioned is told.",
        permission="comments.write",
        request=AddComment,
        response=CommentKept,
        body="slipway.governance.comments:add",
        changes=True,
    ),
    Operation(
        name="comments.edit",
        summary="Change a comment of one's own; a mark says that it was.",
        permission="comments.write",
        request=EditComment,
        response=CommentKept,
        body="slipway.governance.comments:edit",
        changes=True,
    ),
    Operation(
        name="comments.delete",
        summary="Delete a comment of one's own; a mark stays.",
        permission="comments.write",
        request=DeleteComment,
        response=CommentKept,
        body="slipway.governance.comments:delete",
        changes=True,
    ),
    Operation(
        name="notices.list",
        summary="Show what needs one: approvals, hand-overs, incidents, mentions, and what one is told.",
        permission="notices.read",
        request=ListNotices,
        response=Inbox,
        body="slipway.flows.inbox:inbox",
        route="/api/v1/notices",
    ),
    Operation(
        name="notices.mark",
        summary="Mark one's own notices as read.",
        permission="notices.own",
        request=MarkNotices,
        response=NoticesMarked,
        body="slipway.governance.notices:mark",
        changes=True,
        route="/api/v1/notices/mark",
    ),
)
