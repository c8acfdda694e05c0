"""A report as Markdown, fit for a comment on a change: what failed on one screen, then what moved.

It holds for GitHub and GitLab: tables, folded parts, and charts of letters, so that nothing is fetched from anywhere.
Names, sentences and traces come from the project's code and rows: nothing in them is taken for Markdown or HTML, for a
link, or for somebody's name to be called.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence

from slipway.charts.interval_text import interval_text
from slipway.charts.sparks import spark_text
from slipway.charts.text import clean
from slipway.records.ci import CiCheck, CiColumn, CiFigure, CiModel, CiReport, CiTable

__all__ = ["escaped", "markdown", "verdict_line"]

_FAILED, _SKIPPED, _FILES, _SLICES, _COLUMNS = 20, 30, 30, 20, 8
_SENTENCE, _NAME = 400, 120
_DETAIL_LINES, _DETAIL = 25, 1600
_MOST = 60_000
"""GitHub takes comments of 65,536 letters."""

_SPECIAL = {ord(letter): f"&#{ord(letter)};" for letter in "&<>|`*[]\\#@~$!^"}
_LOOSE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")  # inside a name it stands for itself
_MARKS = {"passed": "✅", "failed": "❌", "skipped": "⏭️"}
_ARROWS = {"better": "🟢 better", "worse": "🔴 worse", "not to be told": "⚪ not to be told"}


def markdown(report: CiReport) -> str:
    """The report as text that ends with a line's end, of 60,000 letters at most."""
    lines = [*_head(report), *_suites(report), *_failures(report), *_moved(report), *_skipped(report)]
    text = "\n".join(lines).rstrip() + "\n"
    if len(text) <= _MOST:
        return text
    left = text[:_MOST].rpartition("\n")[0]
    folded = "\n</details>" * (left.count("<details>") - left.count("</details>"))
    pre = "\n</pre>" if left.count("<pre>") > left.count("</pre>") else ""
    return f"{left}{pre}{folded}\n\n*Cut off here; all of it: `slipway ci check --json`*\n"


def verdict_line(report: CiReport) -> str:
    """What came of it, in a line of plain text."""
    failed, skipped = report.count("failed"), report.count("skipped")
    parts = [f"{report.count('passed')} passed"]
    parts += [f"{skipped} skipped"] if skipped else []
    if not report.checks:
        return "Nothing was checked."
    if failed:
        return f"{failed} of {len(report.checks)} checks failed; {', '.join(parts)}."
    return f"No check failed: {', '.join(parts)}."


def escaped(text: str, most: int = _SENTENCE) -> str:
    """A text as one line that stands in Markdown for nothing but itself, cut off where it is long."""
    line = clean(text)
    short = line if len(line) <= most else f"{line[: most - 1]}…"
    return _LOOSE.sub("&#95;", short.translate(_SPECIAL)).replace("://", "&#58;//").replace("www.", "www&#46;")


def _head(report: CiReport) -> Iterator[str]:
    mark = _MARKS["passed" if report.passed else "failed"]
    yield f"## {mark} {escaped(report.project, _NAME)}: {verdict_line(report)}"
    yield ""
    place = [f"commit `{report.commit[:12]}`"] if report.commit else []
    if report.branch:
        place.append(f"branch {escaped(report.branch, _NAME)}")
    if report.is_dirty:
        place.append("with changes that are not committed")
    place.append(f"{report.seconds:.1f} s")
    yield f"`slipway ci check` · {' · '.join(place)}"
    yield ""


def _suites(report: CiReport) -> Iterator[str]:
    yield "| suite | | passed | failed | skipped | seconds |"
    yield "|---|---|---:|---:|---:|---:|"
    for name in report.told:
        passed, failed, skipped = (report.count(state, name) for state in ("passed", "failed", "skipped"))
        mark = _MARKS["failed" if failed else "passed" if passed else "skipped"]
        seconds = sum(one.seconds for one in report.checks if one.suite == name)
        yield f"| {name} | {mark} | {passed} | {failed} | {skipped} | {seconds:.1f} |"
    yield ""
    for model in report.models:
        yield f"- {_model_line(model)}"
    for note in report.notes:
        yield f"- {escaped(note)}"
    yield ""


