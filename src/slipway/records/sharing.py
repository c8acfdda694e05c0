"""What one project offers to others under a number: features, tables and steps."""

from typing import Literal

from slipway.records.features import AboutFeature, Part
from slipway.records.record import Record
from slipway.records.schema import Field

__all__ = ["EVERYBODY", "Publication", "Shareable"]

Shareable = Literal["feature", "windows", "view", "table", "step"]
EVERYBODY = "*"


class Publication(Record, frozen=True, kw_only=True, tag="publication"):
    """One numbered edition of something that a project offers. Id: `<project>/<name>@<number>`.

    Args:
        number: Counts the editions of the name from 1; the same definition again keeps the newest, unless that was withdrawn.
        sort: What it is.
        definition: The fingerprint of everything that a user sees or computes with.
        parts: Of a feature, view or windows: the definitions as a feature set takes them, with `<project>/<table>` for
            the tables that are read.
        table: Of a table or view: the table in the owner's project that holds the rows.
        fields: Of a table: its columns. Of a feature or view: the values. Of a step: its parameters, typed "object".
        code: Of a feature or step: the digest of the archive with its code, as a package of its own name.
        function: Where the function is in that code: `module:name`.
        reads: For each feature the columns in the owner's project that its value depends on.
        readers: The projects that may use it; `EVERYBODY` stands for all projects of the store.
        state: "published", or "withdrawn": those who use it go on, nobody begins.
        reason: Why it was withdrawn, and what to use instead.
        about: What its owner says of it.
    """

    number: int
    sort: Shareable
    definition: str
    parts: tuple[Part, ...] = ()
    table: str = ""
    fields: tuple[Field, ...] = ()
    code: str = ""
    function: str = ""
    reads: dict[str, tuple[str, ...]] = {}
    readers: tuple[str, ...] = ()
    state: Literal["published", "withdrawn"] = "published"
    reason: str = ""
    about: AboutFeature = AboutFeature()
