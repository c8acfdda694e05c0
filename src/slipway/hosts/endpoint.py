"""The process behind an endpoint: `python -m slipway.hosts.endpoint FOLDER` supervises the workers that answer.

The folder holds the signed revision and the bundles that it names; the store around it holds the trusted keys. It never
opens the ledger, and serves and restarts while the control plane is away.
"""

import logging
import os
import sys
from functools import partial
from pathlib import Path

import msgspec

from slipway import plugins
from slipway.errors import Conflict, Denied
from slipway.ports.signer import Signer
from slipway.records.callers import CALLERS_FILE
from slipway.records.endpoints import Revision
from slipway.records.reach import Reach
from slipway.serving.reach import checked, read_reach
from slipway.serving.supervisor import Supervisor, hold
from slipway.serving.swap import read_desired

__all__ = ["keys_folder", "main", "open_reach", "open_signer", "start_logging"]

_KEYS = "keys"


def main(arguments: list[str]) -> int:
    """Run the endpoint in a folder until told to stop; returns the process's exit code."""
    start_logging()
    folder = Path(arguments[0]).resolve()

    def command(index: int, listener: int) -> list[str]:
        module = "slipway.hosts.endpoint_worker"
        return [sys.executable, "-P", "-m", module, str(folder), str(index), str(listener), str(os.getpid())]

    try:
        with hold(folder):
            return Supervisor(folder, partial(_desired, folder), command, partial(_url, folder)).run()
    except Conflict as problem:
        logging.getLogger(__name__).error("%s", problem)
        return 1


def open_reach(folder: Path) -> Reach:
    """Where the endpoint in a folder answers, as its store says.

    Raises:
        InvalidInput: It would answer elsewhere without TLS, or its certificate cannot be used.
        Corrupt: The store's file cannot be read.
    """
    return checked(read_reach(keys_folder(folder).parent), "The endpoint")


def _desired(folder: Path) -> Revision:
    """What should serve, on the address that the store says, if it says any."""
    revision, reach = read_desired(folder, open_signer(folder)), open_reach(folder)
    if not reach.is_local and not revision.by_token and not (folder / CALLERS_FILE).exists():
        raise Denied(
            f"The endpoint {folder.name!r} does not answer on {reach.host!r}: its store knows nobody.",
            why="Whoever reached the port might ask it.",
            fix="Begin with yourself: slipway people add NAME --role admin; or let endpoints answer here alone: "
            "slipway endpoints listen",
        )
    return revision if reach == Reach() else msgspec.structs.replace(revision, host=reach.host)


def _url(folder: Path, host: str, port: int) -> str:
    return msgspec.structs.replace(open_reach(folder), host=host).url(port)


def open_signer(folder: Path) -> Signer:
    """The signer that verifies what this endpoint loads; it holds no private key of its own."""
    signer: Signer = plugins.load("signer", "ed25519")(keys_folder(folder), create=False)
    return signer


def keys_folder(folder: Path) -> Path:
    """Where the trusted keys are: in the store around the endpoint, never among the files that they vouch for."""
    return folder.parents[2] / _KEYS  # the folder is <store>/endpoints/<project>/<name>


def start_logging() -> None:
    """Send what goes wrong to standard error, which the launcher keeps in front.log."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s [%(process)d] %(message)s"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
