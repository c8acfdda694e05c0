"""`slipway features`: how features are defined, the definitions that they have had, and whether their examples hold."""

from datetime import timedelta

import click
from msgspec import Struct

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, facts, instant
from slipway.errors import GateRefused, InvalidDeclaration
from slipway.features.scalars import Feature
from slipway.operations.features import Certified, Certify, FeatureDetail, Features
from slipway.records.features import Aggregate, FeatureDefinition, RequestField, Scalar, Windows

__all__ = ["features"]

_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


class TestedFeature(Struct, frozen=True, kw_only=True):
    """What came of a feature's examples and twin.

    Args:
        name: The feature's.
        examples: How many it has.
        has_twin: Whether it has a vectorised twin.
        failed: What does not hold, as sentences.
    """

    name: str
    examples: int
    has_twin: bool = False
    failed: tuple[str, ...] = ()


@click.group()
def features() -> None:
    """List features, show one's definitions, or test their examples."""


@features.command("list")
@opened
def list_(door: Door) -> None:
    """List the features that training sets have used."""
    door.show(door.call("features.list"), _list_text)


@features.command()
@click.argument("name", metavar="FEATURE")
@opened
def show(door: Door, name: str) -> None:
    """Show one feature and the definitions that it has had."""
    door.show(door.call("features.get", name=name), _show_text)


@features.command()
@click.argument("names", metavar="[FEATURE]...", nargs=-1)
@opened
def test(door: Door, names: tuple[str, ...]) -> None:
    """Check the examples and vectorised twins of the declared features: of all, or of those named."""
    from slipway.features.sets import FeatureSet

    declared: dict[str, Feature] = dict(door.project.declared(Feature))
    for made in door.project.all_declared(FeatureSet):
        declared |= {part.name: part for part in made.parts if isinstance(part, Feature)}
    for name in names:
        if name not in declared:
            door.project.pick(Feature, name, "feature")
    tested = [_tested(declared[name]) for name in (names or declared)]
    door.show(tested, _test_text)
    failed = [sentence for each in tested for sentence in each.failed]
    if failed:
        raise InvalidDeclaration(
            f"Examples and twins that do not hold: {len(failed):,}.",
            why=failed[0],
            fix="Correct the function, or what is said of it.",
        )


@features.command()
@click.argument("model", metavar="MODEL")
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@click.option("--anew", is_flag=True, help="Prove them again, as the project's code declares them now.")
@opened
def certify(door: Door, model: str, version: str, anew: bool) -> None:
    """Show what proves that MODEL is served the features that it was trained on."""
    if anew:
        from slipway.flows.certify import certify_anew
        from slipway.flows.endpoint import Endpoint

        endpoint = door.project.pick(Endpoint, model, "endpoint")
        found = certify_anew(door.project.workspace, endpoint, Certify(model=model, version=version))
    else:
        found = door.call("features.certify", model=model, version=version)
    door.show(found, _certified_text)
    if not found.holds:
        raise GateRefused(
            f"The features of {found.model} {found.number} are not proven.",
            why=found.sentence,
            fix="Look at the first difference of each feature above.",
        )


def _certified_text(answer: Certified) -> str:
    certificate = answer.certificate
    rows = [(check.path, f"{check.compared:,}", f"{check.mismatches:,}", check.how) for check in certificate.paths]
    differing = [
        (skew.feature, check.path, f"{skew.mismatches:,}", skew.first)
        for check in certificate.paths
        for skew in check.features
    ]
    parts = [
        facts(
            [
                ("model", f"{answer.model} {answer.number}"),
                ("definition", certificate.definition),
                ("certificate", f"{'proven' if answer.holds else 'not proven'}: {answer.sentence}"),
                ("calls that raised", f"{certificate.raised:,}, the same on every path" if certificate.raised else ""),
            ]
        ),
        columns(("path", "values compared", "different", "how"), rows, empty=""),
        columns(("feature", "path", "different", "first"), differing, empty=""),
    ]
    return "\n\n".join(part for part in parts if part)


def _tested(declared: Feature) -> TestedFeature:
    from slipway.features.examples import failed_examples

    failed = failed_examples(declared)
    if declared.twin is not None:
        from slipway.features.scalar_columns import refusal

        failed += filter(None, [refusal(declared)])
    return TestedFeature(
        name=declared.name,
        examples=len(declared.examples),
        has_twin=declared.twin is not None,
        failed=tuple(failed),
    )


