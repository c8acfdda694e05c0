"""What a start loads and costs, beside a bare interpreter: modules in `sys.modules`, CPU time of the whole process.

Modules do not depend on the machine and are held by a test; CPU time (Linux: user and system, as the kernel counted it
when the process ended) is given beside them because modules differ in weight. The endpoint's worker verifies and loads
a deployed LightGBM bundle with 100 trees, asks it its reference sample, and has everything in memory that it answers
with; it does not open its socket.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.one_row_prediction import booster, deployed
from benchmarks.pairs import Compared, compare, row
from slipway.hosts.project import open_workspace
from slipway.records.endpoints import LogSpec

PAIRS = 7
REMARK = """\
The worker's figures are LightGBM's: it imports scikit-learn and pandas where they are installed, as they are here, and
with them most of SciPy; 1.3 of the 1.5 s that its import takes, and two of three modules; without them the import
takes a quarter of the time. Slipway's own part loads no Polars, no ledger and no pipeline; a test holds that.
"""

_PATH = "start-up"
_IMPORT = "import slipway"
_HELP = "from slipway.cli import main; main(['--help'])"
_SERVER = "import slipway.hosts.control_plane, slipway.server.app"
_WORKER = """
from pathlib import Path
import uvicorn, uvloop, httptools
from slipway.hosts.endpoint import open_signer
from slipway.hosts.endpoint_worker import Loader
from slipway.serving.swap import read_desired
folder = Path({folder!r})
signer = open_signer(folder)
Loader(folder, signer).load(read_desired(folder, signer))
"""
_COUNTED = "import atexit, sys; atexit.register(lambda: print(len(sys.modules), file=sys.stderr))\n"


def _modules(work: str) -> int:
    """How many modules are loaded when a process that does some work ends."""
    command = [sys.executable, "-P", "-c", _COUNTED + work]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()[-1])


def _cpu_ms(work: str) -> float:
    """CPU milliseconds of a process that does some work."""
    process = subprocess.Popen([sys.executable, "-P", "-c", work], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"This work ended with {process.returncode}: {work}")
    return (used.ru_utime + used.ru_stime) * 1000


def run(pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table: raw is a bare interpreter. CPU: medians of the pairs."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder), project="bench")
        works = {
            "`import slipway`": (_IMPORT, 10),
            "`slipway --help`": (_HELP, 120),
            "the server's modules": (_SERVER, None),
            "an endpoint's worker, loaded": (
                _WORKER.format(folder=str(deployed(workspace, booster()[0], LogSpec()))),
                None,
            ),
        }
        workspace.ledger.close()
        rows = []
        bare = _modules("pass")
        for what, (work, more) in works.items():
            count = _modules(work)
            goal = {} if more is None else {"goal": bare + more}
            rows.append(row(_PATH, f"{what}: modules", Compared(bare, count, count / bare), **goal))
        for what, (work, _) in works.items():
            _cpu_ms(work)  # compiles what was never compiled
            found = compare(partial(_cpu_ms, "pass"), partial(_cpu_ms, work), pairs)
            rows.append(row(_PATH, f"{what}: CPU ms", found))
    return rows
