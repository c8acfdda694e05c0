"""Training sets in batches, on a store: the rows of the frame, whatever goes wrong on the way."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import polars as pl
import pytest

import slipway.features.windows as w
from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.features import training, training_rows
from slipway.features.aside import aside_folder
from slipway.features.batches import Limits
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.views import feature_view
from slipway.ledger import run_log
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.records.tables import AboutTable
from slipway.schema.fingerprints import of_frame
from slipway.tables import catalog, versions
from slipway.tables.alters import alter
from slipway.tables.commits import note_about
from slipway.tables.row_batches import Batches

T = datetime(2013, 1, 1, tzinfo=UTC)
H = timedelta(hours=1)
INSTANT = pl.Datetime("us", "UTC")


@feature_view(entity="origin", time="observed_at", ttl="30h")
def weather_at(weather: pl.LazyFrame) -> pl.LazyFrame:
    return weather


@feature
def far(distance: int) -> bool:
    return distance > 1000


FEATURES = FeatureSet(
    "distance",
    w.windows("flights", time="known_at", by="origin", delay=w.mean("delay", "30h"), seen=w.count("30h")),
    weather_at,
    far,
)


@pytest.fixture
def flights(workspace: Workspace) -> SimpleNamespace:
    """In no order, with two rows of one time, rows without label and time, and keys that repeat."""
    order = [n * 37 % 100 for n in range(100)]
    frame = pl.DataFrame(
        {
            "flight_id": [n // 2 for n in order],
            "decided_at": [None if n == 13 else T + n // 2 * H for n in order],
            "known_at": [None if n == 8 else T + (n // 2 + 2) * H for n in order],
            "origin": [["EWR", "JFK", None][n % 3] for n in order],
            "distance": [n * 40 for n in order],
            "delay": [n / 7 for n in order],
            "late": [None if n % 11 == 0 else n % 2 == 0 for n in order],
        },
        schema_overrides={"decided_at": INSTANT, "known_at": INSTANT},
    )
    versions.overwrite(workspace, "flights", frame, key=("flight_id",), time="decided_at")
    seen = [{"origin": ["EWR", "JFK", None][n % 3], "observed_at": T + n * H, "temp": n / 3} for n in range(40)]
    versions.overwrite(workspace, "weather", pl.DataFrame(seen, schema_overrides={"observed_at": INSTANT}))
    return SimpleNamespace(name="flights", time="decided_at")


def test_batches_are_the_rows_of_the_frame(flights: SimpleNamespace, workspace: Workspace, said: list[str]) -> None:
    whole = FEATURES.training_set(flights, label="late")
    told = list(said)
    said.clear()
    batches = FEATURES.training_batches(flights, label="late", batch_rows=13)
    assert said == told
    frames = list(batches)
    assert [frame.height for frame in frames] == [13] * (whole.height // 13) + [whole.height % 13]
    assert len(batches) == len(frames)
    assert pl.concat(frames).equals(whole, null_equal=True)
    assert pl.concat(list(batches)).equals(whole, null_equal=True)
    assert batches.scan().collect().schema == whole.schema
    assert batches.fingerprint == of_frame(whole)
    assert batches.rows == whole.height
    head = catalog.head(workspace, "training.features")
    assert (head.version, head.fingerprint, head.rows) == (batches.version, batches.fingerprint, whole.height)
    assert head.source == "features.training_batches('flights', label='late')"
    manifest = catalog.manifest_of(workspace, head)
    assert (manifest.key, manifest.time) == (("flight_id",), "decided_at")
    again = FEATURES.training_batches(flights, label="late")
    assert again.version == batches.version
    assert len(catalog.history(workspace, "training.features")) == 1


def test_many_small_pieces_give_the_same(
    flights: SimpleNamespace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows looked at, divided, written and read in pieces of a few rows."""
    whole = FEATURES.training_set(flights, label="late", until=T + 40 * H)
    monkeypatch.setattr(training, "rows_at_once", lambda columns, spare: 7)
    limits = Limits(history_bytes=0, read_rows=11, part_rows=5, partitions=4)
    monkeypatch.setattr("slipway.features.batches.Limits", lambda: limits)
    batches = FEATURES.training_batches(flights, label="late", until=T + 40 * H, name="training.pieces", batch_rows=9)
    assert pl.concat(list(batches)).equals(whole, null_equal=True)
    assert not list((workspace.root / "aside").iterdir())


