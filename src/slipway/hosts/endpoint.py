"""The process behind an endpoint: `python -m slipway.hosts.endpoint FOLDER` supervises the workers that answer.

The folder holds the signed revision and the bundles that it names; the store around it holds the trusted keys. It never
opens the ledger, and serves and restarts while the control plane is away.
"""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import msgspec

from slipway import plugins
from slipway.errors import Denied, SlipwayError
from slipway.ports.signer import Signer
from slipway.records.callers import CALLERS_FILE
from slipway.records.endpoints import Revision
from slipway.records.reach import Reach
from slipway.serving.interpreter import write_base
from slipway.serving.log_roller import LogRoller
from slipway.serving.reach import checked, read_reach
from slipway.serving.supervisor import SharedPort, Supervisor, hold
from slipway.serving.swap import read_desired, read_good

__all__ = ["keys_folder", "main", "open_reach", "open_signer", "python_of", "start_logging"]

_KEYS = "keys"
_ENVIRONMENTS = "environments"


def main(arguments: list[str], shared_port: Callable[[Path, int], SharedPort] | None = None) -> int:
    """Run the endpoint in a folder until told to stop; returns the process's exit code.

    Args:
        arguments: The folder.
        shared_port: Opens the port that the endpoints of a store share, where it names one; None to have a port of its own.
    """
    start_logging()
    folder = Path(arguments[0]).resolve()

    def command(index: int, listener: int, environment: str) -> list[str]:
        python = python_of(folder, environment)
        module = "slipway.hosts.endpoint_worker"
        numbers = (str(number) for number in (index, listener, os.getpid()))
        # A worker of another environment may have a challenger that answers in this interpreter.
        return [python, "-P", "-m", module, str(folder), *numbers, environment, sys.executable]

    def front(listener: int, slot: int, tells: int) -> list[str]:
        module = "slipway.hosts.front"
        numbers = (str(number) for number in (listener, slot, tells, os.getpid()))
        return [sys.executable, "-P", "-m", module, str(folder), *numbers]

    try:
        with hold(folder):
            write_base(folder)
            good = partial(_good, folder)
            desired, url_of = partial(_desired, folder), partial(_url, folder)
            port = read_reach(keys_folder(folder).parent).port  # unchecked: the supervisor tells what is wrong
            shared = shared_port(folder.parents[1], port) if port and shared_port else None
            beside = LogRoller(folder / "log", _roll_command(folder)).look
            return Supervisor(
                folder, desired, command, url_of, front=front, good=good, beside=beside, shared=shared
            ).run()
    except SlipwayError as problem:
        logging.getLogger(__name__).error("%s", problem)
        return 1


def _roll_command(folder: Path) -> list[str]:
    """What makes Parquet of the log; nothing does where Polars is not installed: the segments stay then, and are read."""
    if find_spec("polars") is None:
        logging.getLogger(__name__).warning(
            "The log stays in segments: pip install 'slipway[data]' to have it as Parquet."
        )
        return []
    return [sys.executable, "-P", "-m", "slipway.hosts.log_roller", str(folder)]


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


def _good(folder: Path) -> Revision | None:
    return read_good(folder, open_signer(folder))


def python_of(folder: Path, environment: str, own: str = sys.executable) -> str:
    """The interpreter of a lock's environment, beside the endpoints in their store; the endpoint's own for ""."""
    return str(folder.parents[2] / _ENVIRONMENTS / environment / "bin" / "python") if environment else own


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
    from slipway.hosts.shared_front import SharedFront

    sys.exit(main(sys.argv[1:], SharedFront))
