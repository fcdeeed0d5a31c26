"""Sends logs, spans and metrics with the official SDK; prints what its exporters were answered.

Runs in an environment of its own, see otlp_exporters.txt, and imports nothing of this project.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

RECORDS_COUNT = 3


def main(protocol: str, endpoint: str) -> None:
    """Send three records of each kind over "grpc" or "http"."""
    results: dict[str, list[str]] = {}
    resource = Resource.create({"service.name": "sdk", "service.instance.id": "pod-7"})

    def make(signal: str, module: str, name: str) -> Any:  # noqa: ANN401 - one of six classes
        package = f"opentelemetry.exporter.otlp.proto.{protocol}.{module}"
        kind = getattr(importlib.import_module(package), name)
        if protocol == "grpc":
            exporter = kind(endpoint=endpoint, insecure=True)
        else:
            exporter = kind(endpoint=f"http://{endpoint}/v1/{signal}")
        export = exporter.export

        def noted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the SDK calls it
            result = export(*arguments, **options)
            results.setdefault(signal, []).append(result.name)
            return result

        exporter.export = noted
        return exporter

    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(
        SimpleLogRecordProcessor(make("logs", "_log_exporter", "OTLPLogExporter"))
    )
    logger = logging.getLogger("sender")
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=logs))
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(
        SimpleSpanProcessor(make("traces", "trace_exporter", "OTLPSpanExporter"))
    )
    reader = PeriodicExportingMetricReader(
        make("metrics", "metric_exporter", "OTLPMetricExporter"), export_interval_millis=3.6e6
    )
    metrics = MeterProvider(resource=resource, metric_readers=[reader])
    counter = metrics.get_meter("sender").create_counter("access_logs.grpc_access_log.logs_dropped")
    for number in range(RECORDS_COUNT):
        logger.info("log %d", number)
        with traces.get_tracer("sender").start_as_current_span(f"span {number}"):
            counter.add(1)
    for provider in (logs, traces, metrics):
        provider.shutdown()
    print(json.dumps(results))  # noqa: T201 - a script


if __name__ == "__main__":
    main(*sys.argv[1:])
