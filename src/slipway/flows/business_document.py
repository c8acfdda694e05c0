"""A business page as a mail and as a document, and what stands large at the top of each: words by `business_words`."""

from __future__ import annotations

from msgspec import Struct

from slipway.charts.scales import spanning
from slipway.flows.business_words import (
    STAGES,
    Given,
    Said,
    agreed,
    amount,
    day,
    expected,
    measured,
    money,
    plain,
    spent,
    standing,
    trouble,
    trusted,
    values,
    what_it_is,
)
from slipway.operations.business import BusinessPage, Figure, Spent
from slipway.records.documents import Document, DocumentField, DocumentSection, DocumentTile, Tone, Trend, TrendPoint

__all__ = ["Tile", "document", "letter_text", "levels_of", "tiles"]

_HOUR_S = 3600.0
_LOOKS_IN_MAIL = 6
_INCIDENTS = 20


class Tile(Struct, frozen=True, kw_only=True):
    """What stands large at the top: what it is, how much, of which unit, and a word on it with its tone."""

    title: Said
    large: Said
    unit: str = ""
    word: str
    tone: Tone


def tiles(page: BusinessPage) -> list[Tile]:
    """The first figure, what it brings, what it cost, and incidents."""
    found = [_figure_tile(page.figures[0])] if page.figures else []
    if page.values:
        value = page.values[0]
        word, tone = _measured(value.is_measured)
        large = money(value.amount, value.unit)
        found.append(Tile(title=(f"Value a {value.per}",), large=large, word=word, tone=tone))
    cost = Tile(title=("Cost so far",), large=_cost(page.spent), word="computing only", tone="calm")
    many = (str(len(page.troubles)),)
    incidents = Tile(
        title=("Incidents",), large=many, word=f"{page.open} open", tone="bad" if page.open else "good"
    )  # fmt: skip
    return [*found, cost, incidents]


def _figure_tile(figure: Figure) -> Tile:
    word, tone = standing(figure)
    large = amount(figure.looks[-1].value) if figure.looks else "\N{EN DASH}"
    return Tile(title=(Given(figure.name),), large=(large,), unit=figure.unit, word=word, tone=tone)


def _measured(is_measured: bool) -> tuple[str, Tone]:
    return ("measured", "good") if is_measured else ("expected only", "warn")


def _cost(spent: Spent) -> Said:
    paid = [one.compute for one in (spent.making, spent.running) if one.compute is not None]
    hours = (spent.making.cpu_s + spent.running.cpu_s) / _HOUR_S
    return money(sum(paid), spent.rates.currency) if paid else (f"{amount(hours)} hours",)


def levels_of(figure: Figure) -> dict[str, float]:
    """What a picture compares a figure with, by name: the agreed limit, else what it was before."""
    limit = figure.agreed.limit if figure.agreed is not None else None
    return (
        {"agreed limit": limit} if limit is not None else {"before": figure.before} if figure.before is not None else {}
    )


def letter_text(page: BusinessPage, link: str) -> tuple[str, str]:
    """A page as a mail: its subject and its text.

    Args:
        page: The page.
        link: Where it is, "" where that is not known.
    """
    lines = [f"{page.model}: {STAGES[page.stage]}{f' since {day(page.since)}' if page.since else ''}.", ""]
    for figure in page.figures:
        lines.append(f"{figure.name}: {standing(figure)[0]}. {plain(measured(figure))} {plain(agreed(figure))}")
        if len(figure.looks) > 1:
            went = (f"{amount(one.value)} ({one.at.day} {one.at:%b})" for one in figure.looks[-_LOOKS_IN_MAIL:])
            lines.append(f"  How it went: {', '.join(went)}.")
        told = expected(figure)
        lines += [f"{told.title}: {told.word}. {plain(told.said)}"] if told is not None else []
    lines += ["", "What it brings", *(f"  {plain(one)}" for one in values(page.values))]
    lines += ["", "What it costs", *(f"  {plain(one)}" for one in spent(page.spent))]
    lines += ["", f"Incidents: {page.open} open"]
    for one in page.troubles[:5]:
        lines.append(f"  {day(one.since)}: " + " ".join(plain(part) for part in trouble(one)))
    lines += ["", "Why it may be trusted"]
    lines += [f"  {one.title} {one.word}. {plain(one.said)}" for one in trusted(page.trust)]
    lines += ["", f"The page: {link}"] if link else []
    return f"[{page.project}] {page.model}, {day(page.at)}", "\n".join(lines)


