"""The certificate bites: one rule of one path is changed at a time, and it fails."""

import dataclasses
import importlib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import feature_histories as fh
import msgspec
import polars as pl
import pytest
import test_skew as ts
import test_views as tv

import redis_here
import slipway.features.windows as w
from slipway import code, plugins
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.features import calls, look_ups, materialise, online, point_in_time, scalar_columns, states
from slipway.features.certificate import certificate_of
from slipway.features.extracted import extracted_functions, functions_in
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.skew import certify, paths_of
from slipway.features.specs import FrameTables, build_spec
from slipway.features.views import feature_view
from slipway.hosts.online_stores import open_online
from slipway.ports.workspace import Workspace
from slipway.records.features import EventRow, SkewCertificate, ViewRow

pytestmark = pytest.mark.full

Mutant = Callable[[pytest.MonkeyPatch], None]


RECENT = w.windows(
    "events",
    time="known_at",
    by={"origin": "origin", "both": ["origin", "carrier"]},
    seen=w.count("1h"),
    several=w.approx_distinct("seats", "6h", tolerance=0.1),
    median=w.quantile("delay", 0.5, "6h", default=0.0),
    fading=w.decayed_mean("delay", half_life="40m", width="6h"),
    **{f"{kind}_delay": make("delay", "6h") for kind, make in fh.KINDS.items()},
    **{f"{kind}_seats": make("seats", "1h") for kind, make in fh.KINDS.items()},
)


@feature_view(entity="origin", time="seen_at", ttl="1h", default={"temp": -1.0, "sky": "?"})
def sky(observations: pl.LazyFrame) -> pl.LazyFrame:
    return observations.select("origin", "seen_at", "temp", "sky")


FEATURES = FeatureSet(sky, RECENT, fh.is_far, ts.plain, "departs", tv.weather, tv.desk, tv.airline)


def certificate(folder: Path, tables: Workspace, kind: type = SqliteOnlineStore) -> SkewCertificate:
    return ts.certificate(folder, FEATURES, kind, tables=tables, rows=400)


def test_without_a_mutant_all_paths_agree(tmp_path: Path, workspace: Workspace) -> None:
    found = certificate(tmp_path, workspace)
    assert [check.path for check in found.paths] == ["online", "stream", "back-fill"]
    assert all(check.compared >= 400 * found.features for check in found.paths)
    assert found.equal, found.first
    assert found.paths[1].restarts == 3


@pytest.mark.full
def test_the_store_on_redis_agrees_too(tmp_path: Path, workspace: Workspace) -> None:
    with redis_here.cleaned(f"test:{tmp_path}"):
        found = certify(
            ts.spec_of(FEATURES),
            FEATURES.functions,
            lambda name: plugins.load("online", "redis")(redis_here.URL, f"test:{tmp_path}:{name}"),
            tables=workspace,
            rows=400,
        )
    assert found.equal, found.first
    assert [check.path for check in found.paths] == ["online", "stream", "back-fill"]


@pytest.mark.full
def test_the_certificate_of_a_project_is_of_its_own_store_and_leaves_nothing_there(workspace: Workspace) -> None:
    redis = redis_here.client()
    spec = ts.spec_of(FeatureSet(fh.a_set().parts[1]))
    embedded = certificate_of(workspace, spec, {})
    shared = dataclasses.replace(workspace, online=redis_here.URL, open_online=open_online)
    found = certificate_of(shared, spec, {})
    assert found.equal, found.first
    assert found.engine != embedded.engine
    assert list(redis.scan_iter(match="{slipway:proof:*")) == []
    redis.close()


# The online path alone -------------------------------------------------------------------------------------------------


def calls_with_nulls(patch: pytest.MonkeyPatch) -> None:
    """A null argument reaches a function that was not declared to take one, as 0."""

    def row_caller(scalar: Any, functions: Any) -> Any:
        call = calls.row_caller(scalar, functions)
        return lambda arguments, row: call(tuple(0 if value is None else value for value in arguments), row)

    patch.setattr(online, "row_caller", row_caller)