def test_what_was_stored_is_read_by_version_without_computing(flights: SimpleNamespace, workspace: Workspace) -> None:
    first = FEATURES.training_batches(flights, label="late")
    second = FEATURES.training_batches(flights, label="late", since=T + 9 * H)
    assert second.version != first.version
    assert FEATURES.stored_training_set().version == second.version
    found = FEATURES.stored_training_set(first.version)
    assert found.scan().collect().equals(first.scan().collect(), null_equal=True)
    with pytest.raises(NotFound, match="has no version 'f00'"):
        FEATURES.stored_training_set("f00")
    with pytest.raises(NotFound):
        FEATURES.stored_training_set(name="training.other")


def test_an_empty_training_set_keeps_its_columns(flights: SimpleNamespace) -> None:
    whole = FEATURES.training_set(flights, label="late", until=T)
    batches = FEATURES.training_batches(flights, label="late", until=T)
    assert (batches.rows, len(batches), list(batches)) == (0, 0, [])
    assert batches.scan().collect().schema == whole.schema


def test_tables_without_rows_are_looked_back_on(flights: SimpleNamespace, workspace: Workspace) -> None:
    schema = {"origin": pl.String, "observed_at": INSTANT, "temp": pl.Float64}
    versions.overwrite(workspace, "weather", pl.DataFrame(schema=schema))
    frame = FEATURES.training_batches(flights, label="late").scan().collect()
    assert frame["weather_at_temp"].null_count() == frame.height > 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"label": "lat"}, "has no column 'lat'. Did you mean 'late'"),
        ({"label": "late", "batch_rows": 0}, "Batches of 0 rows"),
        ({"label": "late", "name": "My set"}, "'My set' cannot be the name of a table"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    flights: SimpleNamespace, workspace: Workspace, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        FEATURES.training_batches(flights, **options)  # type: ignore[arg-type]
    assert not (workspace.root / "aside").exists() or not list((workspace.root / "aside").iterdir())


def test_a_truncated_file_is_a_sentence_and_nothing_is_stored(flights: SimpleNamespace, workspace: Workspace) -> None:
    for table in ("flights", "weather"):
        (path,) = (workspace.root / "tables" / "flights" / table).glob("*.parquet")
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(Corrupt, match="cannot be read"):
            FEATURES.training_batches(flights, label="late")
        # The same size, other bytes: found while reading.
        path.write_bytes(data[:4] + b"x" * 200 + data[204:])
        with pytest.raises(Corrupt, match="cannot be read"):
            FEATURES.training_batches(flights, label="late")
        path.write_bytes(data)
    assert not catalog.heads(workspace)[-1].name.startswith("training")
    assert FEATURES.training_batches(flights, label="late").rows > 0


def test_a_file_of_a_stored_set_that_is_gone_is_a_sentence(flights: SimpleNamespace, workspace: Workspace) -> None:
    batches = FEATURES.training_batches(flights, label="late")
    (path,) = (workspace.root / "tables" / "flights" / "training.features").glob("*.parquet")
    path.unlink()
    with pytest.raises(Corrupt, match=r"The stored rows of 'training.features' .* is missing"):
        list(batches)


def test_it_is_kept_as_a_reference(flights: SimpleNamespace, tmp_path: Path, workspace: Workspace) -> None:
    batches = FEATURES.training_batches(flights, label="late", batch_rows=10)
    batches.slipway_save(tmp_path)
    found = Batches.slipway_load(tmp_path)
    assert (found.version, found.batch_rows, found.rows) == (batches.version, 10, batches.rows)
    assert found.slipway_fingerprint() == batches.slipway_fingerprint() != batches.by(11).slipway_fingerprint()
    assert "rows in" in repr(found)
    assert (tmp_path / "batches.json").stat().st_size < 4000


def test_a_frame_that_does_not_fit_is_refused_before_it_is_made(
    flights: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = training_rows.free_bytes()
    assert free is None or free > 1_000_000
    monkeypatch.setattr(training_rows, "free_bytes", lambda: 1000)
    with pytest.raises(InvalidInput, match=r"takes at least 0.0 GB, and 0.0 GB .*training_batches\(...\) takes"):
        FEATURES.training_set(flights, label="late")
    assert FEATURES.training_batches(flights, label="late").rows > 0


FULL = """
import resource, signal, sys
from pathlib import Path
import polars as pl
from slipway.errors import BackendError
from slipway.features.aside import Aside, aside_folder, partition_of

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rows = pl.DataFrame({"key": range(200_000)})
try:
    with aside_folder(Path(sys.argv[1])) as folder:
        aside = Aside(folder, 2)
        aside.add(rows, partition_of(rows, 2))
        aside.flush()
except BackendError as problem:
    print(problem)
"""


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "aside")], capture_output=True, text=True, check=False
    )
    assert "Rows could not be put aside in" in answer.stdout, answer.stderr
    assert "Make room on that disk" in answer.stdout
    assert list((tmp_path / "aside").iterdir()) == []


