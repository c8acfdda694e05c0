"""What answers over HTTP: the endpoint's app, its prediction log, the swap of revisions, its worker processes.

`app` answers, `active` is what it answers with, `arms` draws the model of each row, `scoring` asks it, `shadow` asks the
other one, `swap` replaces both without a restart, `row_queue` writes rows off the critical path, `counters` are shared by
all workers, `worker` runs the app under uvicorn, `supervisor` keeps the workers alive. It owns no model, feature or
storage code: those come as plain functions from `hosts/endpoint_worker.py`, the only caller. It never opens the ledger.
"""