def ttl_excludes_its_end(patch: pytest.MonkeyPatch) -> None:
    """`<` where `<=` is meant: a row exactly as old as its ttl no longer counts."""
    original = look_ups._values_of_views

    def shorter(view: Any) -> Any:
        return view if view.ttl_us is None else msgspec.structs.replace(view, ttl_us=view.ttl_us - 1)

    patch.setattr(look_ups, "_values_of_views", lambda views: original([shorter(view) for view in views]))


def whole_numbers_become_floats(patch: pytest.MonkeyPatch) -> None:
    """The greatest of whole numbers comes as a float."""
    patch.setitem(states._FINISH, "max", lambda state, place, a: _as_float(states._largest(state, place, a)))


def instants_keep_their_zone(patch: pytest.MonkeyPatch) -> None:
    """An instant of a request is not brought to UTC: its hour is another one."""
    original = online.coercer
    patch.setattr(online, "coercer", lambda kind: None if kind == "datetime" else original(kind))


def offsets_are_dropped(patch: pytest.MonkeyPatch) -> None:
    """The wall clock of a pushed instant is taken for UTC: what a missing time zone does."""

    def us(value: Any) -> int:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        return states.to_us(at.replace(tzinfo=ts.fh.START.tzinfo))

    patch.setattr(online, "_us", us)


def negative_zero_stays(patch: pytest.MonkeyPatch) -> None:
    """-0.0 is stored as it came."""
    patch.setattr(online, "plain", lambda value: value if isinstance(value, float) else states.plain(value))


def nan_is_a_number(patch: pytest.MonkeyPatch) -> None:
    """NaN and infinities are kept in the values of views."""
    patch.setattr(online, "finite", float)


def half_is_rounded_up(patch: pytest.MonkeyPatch) -> None:
    """Half a step of the grid goes up instead of to the even side."""

    def coder(column: Any) -> Any:
        original = states.coder(column)

        def code(value: Any) -> int | None:
            if column.coding != "grid" or column.integer or value is None or not math.isfinite(value):
                return original(value)
            return math.floor(value * column.scale + 0.5) if abs(value * column.scale) < 2.0**63 else original(value)

        return code

    patch.setattr(online, "coder", coder)


def registers_of_another_hash(patch: pytest.MonkeyPatch) -> None:
    """A distinct count puts all pushed values into one register."""

    def coder(column: Any) -> Any:
        original = states.coder(column)
        if column.coding != "register":
            return original
        return lambda value: None if value is None else original(value) % 64

    patch.setattr(online, "coder", coder)


def default_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A view's default stands in training only."""
    patch.setattr(look_ups, "defaults_of", lambda view: (None,) * len(view.fields))


def keys_are_not_escaped(patch: pytest.MonkeyPatch) -> None:
    """("a", "b|c") and ("a|b", "c") are one key, in the store that was pushed into."""
    patch.setattr(states, "_escaped", str)


def null_is_a_key(patch: pytest.MonkeyPatch) -> None:
    """A null key is looked up, as the text "None"."""
    original = online.key_encoder

    def encoder(types: Any) -> Any:
        encode = original(types)
        return lambda values: encode(["None" if value is None else value for value in values])

    patch.setattr(online, "key_encoder", encoder)
    patch.setattr(look_ups, "key_encoder", encoder)


def std_of_the_population(patch: pytest.MonkeyPatch) -> None:
    """n where n - 1 is meant."""

    def std(state: Any, place: int, aggregate: Any) -> float | None:
        n, s, q = state.columns[place][:3]
        return math.sqrt(float(n * q - s * s) / float(n * n)) / float(aggregate.scale) if n > 1 else None

    patch.setitem(states._FINISH, "std", std)


def sum_of_nothing_is_null(patch: pytest.MonkeyPatch) -> None:
    """The null rule of one aggregate."""
    patch.setitem(
        states._FINISH, "sum", lambda state, place, a: states._sum(state, place, a) if state.columns[place][0] else None
    )


def dates_move_by_a_day(patch: pytest.MonkeyPatch) -> None:
    """The day of a view is counted from another epoch when it comes back."""
    original = look_ups.restore

    def restore(kind: Any) -> Any:
        return original(kind) if kind != "date" else lambda days: original("date")(days) + timedelta(days=1)  # type: ignore[misc]

    patch.setattr(look_ups, "restore", restore)


# The offline path alone ------------------------------------------------------------------------------------------------


