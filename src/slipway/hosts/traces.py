"""Whether this process sends traces of its requests, and where: as OpenTelemetry's environment variables say.

slipway.toml only fills in one of them. Where none says so, nothing of OpenTelemetry is loaded.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from slipway import plugins
from slipway.errors import MissingExtra
from slipway.ports.tracer import Tracer

__all__ = ["open_tracer", "traces_environment"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_logger = logging.getLogger("slipway.traces")


def traces_environment(url: str) -> dict[str, str]:
    """The environment variables of a process that is to send its traces to a receiver, none where there is no URL."""
    return {_ENDPOINTS[1]: url} if url else {}


def open_tracer(service: str, url: str = "", **more: Any) -> Tracer | None:
    """The tracer of this process, None where nobody asks for traces; why there is none although asked for is logged.

    Args:
        service: The service's name, where the environment has no other.
        url: The receiver's, where the environment names none.
        **more: See the tracer.
    """
    environment = {**traces_environment(url), **os.environ}
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter not in ("", "otlp")
    if is_off or not (exporter or any(environment.get(name) for name in _ENDPOINTS)):
        return None
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        _logger.error("No traces are sent: OTLP is spoken over http/protobuf here, and %r is asked for.", protocol)
        return None
    try:
        make: Callable[..., Tracer] = plugins.load("tracer", "otlp")
    except MissingExtra as problem:  # who asks for traces and lacks a library wants answers all the more
        _logger.error("No traces are sent: %s", problem)
        return None
    return make(service, receiver="" if any(name in os.environ for name in _ENDPOINTS) else url, **more)
