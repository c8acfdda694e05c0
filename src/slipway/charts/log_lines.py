"""How an endpoint's predictions are logged, in one line."""

from slipway.records.endpoints import LogSpec

__all__ = ["log_line"]

_DAY_US = 86_400_000_000


def log_line(spec: LogSpec) -> str:
    """How predictions are logged: "kept 400 days, 10 % of the rows, on disk before it is answered"."""
    told = [f"kept {spec.keep_us // _DAY_US} days" if spec.keep_us else "kept for ever"]
    if spec.sample < 1:
        told.append(f"{spec.sample * 100:.4g} % of the rows")
    if spec.sync:
        told.append("on disk before they are answered")
    if spec.redacted:
        told.append(f"without {', '.join(spec.redacted)}")
    return ", ".join(told)