def _list_text(answer: Features) -> str:
    rows = [
        (
            found.name,
            _kind(found),
            _type(found),
            ", ".join(_keys(found)),
            _age(found),
            ", ".join(found.sources),
            str(found.number),
            found.definition[:12],
            found.about.owner,
            found.about.description,
        )
        for found in answer.features
    ]
    head = ("feature", "kind", "type", "by", "window", "from", "version", "definition", "owner", "description")
    return columns(head, rows, empty="No training set has used a feature yet. Make one: slipway run")


def _show_text(answer: FeatureDetail) -> str:
    newest = next(version for version in answer.versions if version.number == answer.in_use)
    part = newest.part
    pairs = [
        ("feature", newest.name),
        ("kind", _kind(newest)),
        ("type", _type(newest)),
        ("by", ", ".join(_keys(newest))),
        ("window", _age(newest)),
        ("default", _default(newest)),
        ("from", ", ".join(newest.sources)),
        ("owner", newest.about.owner),
        ("description", newest.about.description),
        ("tags", ", ".join(newest.about.tags)),
    ]
    if isinstance(part, Scalar):
        fields = [(field.name, field.type, "yes" if field.nullable else "no") for field in part.arguments]
        head = ("argument", "type", "nulls allowed")
    else:
        fields = [(field.name, field.type, "yes" if field.nullable else "no") for field in newest.columns]
        head = ("column", "type", "null possible")
    versions = [
        (
            str(version.number),
            version.definition[:12],
            instant(version.created_at),
            "in use" if version.number == answer.in_use else "",
        )
        for version in answer.versions
    ]
    return "\n\n".join(
        [
            facts(pairs),
            columns(head, fields, empty=""),
            columns(("version", "definition", "first used (UTC)", ""), versions, empty=""),
        ]
    )


def _test_text(tested: list[TestedFeature]) -> str:
    if not tested:
        return "The project declares no scalar feature."
    lines = []
    for each in tested:
        twin = ", its twin" if each.has_twin else ""
        if not each.examples and not twin:
            lines.append(f"no examples  {each.name}")
        elif not each.failed:
            lines.append(f"holds        {each.name}: {count(each.examples, 'example')}{twin}")
        lines += [f"FAILS        {sentence}" for sentence in each.failed]
    return "\n".join(lines)


def _kind(found: FeatureDefinition) -> str:
    aggregate = _aggregate(found)
    return aggregate.kind.replace("_", " ") if aggregate else type(found.part).__name__.lower()


def _aggregate(found: FeatureDefinition) -> Aggregate | None:
    return found.part.aggregates[0] if isinstance(found.part, Windows) else None


def _type(found: FeatureDefinition) -> str:
    return found.columns[0].type if len(found.columns) == 1 else count(len(found.columns), "column")


def _keys(found: FeatureDefinition) -> tuple[str, ...]:
    if isinstance(found.part, Scalar):
        return tuple(argument.name for argument in found.part.arguments)
    if isinstance(found.part, RequestField):
        return ()
    return found.part.by if isinstance(found.part, Windows) else found.part.entity


def _age(found: FeatureDefinition) -> str:
    """The width of a window, or how old a view's row may be."""
    if isinstance(found.part, Scalar | RequestField):
        return ""
    aggregate = _aggregate(found)
    if aggregate is not None:
        return duration(aggregate.width_us)
    ttl_us = None if isinstance(found.part, Windows) else found.part.ttl_us
    return "" if ttl_us is None else f"ttl {duration(ttl_us)}"


def duration(us: int) -> str:
    """Microseconds as they are declared: "6h", "90s"."""
    seconds, rest = divmod(us, 10**6)
    if rest:
        return str(timedelta(microseconds=us))
    return next(f"{seconds // size}{unit}" for unit, size in _UNITS if seconds % size == 0)


def _default(found: FeatureDefinition) -> str:
    if isinstance(found.part, Scalar):
        return "" if found.part.default is None else str(found.part.default)
    aggregate = _aggregate(found)
    if aggregate is not None:
        return "" if aggregate.default is None else str(aggregate.default)
    given = () if isinstance(found.part, Windows | RequestField) else found.part.defaults
    return ", ".join(f"{name}={value}" for name, value in given)
