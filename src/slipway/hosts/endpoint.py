"""The process behind an endpoint: `python -m slipway.hosts.endpoint FOLDER` supervises the workers that answer.

The folder holds the signed revision and the bundles that it names; the store around it holds the trusted keys. It never
opens the ledger, and serves and restarts while the control plane is away.
"""

import logging
import os
import sys
from functools import partial
from pathlib import Path

from slipway import plugins
from slipway.errors import Conflict
from slipway.ports.signer import Signer
from slipway.serving.supervisor import Supervisor, hold
from slipway.serving.swap import read_desired

__all__ = ["keys_folder", "main", "open_signer", "start_logging"]

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
            return Supervisor(folder, partial(read_desired, folder, open_signer(folder)), command).run()
    except Conflict as problem:
        logging.getLogger(__name__).error("%s", problem)
        return 1


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