def window_holds_its_beginning(patch: pytest.MonkeyPatch) -> None:
    """[at - width, at] where (at - width, at] is meant."""
    original = point_in_time.WindowRows.before
    patch.setattr(
        point_in_time.WindowRows,
        "before",
        lambda self, labels, instants, high, width_us: original(self, labels, instants, high, width_us + 1),
    )


def lesser_of_two_contents_counts(patch: pytest.MonkeyPatch) -> None:
    """The tie rule: of one event with two contents the first in order stays."""
    original = pl.DataFrame.unique

    def unique(self: pl.DataFrame, *args: Any, **options: Any) -> pl.DataFrame:
        return original(self, *args, **{**options, "keep": "first"})

    patch.setattr(pl.DataFrame, "unique", unique)


def ttl_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A value past its ttl is served as if fresh."""
    original = look_ups._values_of_views

    def endless(view: Any) -> Any:
        return msgspec.structs.replace(view, ttl_us=None)

    patch.setattr(look_ups, "_values_of_views", lambda views: original([endless(view) for view in views]))


def local_time_offline(patch: pytest.MonkeyPatch) -> None:
    """Training reads the hour in the table's own zone."""
    original = scalar_columns._python_values

    def values(series: pl.Series) -> list[Any]:
        zone = getattr(series.dtype, "time_zone", None)
        return original(series.dt.offset_by("1h") if zone else series)

    patch.setattr(scalar_columns, "_python_values", values)


# The back-fill alone ---------------------------------------------------------------------------------------------------


def back_fill_keys_differ(patch: pytest.MonkeyPatch) -> None:
    """A key of two columns is joined by another sign than a pushed one: it is never found."""
    original = materialise._key_text

    def text(names: Sequence[str], types: Any) -> pl.Expr:
        return original(names, types).str.replace("|", "/", literal=True)

    patch.setattr(materialise, "_key_text", text)


def back_fill_in_nanoseconds(patch: pytest.MonkeyPatch) -> None:
    """Durations are loaded in another unit than they are pushed."""
    original = materialise._stored_form
    patch.setattr(
        materialise,
        "_stored_form",
        lambda name, kind: original(name, kind) * 1000 if kind == "duration" else original(name, kind),
    )