def _model_line(model: CiModel) -> str:
    name = escaped(model.model, _NAME)
    overall = [one for one in model.figures if not one.slice]
    if not model.champion or not overall:
        return f"**{name}**: {escaped(model.sentence)}"
    told = ", ".join(
        f"{escaped(one.metric, _NAME)} {one.verdict if one.verdict != 'not to be told' else 'cannot be told'}"
        for one in overall
    )
    slices = [one for one in model.figures if one.slice]
    worse = sum(one.verdict == "worse" for one in slices)
    among = f"; {worse} of {len(slices)} figures of slices worse" if slices else ""
    return f"**{name}** against the champion {escaped(model.champion, _NAME)}: {told}{among}."


def _failures(report: CiReport) -> Iterator[str]:
    failed = [one for one in report.checks if one.state == "failed"]
    if not failed:
        return
    yield "### What failed"
    yield ""
    for check in failed[:_FAILED]:
        yield from _failure(check)
    if len(failed) > _FAILED:
        yield f"- and {len(failed) - _FAILED} more"
    yield ""


def _failure(check: CiCheck) -> Iterator[str]:
    fix = f"<br>What to do: {escaped(check.fix)}" if check.fix else ""
    yield f"- **{check.suite}** {escaped(check.name, _NAME)}: {escaped(check.sentence)}{fix}"
    detail = [_indented(line) for line in check.detail.splitlines()]
    if detail:
        shown = "\n".join(detail[-_DETAIL_LINES:])[-_DETAIL:]
        yield ""
        yield "<details><summary>what was said</summary>"
        yield ""
        yield "<pre>"
        yield html.escape(shown)
        yield "</pre>"
        yield "</details>"
        yield ""


def _indented(line: str) -> str:
    return " " * (len(line) - len(line.lstrip(" "))) + clean(line)


def _moved(report: CiReport) -> Iterator[str]:
    yield "### What moved"
    yield ""
    yield from _code(report)
    for model in report.models:
        yield from _data(model)
        yield from _figures(model)
    if report.sample:
        yield f"Trained on: {escaped(report.sample, 1000)}"
        yield ""


def _code(report: CiReport) -> Iterator[str]:
    if not report.since:
        return
    if not report.files:
        yield f"**Code**: nothing, since {escaped(report.since, _NAME)}."
        yield ""
        return
    yield f"**Code** since {escaped(report.since, _NAME)}: {_count(len(report.files), 'file')}."
    yield ""
    yield "| file | added | removed | |"
    yield "|---|---:|---:|---|"
    most = max((one.added + one.removed for one in report.files), default=0)
    for one in report.files[:_FILES]:
        added, removed = (str(count) if count >= 0 else "-" for count in (one.added, one.removed))
        new = "" if one.is_known else " (not in git)"
        yield f"| {escaped(one.path, _NAME)}{new} | {added} | {removed} | {_bar(one.added, one.removed, most)} |"
    if len(report.files) > _FILES:
        yield f"| and {len(report.files) - _FILES} more | | | |"
    yield ""


def _bar(added: int, removed: int, most: int) -> str:
    if min(added, removed) < 0 or most <= 0:
        return ""
    plus, minus = (math.ceil(12 * count / most) for count in (added, removed))
    return f"`{'+' * plus}{'-' * minus}`" if plus + minus else ""


def _data(model: CiModel) -> Iterator[str]:
    if not model.champion:
        return
    name = escaped(model.champion, _NAME)
    if not model.tables:
        yield f"**Data**: the tables that {name} learnt from are as they were."
        yield ""
        return
    yield f"**Data** since {name} learnt from it:"
    yield ""
    for table in model.tables:
        yield f"- {_table_line(table)}"
        for column in table.columns[:_COLUMNS]:
            yield f"  - {escaped(column.name, _NAME)}{_shape(column)}: {escaped(column.told)}"
        if len(table.columns) > _COLUMNS:
            yield f"  - and {len(table.columns) - _COLUMNS} more columns"
    yield ""


