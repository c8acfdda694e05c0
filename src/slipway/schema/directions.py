"""Which way of a metric is better; a test holds the names to those that `slipway.stats` knows."""

__all__ = ["HIGHER", "LOWER"]

HIGHER = ("accuracy", "auc", "average_precision", "f1", "map", "ndcg", "precision", "r2", "recall")
LOWER = (
    "brier", "calibration", "calibration_error", "cost", "log_loss", "mae", "mape", "mase", "pinball", "rmse", "smape", "wape",
)  # fmt: skip
