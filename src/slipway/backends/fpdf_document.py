"""A document as a PDF, by fpdf2: pure Python, no browser and no library of the system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import MethodReturnValue
from fpdf.fonts import FontFace

from slipway.backends.fpdf_trend import HEIGHT_MM, draw_trend
from slipway.errors import InvalidInput
from slipway.records.documents import Document, DocumentField, DocumentSection, DocumentTile, Tone

__all__ = ["pdf"]

_FOLDERS = (
    "/usr/share/fonts/truetype/dejavu",
    "/usr/share/fonts/dejavu-sans-fonts",
    "/usr/share/fonts/TTF",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
_PLAIN = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
_ARIAL = {"": "arial.ttf", "B": "arialbd.ttf"}
_QUIET, _INK, _LINE = (93, 107, 114), (29, 42, 48), (206, 214, 217)
_TONES: dict[Tone, tuple[int, int, int]] = {
    "good": (43, 107, 69), "warn": (138, 90, 0), "bad": (161, 53, 44), "calm": (63, 90, 115),
}  # fmt: skip
_TOGETHER = 8
"""So many lines of a text stay with its title."""
_COLOURS = {"auto": (43, 107, 69), "asked": (63, 90, 115), "missing": (161, 53, 44)}
_WIDE = 5
"""Tables with more columns have smaller letters."""


def pdf(document: Document) -> bytes:
    """The document on A4 pages.

    Raises:
        InvalidInput: It has letters that no font here has.
    """
    page = _Page(document)
    page.write(document.title, size=20, style="B")
    page.write(document.lead, size=10, colour=_QUIET if document.kind == "business" else _INK)
    if document.simulated:
        page.write(f"SIMULATED: made-up rows of {', '.join(document.simulated)} are behind it.", size=10, style="B")
    if document.kind != "business":  # there nobody wonders which fields are filled
        page.write(document.summary, size=9, colour=_QUIET)
    if document.tiles:
        page.tiles(document.tiles)
    for section in document.sections:
        page.section(section)
    return page.data()


class _Sheet(FPDF):
    """A4 with a line at the foot of each page: what it is of, and which of how many."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self.foot, self.letters = foot, "Helvetica"
        self.set_margins(19, 18)
        self.c_margin = 0
        self.set_auto_page_break(auto=True, margin=20)

    def footer(self) -> None:
        """See `FPDF.footer`."""
        self.set_y(-14)
        self.set_font(self.letters, "", 7.5)
        self.set_text_color(*_QUIET)
        self.cell(0, 4, self.foot)
        self.set_x(self.l_margin)
        self.cell(0, 4, f"{self.page_no()} / {{nb}}", align="R")


