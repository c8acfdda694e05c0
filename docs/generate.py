"""Write docs/reference/ from the code: commands, public names, operations, settings, errors, roles.

`make docs` runs it; a test fails when a page is not what the code says now.
"""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import msgspec

import slipway
from slipway import errors
from slipway.cli import COMMANDS
from slipway.hosts import settings
from slipway.operations.acts import ACTS
from slipway.operations.permissions import RIGHTS, ROLES, allowed
from slipway.operations.table import OPERATIONS
from slipway.records.log_in import OidcSettings
from slipway.records.people import MEMBER, Actor

FOLDER = Path(__file__).parent / "reference"


def pages() -> dict[str, str]:
    """The pages by file name."""
    return {
        "commands.md": "\n".join(_commands()),
        "names.md": "\n".join(_names()),
        "operations.md": "\n".join(_operations()),
        "settings.md": "\n".join(_settings()),
        "errors.md": "\n".join(_errors()),
        "roles.md": "\n".join(_roles()),
    }


def _commands() -> Iterator[str]:
    yield "# Commands\n\nEvery command takes `--json` and `--help`; an error is a sentence, its exit code says its kind.\n"
    for name, (module, attribute, line) in COMMANDS.items():
        yield f"## slipway {name}\n\n{line}\n"
        command: click.Command = getattr(import_module(module), attribute)
        yield from _command(command, f"slipway {name}")


def _command(command: click.Command, path: str) -> Iterator[str]:
    # As the command line itself shows it: click keeps the first help option that a command was asked with.
    command._help_option = None
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"])
    yield f"```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield f"### {path} {name}\n"
            yield from _command(command.commands[name], f"{path} {name}")


def _names() -> Iterator[str]:
    yield "# Names\n\nWhat `import slipway as sw` offers.\n"
    for name in slipway.__all__:
        value = getattr(slipway, name)
        yield f"## sw.{name}\n"
        if callable(value):
            yield f"```python\n{name}{_signature(value)}\n```\n"
        yield _prose(inspect.getdoc(value) or "") + "\n"


def _signature(value: Any) -> str:
    text = str(inspect.signature(value))
    return re.sub(r"<function <lambda> at 0x[0-9a-f]+>", "...", text)


def _operations() -> Iterator[str]:
    yield "# Operations\n\nWhat a user can do, the same through Python, command line and HTTP.\n"
    for operation in OPERATIONS.values():
        yield f"## {operation.name}\n\n{operation.summary}\n"
        yield f"`{operation.method} {operation.path}`, permission `{operation.permission}`.\n"
        fields = msgspec.structs.fields(operation.request)
        if fields:
            yield "| field | type | default |\n|---|---|---|"
            yield from (f"| {f.name} | {_type(f.type)} | {_default(f)} |" for f in fields)
            yield ""


def _settings() -> Iterator[str]:
    yield "# Settings: slipway.toml\n"
    sections = (
        ("project", settings.ProjectSettings),
        ("environments.NAME", settings.EnvironmentSettings),
        ("audit", settings.AuditSettings),
        ("raci.STAGE", settings.RaciSettings),
        ("server.oidc", OidcSettings),
    )
    for name, kind in sections:
        yield f"## [{name}]\n\n{_prose(inspect.getdoc(kind) or '')}\n"
        yield "| key | type | default |\n|---|---|---|"
        yield from (f"| {f.name} | {_type(f.type)} | {_default(f)} |" for f in msgspec.structs.fields(kind))
        yield ""
    yield "The environment variables SLIPWAY_STORE and SLIPWAY_SERVER override `store` and `server` everywhere.\n"


def _errors() -> Iterator[str]:
    yield f"# Errors\n\n```\n{inspect.getdoc(errors)}\n```\n"
    for name in errors.__all__:
        value = getattr(errors, name)
        if inspect.isclass(value):
            yield f"## {name}\n\n{_prose(inspect.getdoc(value) or '')}\n"


def _roles() -> Iterator[str]:
    yield "# Roles\n\nWhat each role may do, made from the one table that every face asks. A right is written `noun.right`.\n"
    roles = [role for role in ROLES if role != MEMBER]
    held = {role: Actor("x", roles=(role, MEMBER)) for role in roles}
    used: dict[str, list[str]] = {}
    for operation in OPERATIONS.values():
        used.setdefault(operation.permission, []).append(operation.name)
    here: dict[str, list[str]] = {}
    for act, needed in ACTS.items():
        for right in needed:
            here.setdefault(right, []).append(act)
    nouns: dict[str, list[str]] = {}
    for right in sorted({*RIGHTS, *used}):
        nouns.setdefault(right.partition(".")[0], []).append(right)
    for noun, rights in nouns.items():
        yield f"## {noun}\n"
        yield "| may | " + " | ".join(roles) + " |"
        yield "|---|" + "---|" * len(roles)
        for right in rights:
            marks = ["yes" if allowed(held[role], right) else "" for role in roles]
            yield f"| {RIGHTS[right]} (`{right}`) | " + " | ".join(marks) + " |"
        yield ""
        for right in rights:
            parts = [", ".join(f"`{name}`" for name in used.get(right, ()))]
            if right in here:
                parts.append("where the code or the store is: " + ", ".join(f"`{name}`" for name in here[right]))
            yield f"- `{right}`: {'; '.join(filter(None, parts)) or 'asked where it is used'}"
        yield ""


def _type(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind)).replace("|", "or")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required" if field.default_factory is msgspec.NODEFAULT else "empty"
    return f"`{field.default!r}`"


def _prose(text: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    lines = []
    for line in text.splitlines():
        section = re.fullmatch(r"(Args|Returns|Raises|Attributes|Guarantees|Source|Example):\s*(.*)", line)
        if section:
            lines += ["", f"**{section[1]}**", "", section[2]] if section[2] else ["", f"**{section[1]}**", ""]
        elif re.match(r"    [\w*]+: ", line):
            lines.append(f"- {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines).strip()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text.rstrip() + "\n")
