"""A report as JUnit XML, as Jenkins, GitLab and GitHub's readers take it: one suite of tests a suite of checks."""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree

from slipway.charts.text import clean
from slipway.records.ci import CiCheck, CiReport

__all__ = ["junit"]

_DETAIL = 20_000


def junit(report: CiReport) -> bytes:
    """The report as an XML document, in UTF-8.

    Of each `testsuite` the numbers of tests, failures and skipped ones are those of its `testcase`s. What XML cannot
    hold becomes U+FFFD.
    """
    named = {"name": clean(report.project)}
    root = ElementTree.Element("testsuites", named | _counts(report.checks, report.seconds))
    begun = report.at - timedelta(seconds=report.seconds)
    for name in report.told:
        checks = [one for one in report.checks if one.suite == name]
        if not checks:
            continue
        counts = _counts(checks, sum(one.seconds for one in checks))
        stamp = begun.strftime("%Y-%m-%dT%H:%M:%S")
        about = {"name": name, "timestamp": stamp, "hostname": "localhost"}
        suite = ElementTree.SubElement(root, "testsuite", about | counts)
        for check in checks:
            _add(suite, check, clean(report.project))
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def _counts(checks: tuple[CiCheck, ...] | list[CiCheck], seconds: float) -> dict[str, str]:
    failed, skipped = (sum(one.state == state for one in checks) for state in ("failed", "skipped"))
    told = {"tests": len(checks), "failures": failed, "errors": 0, "skipped": skipped}
    return {name: str(count) for name, count in told.items()} | {"time": f"{seconds:.3f}"}


def _add(suite: ElementTree.Element, check: CiCheck, project: str) -> None:
    name = f"{project}.{check.suite}"
    case = ElementTree.SubElement(
        suite, "testcase", classname=name, name=clean(check.name), time=f"{check.seconds:.3f}"
    )
    sentence = clean(check.sentence)
    if check.state == "failed":
        failure = ElementTree.SubElement(case, "failure", message=sentence, type=check.suite)
        failure.text = "\n".join(_lines(check))
    elif check.state == "skipped":
        ElementTree.SubElement(case, "skipped", message=" ".join(filter(None, [sentence, clean(check.fix)])))
    elif sentence:
        ElementTree.SubElement(case, "system-out").text = sentence


def _lines(check: CiCheck) -> list[str]:
    """The sentence, what to do, and what else there is to read, line by line as XML may hold them."""
    told = [clean(check.sentence)]
    if check.fix:
        told.append(f"What to do: {clean(check.fix)}")
    # The columns of a trace say where in a line something is: blanks at its beginning stay.
    for line in check.detail[-_DETAIL:].splitlines():
        told.append(" " * (len(line) - len(line.lstrip(" "))) + clean(line))
    return told