def document(page: BusinessPage) -> Document:
    """A page as a document, from which a PDF is made."""
    figures = [field for one in page.figures for field in _figure_fields(one)]
    return Document(
        kind="business",
        name=page.model,
        version=page.version,
        title=page.model,
        lead=f"{STAGES[page.stage]}{f' since {day(page.since)}' if page.since else ''}. As of {day(page.at)}.",
        sections=(
            DocumentSection(
                title="What it is for", fields=(_field("", page.purpose or page.decision or "Nobody has said."),)
            ),
            DocumentSection(
                title="What it is judged by", fields=tuple(figures) or (_field("", "Nothing is agreed or watched."),)
            ),
            DocumentSection(
                title="What it brings", fields=tuple(_field("", plain(one)) for one in values(page.values))
            ),
            DocumentSection(title="What it costs", fields=tuple(_field("", plain(one)) for one in spent(page.spent))),
            DocumentSection(title="Incidents", fields=(_incidents(page),)),
            DocumentSection(
                title="Why it may be trusted",
                fields=tuple(_field(one.title, plain(one.said), one.word, one.tone) for one in trusted(page.trust)),
            ),
        ),
        simulated=page.simulated,
        tiles=tuple(
            DocumentTile(title=plain(one.title), large=plain(one.large), unit=one.unit, word=one.word, tone=one.tone)
            for one in tiles(page)
        ),
    )


def _incidents(page: BusinessPage) -> DocumentField:
    rows = [(day(one.since), *(plain(part) for part in trouble(one))) for one in page.troubles[:_INCIDENTS]]
    left = len(page.troubles) - len(rows)
    return DocumentField(
        name="incidents",
        title="",
        state="auto",
        head=("Since", "What happened", "What it cost", "How it ended") if rows else (),
        rows=tuple(rows),
        text="" if rows else "There was none.",
        stale=f"{left} earlier ones are on the page." if left else "",
    )


def _figure_fields(figure: Figure) -> list[DocumentField]:
    text = " ".join(plain(part) for part in (what_it_is(figure), measured(figure), agreed(figure)))
    told = expected(figure)
    hoped = [_field(told.title, plain(told.said), told.word, told.tone)] if told is not None else []
    return [_field(figure.name, text, *standing(figure), _trend(figure)), *hoped]


def _trend(figure: Figure) -> Trend | None:
    """How a figure went, None where it was measured less than twice."""
    if len(figure.looks) < 2:
        return None
    points = [TrendPoint(label=day(one.at), value=one.value, low=one.low, high=one.high) for one in figure.looks]
    levels = levels_of(figure)
    held = [one for point in points for one in (point.value, point.low, point.high) if one is not None]
    ticks = spanning([*held, *levels.values()], 0.0, 1.0).ticks(4)
    unit = f", in {figure.unit}" if figure.unit else ""
    likely = ", with its likely range" if all(point.low is not None for point in points) else ""
    return Trend(
        title=f"How it went{unit}{likely}", points=tuple(points), ticks=tuple(ticks), levels=tuple(levels.items())
    )


def _field(title: str, text: str, word: str = "", tone: Tone = "calm", trend: Trend | None = None) -> DocumentField:
    return DocumentField(name=title, title=title, state="auto", text=text, word=word, tone=tone, trend=trend)
