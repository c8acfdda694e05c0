"""What a container of an image runs: `python -m slipway.hosts.image_server FOLDER` serves the one bundle in the folder.

It writes nothing, so that the container's disk may be read-only, and asks nobody.
"""

import logging
import os
import signal
import sys
from pathlib import Path

import msgspec

from slipway.errors import Corrupt, InvalidInput, SlipwayError
from slipway.hosts.endpoint import start_logging
from slipway.hosts.endpoint_loader import Loader
from slipway.records.endpoints import Revision, StandAlone
from slipway.records.people import Actor
from slipway.schema.moments import moment
from slipway.serving.alone import build_alone
from slipway.serving.counters import Counters
from slipway.serving.worker import DrainingServer

__all__ = ["ABOUT", "PORT", "main"]

ABOUT = "image.json"
"""In the image's folder: what it serves."""
PORT = 8080
_HOST, _PORT = "SLIPWAY_HOST", "SLIPWAY_PORT"
_logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Serve until told to stop; returns the process's exit code."""
    start_logging()
    folder = Path(arguments[0])
    try:
        about = _about(folder)
        host, port = os.environ.get(_HOST, "0.0.0.0"), _port()
        active = Loader(folder, None).load(_revision(about))
    except SlipwayError as problem:
        _logger.error("There is nothing to serve: %s", problem)
        return 1
    counters = Counters()
    server = DrainingServer(lambda closing: build_alone(about, active, counters, closing), host=host, port=port)
    _logger.info("%s %d answers on port %d.", about.served.model, about.served.number, port)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn sends itself the signal again when it is done
        signal.signal(number, lambda *_: None)
    server.run()
    return 0


def _about(folder: Path) -> StandAlone:
    try:
        return msgspec.json.decode((folder / ABOUT).read_bytes(), type=StandAlone)
    except (OSError, msgspec.DecodeError) as problem:
        raise Corrupt(f"{folder / ABOUT} cannot be read: {problem}.", fix="Build the image again.") from problem


def _port() -> int:
    text = os.environ.get(_PORT, str(PORT))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise InvalidInput(f"{_PORT} is {text!r}, which is no port.", fix=f"For example {_PORT}={PORT}")
    return int(text)


def _revision(about: StandAlone) -> Revision:
    """The revision 0: what is served, without anything that a store would know."""
    return Revision(
        id=f"{about.project}/{about.name}/0",
        project=about.project,
        name=about.name,
        created_at=moment("1970-01-01"),
        number=0,
        environment="image",
        served=about.served,
        contract=about.contract,
        actor=Actor("image"),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