MUTANTS = [
    calls_with_nulls,
    ttl_excludes_its_end,
    ttl_is_forgotten,
    whole_numbers_become_floats,
    instants_keep_their_zone,
    offsets_are_dropped,
    negative_zero_stays,
    nan_is_a_number,
    half_is_rounded_up,
    registers_of_another_hash,
    default_is_forgotten,
    keys_are_not_escaped,
    null_is_a_key,
    std_of_the_population,
    sum_of_nothing_is_null,
    dates_move_by_a_day,
    window_holds_its_beginning,
    lesser_of_two_contents_counts,
    local_time_offline,
    back_fill_keys_differ,
    back_fill_in_nanoseconds,
]


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(one, id=one.__name__, marks=pytest.mark.long if n % 4 else ()) for n, one in enumerate(MUTANTS)],
)
def test_a_changed_rule_is_found(
    mutant: Mutant, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    found = certificate(tmp_path, workspace)
    assert not found.equal
    assert found.first
    broken = {check.path for check in found.paths if check.mismatches}
    if mutant.__name__.startswith("back_fill"):
        assert broken == {"back-fill"}
    else:
        assert broken >= {"online", "stream"}


# Stores ------------------------------------------------------------------------------------------------------------------


class DropsLateEvents(SqliteOnlineStore):
    """Takes an event that is older than the newest of its key for one that it knows."""

    def push_events(self, stream: str, rows: Iterable[EventRow], **options: Any) -> int:
        kept = []
        newest: dict[tuple[str, str], int] = self.__dict__.setdefault("_newest", {})
        for row in rows:
            if row.time_us >= newest.get((stream, row.key), -(2**63)):
                newest[stream, row.key] = row.time_us
                kept.append(row)
        return super().push_events(stream, kept, **options)


class ForgetsWhenClosed(SqliteOnlineStore):
    """Loses the newest view rows when it is closed."""

    def put_rows(self, view: str, rows: Iterable[ViewRow], **options: Any) -> int:
        self.__dict__.setdefault("_put", []).append(view)
        return super().put_rows(view, rows, **options)

    def close(self) -> None:
        if self.__dict__.get("_put") and self._path.parent.name == "stream":
            with self._writing() as connection:
                for view in set(self.__dict__.pop("_put")):
                    connection.execute(f'DELETE FROM "v_{view}"')
        super().close()


@pytest.mark.parametrize(
    ("kind", "broken"), [(DropsLateEvents, {"online", "stream", "back-fill"}), (ForgetsWhenClosed, {"stream"})]
)
def test_a_store_that_is_wrong_in_a_stream_only_is_found(
    tmp_path: Path, workspace: Workspace, kind: type, broken: set[str]
) -> None:
    found = certificate(tmp_path, workspace, kind)
    assert {check.path for check in found.paths if check.mismatches} == broken


# The extracted code of one feature ---------------------------------------------------------------------------------------

RATES = """
import slipway as sw

LIMIT = 100


@sw.feature
def is_far(distance: int) -> bool:
    return distance > LIMIT


@sw.feature
def half(distance: int) -> float:
    return distance / 2
"""


@pytest.mark.parametrize(
    ("line", "instead", "feature_name"),
    [
        ("return distance > LIMIT", "return distance >= LIMIT", "is_far"),
        ("LIMIT = 100", "LIMIT = 101", "is_far"),
        ("return distance / 2", "return distance // 2 * 1.0", "half"),
    ],
)
def test_one_changed_line_of_the_extracted_code_is_found(
    line: str, instead: str, feature_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text("[project]\nname = 'mutated_rates'\n")
    (project / "mutated_rates.py").write_text(RATES)
    monkeypatch.syspath_prepend(project)
    module = importlib.import_module("mutated_rates")
    try:
        features = FeatureSet(module.is_far, module.half)
        spec = build_spec(features, {"distance": "int"}, FrameTables({}), lambda function: function.__name__)
        assert paths_of(spec) == ("online",)
        folder = tmp_path / "code"
        folder.mkdir()
        intact = extracted_functions(spec, features.functions, folder)
        written = next(path for path in folder.rglob("*.py") if "is_far" in path.read_text())
        assert line in written.read_text()
        written.write_text(written.read_text().replace(line, instead))
        altered = functions_in(spec, _loaded(folder))
    finally:
        sys.modules.pop("mutated_rates", None)

    def found(serving: Any) -> SkewCertificate:
        return certify(spec, features.functions, lambda name: SqliteOnlineStore(tmp_path / name), serving=serving)

    assert found(intact).equal
    broken = found(altered)
    assert [one.feature for check in broken.paths for one in check.features] == [feature_name]


def _loaded(folder: Path) -> Any:
    modules = [path.relative_to(folder).with_suffix("").as_posix().replace("/", ".") for path in folder.rglob("*.py")]
    return code.load_extracted(folder, tuple(modules))


# Keys of every type ------------------------------------------------------------------------------------------------------


def test_keys_of_every_type_agree_on_all_paths(tmp_path: Path, workspace: Workspace) -> None:
    schema = {
        "id": pl.Date,
        "known_at": pl.Datetime("us", "UTC"),
        "number": pl.Int64,
        "day": pl.Date,
        "moment": pl.Datetime("us", "UTC"),
        "flag": pl.Boolean,
        "paid": pl.Float64,
    }
    declared = w.windows(
        "payments",
        time="known_at",
        by={"number": "number", "day": "day", "moment": "moment", "all": ["flag", "moment", "day", "number"]},
        paid=w.sum_("paid", "6h"),
        last=w.last("paid", "1h"),
    )

    @feature
    def shown(day: date, number_paid: float) -> str:
        return f"{day} {number_paid}"

    features = FeatureSet(declared, shown)
    request = {"number": "int", "day": "date", "moment": "datetime", "flag": "bool"}
    spec = build_spec(
        features,
        request,  # type: ignore[arg-type]
        FrameTables({"payments": pl.DataFrame(schema=schema)}, {"payments": ("id", "moment")}),
        lambda function: function.__name__,
    )
    found = certify(
        spec,
        features.functions,
        lambda name: SqliteOnlineStore(tmp_path / name / "online.db"),
        tables=workspace,
        rows=300,
    )
    assert found.equal, found.first


def _as_float(value: Any) -> Any:
    return None if value is None else float(value)
