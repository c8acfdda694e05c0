"""Where artifacts are, in MLflow's words.

A place is `EXPERIMENT/RUN/artifacts/PATH` or `EXPERIMENT/models/MODEL/artifacts/PATH`: the name of a record and a path
inside it. The server makes these; no client chooses a folder or an address.
"""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from slipway.errors import InvalidInput, NotFound
from slipway.ledger.stored_files import check_path

__all__ = ["Place", "check_location", "experiment_root", "model_root", "place_of", "place_of_uri", "run_root"]

_SCHEME = "mlflow-artifacts:/"


@dataclass(frozen=True, slots=True)
class Place:
    """A path inside a record.

    Args:
        experiment: The experiment's id, as clients name it.
        record: The run's or the logged model's id.
        is_model: Whether it is a logged model's.
        path: Inside it, "" for all of it.
    """

    experiment: str
    record: str
    is_model: bool
    path: str = ""

    @property
    def text(self) -> str:
        """As a path among all artifacts."""
        middle = f"models/{self.record}" if self.is_model else self.record
        return "/".join(part for part in (self.experiment, middle, "artifacts", self.path) if part)

    @property
    def uri(self) -> str:
        """As clients name it."""
        return _SCHEME + self.text


def experiment_root(experiment: str) -> str:
    """Where the artifacts of an experiment's runs are."""
    return _SCHEME + experiment


def run_root(experiment: str, run: str) -> str:
    """Where a run's artifacts are."""
    return Place(experiment, run, False).uri


def model_root(experiment: str, model: str) -> str:
    """Where a logged model's files are."""
    return Place(experiment, model, True).uri


def place_of(path: str) -> Place:
    """The place that a path among all artifacts names.

    Raises:
        InvalidInput: It leads elsewhere.
        NotFound: It is no record's place.
    """
    check_path(path)
    match path.split("/"):
        case [experiment, "models", record, "artifacts", *rest]:
            return Place(experiment, record, True, "/".join(rest))
        case [experiment, record, "artifacts", *rest]:
            return Place(experiment, record, False, "/".join(rest))
    raise NotFound(
        f"{path[:200]!r} is no place of artifacts.",
        why="Artifacts belong to a run or to a logged model.",
        fix="Use the `artifact_uri` of one of these.",
    )


def place_of_uri(uri: str) -> Place | None:
    """The place that an address names; None where it is not one among this server's artifacts.

    Raises:
        InvalidInput: It leads elsewhere.
        NotFound: It is no record's place.
    """
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts" or parts.query or parts.fragment:
        return None
    return place_of(unquote(parts.path).strip("/"))


def check_location(location: str) -> None:
    """Refuse an address for artifacts that a client wants to choose.

    Raises:
        InvalidInput: There is one.
    """
    if location:
        raise InvalidInput(
            f"The artifact location {location[:80]!r} cannot be chosen.",
            why="This server keeps artifacts itself, by their content; it opens no address that a client names.",
            fix="Leave `artifact_location` out.",
            field="artifact_location",
        )