def test_what_a_killed_process_put_aside_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom slipway.features.aside import aside_folder\n"
        "with aside_folder(Path(sys.argv[1])) as folder:\n    print(folder, flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    with aside_folder(tmp_path):
        assert left.exists()  # it lives: what it put aside is its own
    process.kill()
    process.wait()
    process.stdout.close()
    with aside_folder(tmp_path) as own:
        assert [*tmp_path.iterdir()] == [own]
    assert not own.exists()


def test_what_tells_of_a_person_does_so_in_a_stored_training_set_too(
    flights: SimpleNamespace, workspace: Workspace
) -> None:
    for name, column in (("flights", "distance"), ("weather", "temp")):
        rows = versions.read(workspace, name).collect()
        found = versions.head(workspace, name)
        manifest = versions.manifest_of(workspace, found)
        origin = versions.Origin(about=AboutTable(personal=(column,)))
        rows = rows.with_columns(pl.col(column) + 1)  # other rows, so that there is a version of which it is said
        versions.overwrite(workspace, name, rows, key=manifest.key, time=manifest.time, origin=origin)
    FEATURES.training_batches(flights, label="late")
    kept = versions.head(workspace, "training.features")
    assert kept.about.personal == ("distance", "far", "weather_at_temp")


@feature_view(entity="origin", time="observed_at", ttl="30h")
def picky(weather: pl.LazyFrame) -> pl.LazyFrame:
    if weather.select("temp").head(1).collect().is_empty():
        raise ValueError("There is no weather.\nAnd that goes on.")
    return weather


UNTRACED = FeatureSet("distance", picky, far)


def declare(workspace: Workspace, name: str, *columns: str) -> None:
    note_about(workspace, versions.head(workspace, name), AboutTable(personal=columns))


def test_a_query_that_fails_on_tables_without_rows_makes_all_features_personal(
    flights: SimpleNamespace, workspace: Workspace, said: list[str]
) -> None:
    declare(workspace, "weather", "temp")
    batches = UNTRACED.training_batches(flights, label="late")
    assert batches.rows
    kept = versions.head(workspace, "training.features")
    assert kept.about.personal == ("distance", "far", "picky_temp")
    told = [line for line in said if "personal" in line]
    assert told == [
        "All its features count as personal: which columns they read is not known, because the query of a feature view "
        "fails on tables without rows (ValueError: There is no weather.)."
    ]


def test_such_a_query_matters_to_nobody_where_no_column_is_personal(
    flights: SimpleNamespace, workspace: Workspace, said: list[str]
) -> None:
    assert UNTRACED.training_batches(flights, label="late").rows
    assert versions.head(workspace, "training.features").about.personal == ()
    assert not any("personal" in line for line in said)


def test_a_run_keeps_such_features_without_their_lineage(
    flights: SimpleNamespace, workspace: Workspace, said: list[str]
) -> None:
    declare(workspace, "flights", "distance")
    log = run_log.start(workspace, name="release")
    with run_log.current_run.filled(log):
        rows = UNTRACED.training_set(flights, label="late")
    (kept,) = [one for one in log.finish().artifacts if one.name == "training_set.json"]
    training = msgspec.json.decode(workspace.blobs.get(kept.digest), type=TrainingSet)
    assert (training.rows, training.reads) == (rows.height, {})
    assert any(line.startswith("The features are kept without their lineage: which columns") for line in said)


def test_a_column_is_personal_in_a_training_set_of_a_version_with_its_former_name(
    flights: SimpleNamespace, workspace: Workspace
) -> None:
    former = versions.head(workspace, "flights")
    alter(workspace, "flights", rename={"distance": "miles"})
    declare(workspace, "flights", "miles")
    with catalog.pins.filled({f"{workspace.project}/flights": former.version}):
        FEATURES.training_batches(flights, label="late")
    assert versions.head(workspace, "training.features").about.personal == ("distance", "far")
