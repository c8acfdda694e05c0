"""The page on which an input of a row is changed."""

import msgspec

from slipway.errors import SlipwayError
from slipway.server import explained
from slipway.server.view import Context, View

__all__ = ["what_if"]

_SET = "set."


def what_if(view: View) -> Context:
    """A version, a row, what is changed of it, and the answers. What cannot be asked is said above the form."""
    name, version = view.path["name"], view.path["version"]
    detail = view.ask("models.get", name=name, version=version)
    changed = {key.removeprefix(_SET): value for key, value in view.query.items() if key.startswith(_SET) and value}
    row = view.query.get("row", "")
    asked = {"row": row} if row else {}
    if changed:
        asked["changed"] = msgspec.json.encode(changed).decode()
    context: Context = {"detail": detail, "row": row, "changed": changed, "refused": None, "answer": None}
    try:
        answer = view.ask("models.what_if", name=name, version=str(detail.version.number), **asked)
    except SlipwayError as problem:
        view.sources.pop()
        return context | {"refused": problem}
    parts = [("As it is", answer.before)] + ([("With the changes", answer.after)] if answer.after else [])
    return context | {
        "answer": answer,
        "parts": [
            (title, one, explained.contributions(one.explanation) if one.explanation else None) for title, one in parts
        ],
    }
