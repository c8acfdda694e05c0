"""Makes Parquet of what an endpoint's log has in closed segments, and larger files of small ones: `python -m slipway.hosts.log_roller FOLDER`, once."""

import logging
import sys
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.hosts.endpoint import start_logging
from slipway.tables.log_compaction import compact
from slipway.tables.log_rolling import roll

__all__ = ["main"]

_logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Roll the log in an endpoint's folder; returns the process's exit code."""
    start_logging()
    log = Path(arguments[0]) / "log"
    try:
        done = roll(log)
    except SlipwayError as problem:
        _logger.error("The log is not rolled: %s", problem)
        return 1
    for sentence in done.left:
        _logger.error("%s", sentence)
    try:
        left = compact(log).left
    except SlipwayError as problem:
        _logger.error("Small files of the log are not put together: %s", problem)
        return 1
    if left:
        _logger.warning("%s", left)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
