"""What MLflow and Weights & Biases call what a run does, for whoever types it out of habit."""

__all__ = ["hint"]

_BEGIN = 'with sw.run("name", experiment=..., params=..., tags=...) as run:'
_END = "the end of the `with` block"
_CALLED = {
    **dict.fromkeys(("start_run", "init", "set_experiment", "create_experiment"), _BEGIN),
    **dict.fromkeys(("end_run", "finish"), _END),
    **dict.fromkeys(("log", "log_metric", "log_metrics", "summary"), "run.log_metrics({...}, step)"),
    **dict.fromkeys(("log_param", "log_params", "config"), "run.log_params({...})"),
    "log_dict": "run.log_json(name, value)",
    **dict.fromkeys(("log_artifacts", "log_artifact"), "run.log_artifact(Path(...)), of a file or a folder"),
    **dict.fromkeys(("log_image", "log_figure"), "run.log_figure(name, picture)"),
    "log_text": "run.log_text(name, text)",
    "log_table": "run.log_table(name, rows)",
    **dict.fromkeys(("register_model", "log_model"), "run.log_model(estimator, sample=X, name=...)"),
    **dict.fromkeys(("set_tag", "set_tags"), "run.set_tags({...})"),
    "search_runs": 'slipway runs search "metrics.auc > 0.7"',
    "set_tracking_uri": "server = ... of an environment in slipway.toml, or SLIPWAY_SERVER",
    "info": "run.id and run.record",
}


def hint(name: str) -> str:
    """What is called otherwise elsewhere, as a sentence with a space before it; "" where nothing is."""
    meant = _CALLED.get(name)
    return f" Here that is: {meant}." if meant else ""