class _Page:
    """The sheet that is being written."""

    def __init__(self, document: Document) -> None:
        self._sheet = _Sheet("")
        self._sheet.set_title(document.title)
        self._font = self._sheet.letters = self._find_font()
        self._sheet.foot = self._known(document.title)[:100]
        self._is_business = document.kind == "business"
        self._sheet.add_page()

    def _find_font(self) -> str:
        for files in (_PLAIN, _ARIAL):
            for folder in map(Path, _FOLDERS):
                if all((folder / name).is_file() for name in files.values()):
                    for style, name in files.items():
                        self._sheet.add_font("document", style, folder / name)
                    return "document"
        return "Helvetica"

    def gap(self, millimetres: float) -> None:
        """Go down a little."""
        self._sheet.ln(millimetres)

    def write(self, text: str, *, size: float, style: str = "", colour: tuple[int, int, int] = _INK) -> None:
        """A paragraph over the whole width."""
        self._sheet.set_font(self._font, style, size)
        self._sheet.set_text_color(*colour)
        self._sheet.multi_cell(0, size * 0.5, self._known(text), new_x="LMARGIN", new_y="NEXT", align="L")

    def tiles(self, tiles: Sequence[DocumentTile]) -> None:
        """A row of boxes: a title, what stands large, and a word."""
        sheet, gap, height = self._sheet, 4.0, 25.0
        self.gap(5)
        width = (sheet.epw - gap * (len(tiles) - 1)) / len(tiles)
        top = sheet.get_y()
        for place, tile in enumerate(tiles):
            left = sheet.l_margin + place * (width + gap)
            sheet.set_draw_color(*_LINE)
            sheet.rect(left, top, width, height, round_corners=True, corner_radius=1.5)
            unit = f" {tile.unit}" if tile.unit else ""
            self._fitting(tile.title, left + 3, top + 6.0, width - 6, 8, "", _QUIET)
            self._fitting(f"{tile.large}{unit}", left + 3, top + 14.0, width - 6, 14, "B", _INK)
            self._fitting(tile.word, left + 3, top + 21.0, width - 6, 8, "B", _TONES[tile.tone])
        sheet.set_xy(sheet.l_margin, top + height)

    def _fitting(
        self, text: str, x: float, y: float, room: float, size: float, style: str, colour: tuple[int, int, int]
    ) -> None:
        """One line in letters as large as there is room for, but no smaller than 6 points; then it is cut."""
        shown, sheet = self._known(text), self._sheet
        sheet.set_text_color(*colour)
        sheet.set_font(self._font, style, size)
        if (wide := sheet.get_string_width(shown)) > room:
            sheet.set_font_size(max(6.0, size * room / wide))
        while len(shown) > 1 and sheet.get_string_width(shown) > room:
            shown = f"{shown.rstrip('.')[:-1]}..."[: len(shown) - 1] if len(shown) > 4 else shown[:-1]
        sheet.text(x, y, shown)

    def section(self, section: DocumentSection) -> None:
        """A part: its title never stands alone at the end of a page."""
        self.gap(5)
        self._keep(14 + (self._height(section.fields[0]) if section.fields else 0))
        self.write(section.title, size=14, style="B")
        for field in section.fields:
            self.field(field)

    def field(self, field: DocumentField) -> None:
        """One field with what it rests on."""
        self.gap(1.5 if self._is_business else 2.5)
        self._keep(self._height(field))
        if self._is_business:
            if field.title:
                self._title(field)
        else:
            state = f"{field.state}, stale" if field.is_stale else field.state
            self.write(f"{field.title}  ({state})", size=10.5, style="B", colour=_COLOURS[field.state])
        if field.state == "missing" and field.question:
            self.write(f"{field.question} {field.text}", size=10)
        elif field.text:
            self.write(field.text, size=10)
        for item in field.items:
            self.write(f"- {item}", size=10)
        if field.trend is not None:
            self._keep(HEIGHT_MM)
            draw_trend(self._sheet, field.trend, self._font, self._known)
        if field.head:
            self._table(field)
        for told in (field.stale, field.fix and f"What to do: {field.fix}", field.source):
            if told:
                self.write(told, size=8, colour=_QUIET)

    def _title(self, field: DocumentField) -> None:
        sheet = self._sheet
        sheet.set_font(self._font, "B", 10.5)
        sheet.set_text_color(*_INK)
        sheet.write(5.25, self._known(field.title))
        if field.word:
            sheet.set_text_color(*_TONES[field.tone])
            sheet.write(5.25, self._known(f"  {field.word}"))
        sheet.ln(5.25)

    def _keep(self, millimetres: float) -> None:
        """Go on to the next page, where this one has less room and a page has enough."""
        if self._sheet.will_page_break(millimetres) and millimetres < self._sheet.eph:
            self._sheet.add_page()

    def _height(self, field: DocumentField) -> float:
        """What a field's title and text take at most, in millimetres; of a longer one its first lines."""
        self._sheet.set_font(self._font, "", 10)
        found = self._sheet.multi_cell(
            0, 5, self._known(field.text or " "), dry_run=True, output=MethodReturnValue.HEIGHT
        )
        tall = found if isinstance(found, float) else 5.0
        return 6 + min(tall, 5.0 * _TOGETHER) + (12 if field.head else 0)

    def _table(self, field: DocumentField) -> None:
        sheet, size = self._sheet, 7.0 if len(field.head) >= _WIDE else 8.5 if self._is_business else 8.0
        sheet.set_font(self._font, "", size)
        sheet.set_text_color(*_INK)
        sheet.set_draw_color(*_LINE)
        columns = list(zip(field.head, *field.rows, strict=True))
        words = [self._widest(word for cell in cells for word in cell.split()) for cells in columns]
        whole = [self._widest(cells) for cells in columns]
        if self._is_business:  # a date is not broken
            words[0] = whole[0]
        head = FontFace(emphasis="BOLD", color=_QUIET)
        with sheet.table(
            borders_layout="HORIZONTAL_LINES",
            col_widths=_shares(words, whole, sheet.epw),
            headings_style=head,
            line_height=size * 0.52,
            padding=(1.0, 1.0),
            text_align="LEFT",
            v_align="TOP",
        ) as table:
            for cells in (field.head, *field.rows):
                row = table.row()
                for cell in cells:
                    row.cell(self._known(cell))
        self.gap(1)

    def _widest(self, texts: Iterable[str]) -> float:
        return max((self._sheet.get_string_width(self._known(text)) for text in texts), default=0.0) + 3.0

    def _known(self, text: str) -> str:
        if self._font != "Helvetica":
            return text
        unknown = sorted({letter for letter in text if ord(letter) > 0xFF})
        if unknown:
            raise InvalidInput(
                f"No font was found that has {unknown[0]!r}.",
                why="The fonts that every PDF reader has know Western European letters only.",
                fix="Install the DejaVu fonts (Debian: apt install fonts-dejavu-core), or write HTML and print it.",
            )
        return text

    def data(self) -> bytes:
        """All pages."""
        return bytes(self._sheet.output())


def _shares(least: list[float], most: list[float], room: float) -> tuple[float, ...]:
    """How wide columns are: each at least as its longest word, as far as there is room, the rest by how much they hold."""
    scale = min(1.0, room / sum(least))
    narrow = [one * scale for one in least]
    wanted = [max(0.0, min(one, room) - held) for one, held in zip(most, narrow, strict=True)]
    left = room - sum(narrow)
    total = sum(wanted) or 1.0
    return tuple(held + left * one / total for held, one in zip(narrow, wanted, strict=True))
