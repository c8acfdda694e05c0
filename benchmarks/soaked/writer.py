"""Logs runs one after another; a line on its output is a run that has ended, which nothing may lose."""

import sys
from itertools import count

import slipway as sw

for number in count():
    with sw.run("soaked") as run:
        run.log_param("number", number)
        for step in range(40):
            run.log_metric("loss", 1 / (1 + step), step)
        run.log_text("notes.txt", f"{sys.argv[1]} {number} " + "x" * 500)
    print(run.id, flush=True)
