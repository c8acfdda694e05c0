"""What people said to each other and answer for, named by somebody hostile."""

from datetime import UTC, datetime
from typing import Any

from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.responsibility import STAGES, Comment, Handover, HandoverItem, Notice, Raci, RaciRow

NOW = datetime(2013, 4, 1, tzinfo=UTC)


def said_records(bundle: str, run: str, model: str, nasty: str) -> list[Record]:
    """A RACI, a comment on a run, a model and a table, a notice of each kind for Ada, and a hand-over to her."""

    def common(id: str, name: str = "", **more: Any) -> dict[str, Any]:
        return {"id": id, "project": "flights", "name": name, "created_at": NOW, "actor": Actor("dan"), **more}

    markdown = (
        f"# {nasty}\n\n**Why** `code` {nasty} @ada\n\n| {nasty} |\n|---|\n| {nasty} |\n\n[x](javascript:alert(1))"
    )
    about = (f"run:{run}", f"model:{model}", "table:flights/flights", "verdict:v1")
    rows = tuple(
        RaciRow(stage=stage, responsible=("dan",), accountable=("ada",), consulted=(nasty,), informed=("eve",))
        for stage in STAGES
    )
    return [
        Raci(**common("flights/dev/1", "dev"), number=1, rows=rows),
        *(Comment(**common(f"c{place}"), parent_id=node, text=markdown) for place, node in enumerate(about)),
        Comment(**common("c9"), parent_id=about[0], text="", deleted_at=NOW, deleted_by=nasty),
        *(
            Notice(
                **common(f"n-{what}", "ada"),
                parent_id=f"bundle:{'0' * 64}",
                what=what,
                sentence=f"Something {nasty}",
                place=("models", "flight-delays", "1"),
            )
            for what in ("approve", "asked", "mention", "told")
        ),
        Handover(
            **common("h1", "flight-delays"),
            parent_id="flights/flight-delays",
            number=1,
            bundle=bundle,
            to="ada",
            comment=nasty,
            items=(HandoverItem(what="verdict", is_done=True, found=nasty),),
        ),
    ]
