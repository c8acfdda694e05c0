"""One composition root per kind of process: reads settings, opens backends by name, hands each stage its ports.

`project` (a person's process), `control_plane` (`slipway up`), `endpoint` (serves), `pipeline_run` (runs a pipeline from
a snapshot), `step_worker` (runs one step).
Nothing is read from environment variables or slipway.toml anywhere else.
"""
