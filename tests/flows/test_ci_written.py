"""A report as JUnit XML that strict readers take, and as Markdown in which nothing stands for more than itself."""

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from slipway.charts.interval_text import interval_text
from slipway.flows.ci_junit import junit
from slipway.flows.ci_markdown import escaped, markdown, verdict_line
from slipway.records.ci import CiCheck, CiColumn, CiFigure, CiFile, CiModel, CiReport, CiTable, Verdict

HOSTILE = (
    "<img src=x onerror=alert(1)>|`rm`*b*_i_ [a](https://evil.example) @everyone #1 \x00\x1b[31m\n## no & ]]> \u202e"
)
AT = datetime(2013, 4, 1, 12, tzinfo=UTC)


def a_check(number: int, **more: object) -> CiCheck:
    given = {"suite": "unit", "name": f"n{number}", "state": "passed", "seconds": 0.5, "sentence": "It holds."}
    return CiCheck(**(given | more))  # type: ignore[arg-type]


def a_figure(metric: str, slice: str, verdict: Verdict, low: float, high: float) -> CiFigure:
    middle = (low + high) / 2
    return CiFigure(
        metric=metric, slice=slice, n=900, candidate=0.7 + middle, champion=0.7, difference=middle, low=low, high=high,
        verdict=verdict,
    )  # fmt: skip


FAILED = a_check(
    2, name=HOSTILE, state="failed", sentence=HOSTILE, fix=HOSTILE, detail=f"  one\n    {HOSTILE}</pre>\n\n"
)
SKIPPED = a_check(3, suite="data", name=HOSTILE, state="skipped", sentence=HOSTILE, fix="slipway data ingest a|b")
REPORT = CiReport(
    project=HOSTILE,
    at=AT,
    branch=HOSTILE,
    commit="a" * 40,
    seconds=3.25,
    suites=("unit", "data", "model"),
    checks=(a_check(1), FAILED, SKIPPED),
    since=HOSTILE,
    files=(CiFile(path=HOSTILE, added=3, removed=1), CiFile(path="x.png", added=-1, removed=-1, is_known=False)),
    sample=HOSTILE,
    models=(
        CiModel(
            model=HOSTILE,
            champion=HOSTILE,
            sentence=HOSTILE,
            notes=(HOSTILE,),
            figures=(
                a_figure("auc", "", "better", 0.01, 0.03),
                a_figure("auc", HOSTILE, "worse", -0.2, -0.1),
                a_figure("log_loss", "origin=JFK", "not to be told", -0.1, 0.1),
            ),
            tables=(
                CiTable(name=HOSTILE, before=1, after=2, rows_before=10, rows_after=20, columns=(CiColumn(name=HOSTILE, told=HOSTILE, before=(1, 2), after=(2, 1), range_before=HOSTILE),)),
                CiTable(name="old", before=0, after=2, rows_after=20),
            ),
        ),
    ),
    notes=(HOSTILE,),
)  # fmt: skip


def test_junit_is_what_its_readers_take() -> None:
    data = junit(REPORT)
    assert data.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    root = ElementTree.fromstring(data)
    assert root.tag == "testsuites"
    assert set(root.attrib) == {"name", "tests", "failures", "errors", "skipped", "time"}
    suites = list(root)
    assert [one.tag for one in suites] == ["testsuite"] * 2
    assert [one.get("name") for one in suites] == ["unit", "data"]
    for one in (root, *suites):
        cases = list(one.iter("testcase"))
        counted = {"tests": len(cases), "errors": 0}
        counted |= {"failures": len(list(one.iter("failure"))), "skipped": len(list(one.iter("skipped")))}
        assert {name: int(one.attrib[name]) for name in counted} == counted
    for suite in suites:
        assert datetime.fromisoformat(suite.attrib["timestamp"]) == datetime(2013, 4, 1, 11, 59, 56, 750000).replace(
            microsecond=0
        )
        assert float(suite.attrib["time"]) == sum(float(case.attrib["time"]) for case in suite)
        for case in suite:
            assert (case.tag, set(case.attrib)) == ("testcase", {"classname", "name", "time"})
            assert case.attrib["name"]
            assert [child.tag for child in case] in ([], ["failure"], ["skipped"], ["system-out"])
    failure = next(root.iter("failure"))
    assert set(failure.attrib) == {"message", "type"}
    assert "<img src=x" in failure.attrib["message"]  # as it was said, and escaped in the file
    assert "\x00" not in data.decode()
    assert "\u202e" not in data.decode()
    assert failure.text is not None
    assert "  one" in failure.text.splitlines()


