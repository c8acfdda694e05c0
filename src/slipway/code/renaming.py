"""Extracted code under another package's name, so that the modules of several projects live side by side."""

import ast
from collections.abc import Mapping

from slipway.code.parsing import parse

__all__ = ["under_package"]


def under_package(sources: Mapping[str, str], package: str) -> dict[str, str]:
    """Put extracted modules below a package; their imports of each other follow, all other code stays as it is.

    Args:
        sources: Path -> text, as `extract` gives it.
        package: The package's name, an identifier that no module of anybody has.

    Returns:
        Path -> text: `<package>/<path>`, and an `__init__.py` in every folder that had none.
    """
    tops = {path.partition("/")[0].removesuffix(".py") for path in sources}
    moved = {f"{package}/{path}": _text(text, package, tops) for path, text in sources.items()}
    folders = {path.rpartition("/")[0] for path in moved}
    while parents := {folder.rpartition("/")[0] for folder in folders if "/" in folder} - folders:
        folders |= parents
    return moved | {name: "" for folder in folders if (name := f"{folder}/__init__.py") not in moved}


def _text(text: str, package: str, tops: set[str]) -> str:
    tree = _Renamer(package, tops).visit(parse(text))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class _Renamer(ast.NodeTransformer):
    """Lets import statements find the moved modules."""

    def __init__(self, package: str, tops: set[str]) -> None:
        self._package = package
        self._tops = tops

    def _is_ours(self, module: str) -> bool:
        return module.partition(".")[0] in self._tops

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.level == 0 and node.module and self._is_ours(node.module):
            node.module = f"{self._package}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for alias in node.names:
            if not self._is_ours(alias.name):
                found.append(ast.Import([alias]))
                continue
            top, _, rest = alias.name.partition(".")
            moved = f"{self._package}.{alias.name}"
            if alias.asname:
                found.append(ast.Import([ast.alias(moved, alias.asname)]))
                continue
            if rest:  # `import a.b` binds `a`, with `b` inside it
                found.append(ast.Import([ast.alias(moved, "_")]))
            found.append(ast.ImportFrom(self._package, [ast.alias(top)], 0))
        return found
