"""How endpoint processes are started, found and stopped, and the files by which they are known.

An endpoint lives in one folder. Who runs it holds an exclusive `flock` on `LOCK_FILE`, which also holds its process id;
a file that merely says "ready" proves nothing, because its writer may have been killed. It says how it is in
`STATUS_FILE`, replaced by rename.
"""

from pathlib import Path
from typing import Protocol

from slipway.records.endpoints import EndpointStatus

__all__ = ["LOCK_FILE", "LOG_FILE", "STATUS_FILE", "Launcher"]

LOCK_FILE = "endpoint.lock"
STATUS_FILE = "status.json"
LOG_FILE = "front.log"


class Launcher(Protocol):
    """Runs endpoints beside, not below, the process that asks.

    Guarantees: at most one process runs an endpoint's folder; what was started survives its starter; every verb may be
    called by many processes at once and after a kill -9 of any of them.
    """

    def ensure(self, folder: Path) -> EndpointStatus:
        """Start the endpoint unless it runs, and wait until it is ready.

        It does not wait for a revision that was published while the endpoint ran; see `EndpointStatus.revision`.

        Raises:
            BackendError: It does not become ready; the sentence carries the reason.
        """
        ...

    def status(self, folder: Path) -> EndpointStatus | None:
        """What a running endpoint says of itself, or how the last start failed; None when it does not run."""
        ...

    def stop(self, folder: Path) -> None:
        """Stop the endpoint after the requests that it began; returns when its folder is free. Stopping twice is fine.

        Raises:
            BackendError: It cannot be stopped.
        """
        ...