def test_an_empty_report_is_a_valid_one() -> None:
    root = ElementTree.fromstring(junit(CiReport(project="p", at=AT)))
    assert (root.get("tests"), list(root)) == ("0", [])
    assert verdict_line(CiReport(project="p", at=AT)) == "Nothing was checked."


def test_nothing_of_a_name_is_taken_for_markdown_or_html() -> None:
    text = markdown(REPORT)
    outside = re.sub(r"<pre>\n.*?\n</pre>", "", text, flags=re.S)
    tags = set(re.findall(r"<[^>]*>", outside))
    assert tags == {"<details>", "<summary>", "</summary>", "</details>", "<br>"}
    assert text.count("<pre>") == text.count("</pre>") == 1
    for bad in ("<img", "](http", "https://evil", "@everyone", " #1 ", "\x00", "\x1b", "\u202e", "`rm`", "|&#96;"):
        assert bad not in outside, bad
    assert "\n## no" not in outside
    for line in outside.splitlines():
        if line.startswith("|"):  # each row has the columns of its head
            assert line.count("|") in (5, 7), line
    assert text.index("1 of 3 checks failed") < text.index("What failed") < text.index("What moved")
    assert len(text.splitlines()[0]) < 800


def test_what_moved_is_drawn() -> None:
    text = markdown(REPORT)
    assert "🔴 worse" in text
    assert "🟢 better" in text
    assert text.index("🟢 better") < text.index("🔴 worse")  # all rows before slices
    assert "`▄█`" in text
    assert "| 3 | 1 | `+++" in text
    assert "what it was then cannot be read any more" in text
    assert "1 of 2 figures of slices worse" in text


def test_without_a_champion_it_says_so_and_draws_nothing() -> None:
    said = "There is no champion yet: nothing serves."
    text = markdown(CiReport(project="p", at=AT, checks=(a_check(1),), models=(CiModel(model="m", sentence=said),)))
    assert f"**m**: {said}" in text
    assert "Metrics" not in text
    assert text.startswith("## ✅ p: No check failed: 1 passed.\n")


def test_a_comment_stays_as_short_as_comments_may_be() -> None:
    many = tuple(
        a_check(n, name="n" * 500, state="failed", sentence="<" * 5000, detail="<\n" * 9000) for n in range(400)
    )
    files = tuple(CiFile(path=f"{'&' * 300}{n}", added=1, removed=1) for n in range(5000))
    text = markdown(CiReport(project="p", at=AT, checks=many, files=files, since="x"))
    assert len(text) < 65_536
    assert text.count("<details>") == text.count("</details>")
    assert text.count("<pre>") == text.count("</pre>")
    assert "380 more" in text or "Cut off" in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("train_rows", "train_rows"),
        ("_a_", "&#95;a&#95;"),
        ("a\nb", "a b"),
        ("www.x.org", "www&#46;x.org"),
        ("x" * 500, "x" * 399 + "…"),
    ],
)
def test_names_stay_readable(given: str, shown: str) -> None:
    assert escaped(given) == shown


def test_an_interval_is_drawn_around_zero() -> None:
    assert interval_text(-0.5, 0.5, 1.0, reach=1.0, cells=9) == "  ──┼─●──"
    assert interval_text(0.5, 0.75, 1.0, reach=1.0, cells=9) == "    │ ─●─"
    assert interval_text(-9, 0, 9, reach=1.0, cells=9) == "────●────"
    assert interval_text(float("nan"), 0, 1, reach=1.0) == ""
    assert interval_text(0, 0, 0, reach=0.0) == ""
