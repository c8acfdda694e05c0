"""Write docs/licences.md: the licence of every library that Slipway or an extra brings, by the libraries' own metadata.

    python -m release.licences

A licence that is not known, or not permitted, ends it with a sentence: then somebody reads it and decides.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from release.locked import ROOT, extras, needs

PAGE = "docs/licences.md"

PERMISSIVE = frozenset(
    [
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Zlib",
    ]
)
REASONED = {
    "certifi": "MPL-2.0: files that are changed must be given away; ours do not touch it, and it ships data, the roots of TLS",
    "tqdm": "MPL-2.0 for parts: files that are changed must be given away; ours do not touch it",
}
"""Libraries under MPL-2.0, each with the reason why that is no burden."""

WEAK = {
    "fpdf2": "LGPL-3.0-only. Only the extra `pdf` brings it; without it documents are HTML, which prints as well",
    "psycopg": "LGPL-3.0-only. Only the extra `postgres` brings it; the default ledger is SQLite",
    "psycopg-binary": "LGPL-3.0-only, with libpq (PostgreSQL licence) and OpenSSL (Apache-2.0) inside; as psycopg",
}
"""Not permissive: optional, imported as they are, replaceable by the user, and in no archive of Slipway."""

_SAID = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "mit license": "MIT",
    "psfl": "PSF-2.0",
}
"""How metadata without an SPDX expression says it."""

_READ = {
    "scipy": "BSD-3-Clause",  # its field holds the whole text
    "polars": "MIT",  # the same
    "skops": "MIT",  # its metadata says "OSI Approved" alone; its LICENSE file is the MIT licence
    "torch": "BSD-3-Clause",  # is not installed with the others
    "uvloop": "MIT OR Apache-2.0",  # two files
}
"""Read by a person where the metadata does not say it in a word."""

_BESIDE = """
The wheels of NumPy and SciPy carry OpenBLAS (BSD) and GCC's run-time libraries (GPL-3.0 with the Runtime Library
Exception, which lets any program link them). PyTorch's default wheels on Linux bring NVIDIA's libraries, which are
proprietary; its builds for CPUs have none. LightGBM asks for the system's OpenMP.

## What the pages ship

Scripts, styles and templates under `src/slipway/server/` are Slipway's own: no script, style, font or picture of anybody
else is in the wheel or fetched by a page. Charts are made on the server as HTML and SVG.
"""


def spdx(name: str) -> str:
    """A library's licence as an SPDX expression, "" where its metadata does not say it in a way that is known here.

    Raises:
        PackageNotFoundError: The library is not installed, and nobody wrote its licence down here.
    """
    if name in _READ:
        return _READ[name]
    told = metadata(name)
    said = told.get("License-Expression") or told.get("License") or ""
    named = [line.rpartition("::")[2].strip() for line in told.get_all("Classifier") or [] if "License ::" in line]
    for way in (said, *named):
        expression = _SAID.get(way.lower(), way)
        if _words(expression) and _words(expression) <= PERMISSIVE | {"MPL-2.0", "LGPL-3.0-only"}:
            return expression
    return ""


def wrong_with(name: str, expression: str) -> str:
    """Why a library cannot be brought along under this licence, as a sentence; "" where it can."""
    if not expression:
        return f"The licence of {name} is not known: read it, and write it into _READ of release/licences.py."
    if _words(expression) <= PERMISSIVE or ("MPL-2.0" in _words(expression) and name in REASONED) or name in WEAK:
        return ""
    return f"{name} is {expression}, which is not permissive: leave it out, or give the reason in release/licences.py."


def _words(expression: str) -> set[str]:
    return {word for word in re.split(r"[\s()]+", expression) if word not in ("", "AND", "OR")}


def brought_by(root: Path = ROOT) -> dict[str, list[str]]:
    """Every library, and which extras bring it; no extra is the package itself."""
    own = needs(root=root)
    found: dict[str, list[str]] = {name: [] for name in own}
    for extra in extras(root):
        for name in needs([extra], root=root) - own:
            found.setdefault(name, []).append(extra)
    return dict(sorted(found.items()))


def page(root: Path = ROOT) -> str:
    """The page.

    Raises:
        LookupError: A licence is unknown or not permitted, or a library is not installed; all of them are named.
    """
    rows, wrong = [], []
    for name, by in brought_by(root).items():
        try:
            expression = spdx(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is not installed here: type `make .venv/stamps/all`.")
            continue
        if sentence := wrong_with(name, expression):
            wrong.append(sentence)
        remark = REASONED.get(name) or WEAK.get(name) or ""
        rows.append(f"| {name} | {expression} | {', '.join(by) or 'always'} | {remark} |")
    if wrong:
        raise LookupError("\n".join(wrong))
    weak = ", ".join(f"`{name}`" for name in WEAK)
    head = f"""# Licences

Slipway is under Apache-2.0. These are the libraries that it and its extras bring, each with its own licence, by the
metadata of the pinned releases; `make licences` writes this page, and fails on a licence that is unknown or not permitted.
All are permissive (MIT, BSD, Apache, ISC, PSF, Zlib, CC0), but for two under MPL-2.0, and {weak}, which are under the LGPL
and come with an extra alone: they are imported as they are, anybody can replace them, and no archive of Slipway holds them.
Libraries that only other systems or Pythons ask for are left out.

| library | licence | comes with | remark |
|---|---|---|---|
"""
    return head + "\n".join(rows) + "\n" + _BESIDE


def main() -> int:
    """Write the page."""
    try:
        (ROOT / PAGE).write_text(page())
    except LookupError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
