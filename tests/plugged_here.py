"""Packages of one module with plug-ins, installed as an installer leaves them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., None]


def installing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """What installs a package: `install("package", code, check="name = {}:attribute")`."""

    def install(package: str, code: str, /, **named: str) -> None:
        sys.modules.pop(package, None)  # another test may have had one of that name
        home = folder / package
        told = home / f"{package}-1.0.dist-info"
        told.mkdir(parents=True)
        (home / f"{package}.py").write_text(code)
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        groups = [f"[slipway.{port}]\n{line.format(package)}\n" for port, line in named.items()]
        (told / "entry_points.txt").write_text("".join(groups))
        monkeypatch.syspath_prepend(home)

    return install