def _shape(column: CiColumn) -> str:
    """The rows of a column then and now, as bars with their range."""
    both = ((column.before, column.range_before), (column.after, column.range_after))
    charts = [(spark_text(bars), range) for bars, range in both if bars]
    told = [f"`{chart}` {f'({escaped(range, _NAME)})' if range else ''}".rstrip() for chart, range in charts if chart]
    return f" {' → '.join(told)}" if told else ""


def _table_line(table: CiTable) -> str:
    name = escaped(table.name, _NAME)
    if not table.before:
        return f"{name}: now version {table.after}, {table.rows_after:,} rows; what it was then cannot be read any more"
    rows = f"{table.rows_before:,} → {table.rows_after:,} rows"
    moved = (
        _count(len(table.columns), "column") + " moved" if table.columns else "no column moved as far as can be told"
    )
    return f"{name}: version {table.before} → {table.after}, {rows}; {moved}"


def _figures(model: CiModel) -> Iterator[str]:
    if not model.figures:
        return
    yield f"**Metrics** of {escaped(model.model, _NAME)} beside {escaped(model.champion, _NAME)}. {escaped(model.sentence)}"
    yield ""
    yield from (f"- {escaped(note)}" for note in model.notes)
    yield ""
    overall = [one for one in model.figures if not one.slice]
    yield from _table(overall, "metric", [_reach([one]) for one in overall])
    slices = [one for one in model.figures if one.slice]
    if not slices:
        return
    told = sorted(slices, key=_interest)
    reach = {one.metric: _reach([other for other in slices if other.metric == one.metric]) for one in slices}
    worse = sum(one.verdict == "worse" for one in slices)
    yield f"<details><summary>Slices: {len(slices)} figures, {worse} of them worse</summary>"
    yield ""
    yield "The intervals are as wide as all of them together need to be certain by 95 %."
    yield ""
    yield from _table(told[:_SLICES], "slice", [reach[one.metric] for one in told[:_SLICES]])
    if len(told) > _SLICES:
        yield f"and {len(told) - _SLICES} more figures"
        yield ""
    yield "</details>"
    yield ""


def _interest(one: CiFigure) -> tuple[int, float, str, str]:
    """What is worse first, then what is better, then what cannot be told; each with the surest difference first."""
    order = {"worse": 0, "better": 1, "not to be told": 2}[one.verdict]
    width = (one.high or 0.0) - (one.low or 0.0)
    sure = abs(one.difference) / width if math.isfinite(width) and width > 0 and math.isfinite(one.difference) else 0.0
    return order, -sure, one.slice, one.metric


def _reach(figures: Sequence[CiFigure]) -> float:
    ends = [abs(end) for one in figures for end in (one.low, one.high) if math.isfinite(end)]
    return max(ends, default=0.0)


def _table(figures: Sequence[CiFigure], head: str, reach: Sequence[float]) -> Iterator[str]:
    yield f"| {head} | champion | now | difference, with its interval | lower ◂ 0 ▸ higher | |"
    yield "|---|---:|---:|---|---|---|"
    for one, far in zip(figures, reach, strict=True):
        name = escaped(f"{one.slice} {one.metric}".strip(), _NAME)
        chart = interval_text(one.low, one.difference, one.high, reach=far)
        if not chart:
            yield f"| {name} | | | {escaped(one.note)} | | {_ARROWS[one.verdict]} |"
            continue
        interval = f"{one.difference:+.4g} ({one.low:+.4g} to {one.high:+.4g}), {one.n:,} rows"
        drawn = chart.replace(" ", "\N{NO-BREAK SPACE}")
        yield f"| {name} | {one.champion:.4g} | {one.candidate:.4g} | {interval} | `{drawn}` | {_ARROWS[one.verdict]} |"
    yield ""


def _skipped(report: CiReport) -> Iterator[str]:
    skipped = [one for one in report.checks if one.state == "skipped"]
    if not skipped:
        return
    yield f"<details><summary>Skipped: {_count(len(skipped), 'check')}</summary>"
    yield ""
    for check in skipped[:_SKIPPED]:
        told = " ".join(part for part in (check.sentence, check.fix) if part)
        yield f"- **{check.suite}** {escaped(check.name, _NAME)}: {escaped(told)}"
    if len(skipped) > _SKIPPED:
        yield f"- and {len(skipped) - _SKIPPED} more"
    yield ""
    yield "</details>"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
