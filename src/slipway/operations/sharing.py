"""Sharing: what projects of one store offer to each other, and who uses it."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.sharing import Publication

__all__ = [
    "GetShared",
    "Grant",
    "ListShared",
    "Shared",
    "SharedDetail",
    "Use",
    "Withdraw",
    "operations",
]


class ListShared(Struct, frozen=True, kw_only=True):
    """Which publications.

    Args:
        text: Words that name, description, owner or tags must all contain; "" for all.
        everywhere: Also those of other projects that this project may use.
    """

    text: str = ""
    everywhere: bool = True


class Shared(Struct, frozen=True, kw_only=True):
    """The newest number of each thing that is shared, by project and name."""

    publications: tuple[Publication, ...]


class GetShared(Struct, frozen=True, kw_only=True):
    """Which one: `flights/weather_at_origin@3`; without a number, all of them and the newest in detail."""

    reference: str


class Use(Struct, frozen=True, kw_only=True):
    """Something that was made with a publication.

    Args:
        project: Whose it is.
        sort: "run", "table", "model" or "endpoint".
        name: The pipeline's, table's, model's or endpoint's name.
        number: Of the version of a table or model, or of the endpoint's revision; 0 for a run.
        id: Of the record.
        is_serving: Whether it is what an endpoint answers with now.
    """

    project: str
    sort: str
    name: str
    number: int = 0
    id: str
    is_serving: bool = False


class SharedDetail(Struct, frozen=True, kw_only=True):
    """One publication, its other numbers, and who uses it: the newest run, table, model and endpoint of each name.

    Args:
        publication: What is shared.
        numbers: Of all its editions, newest first.
        uses: What was made with it.
        data_until: Of a table or view: the greatest event time in its rows as they are now.
    """

    publication: Publication
    numbers: tuple[int, ...]
    uses: tuple[Use, ...]
    data_until: datetime | None = None


class Grant(Struct, frozen=True, kw_only=True):
    """Let projects use something that this project shares, or no longer.

    Args:
        name: The thing's name; all its numbers are meant.
        readers: The projects that may use it from now on; "*" is all of the store.
    """

    name: str
    readers: tuple[str, ...]


class Withdraw(Struct, frozen=True, kw_only=True):
    """Take one number back: those who use it go on, nobody begins.

    Args:
        name: The thing's name.
        number: Which one.
        reason: Why, and what to use instead.
    """

    name: str
    number: int
    reason: str = ""


operations = (
    Operation(
        name="sharing.list",
        summary="List what projects share: features, views, windows, tables and steps.",
        permission="sharing.read",
        request=ListShared,
        response=Shared,
        body="slipway.flows.share:list_shared",
    ),
    Operation(
        name="sharing.get",
        summary="Show one thing that is shared, its numbers, and who uses it.",
        permission="sharing.read",
        request=GetShared,
        response=SharedDetail,
        body="slipway.flows.share:get_shared",
    ),
    Operation(
        name="sharing.grant",
        summary="Say which projects may use something that this project shares.",
        permission="sharing.write",
        request=Grant,
        response=Shared,
        body="slipway.flows.share:grant",
        changes=True,
    ),
    Operation(
        name="sharing.withdraw",
        summary="Take a number of something shared back: nobody begins to use it.",
        permission="sharing.write",
        request=Withdraw,
        response=SharedDetail,
        body="slipway.flows.share:withdraw",
        changes=True,
    ),
)
