"""OpenTelemetry traces of the calls to Triton: one span each, sent to a collector in batches.

OpenTelemetry's own instrumentation of gRPC would wrap every channel of the process, and knows neither the
model nor the request. Triton continues the trace: it finds `traceparent` in the metadata. The libraries are
imported only if a collector is set.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from gateway.errors import StartError
from gateway.triton.rpc import SERVICE

Metadata = tuple[tuple[str, str], ...]

_SERVICE_NAME = "nitrogen-gateway"
_TIMEOUT_S = 2


def start_tracing(endpoint: str) -> "Tracer":
    """Return a tracer that sends to the collector at `endpoint`, HOST:PORT of its gRPC service.

    Raises:
        StartError: the libraries are not installed.
    """
    try:
        return Tracer(endpoint)
    except ImportError as error:
        raise StartError(
            f"--otlp-endpoint needs a package that is not installed ({error.name}): in the project's "
            f"folder, run {sys.executable} -m pip install '.[tracing]', or leave the setting out"
        ) from None


class Tracer:
    """The maker of the spans."""

    def __init__(self, endpoint: str) -> None:
        self._trace = importlib.import_module("opentelemetry.trace")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
        context = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        exporter = otlp.OTLPSpanExporter(endpoint=endpoint, insecure=True, timeout=_TIMEOUT_S)
        self._provider = sdk.TracerProvider(
            resource=resources.Resource.create({"service.name": _SERVICE_NAME}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(__name__)
        self._propagator = context.TraceContextTextMapPropagator()

    @contextmanager
    def span(self, method: str, model: str, request_id: str) -> Iterator[Metadata]:
        """Make the span of one call; yield what the call's metadata needs."""
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": SERVICE,
            "rpc.method": method,
            "nitrogen.model": model,
            "nitrogen.request_id": request_id,
        }
        kind = self._trace.SpanKind.CLIENT
        with self._tracer.start_as_current_span(
            f"Triton {method}",
            kind=kind,
            attributes={key: value for key, value in attributes.items() if value},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            code = grpc.StatusCode.OK
            try:
                yield tuple(carrier.items())
            except grpc.aio.AioRpcError as error:
                code = error.code()
                span.set_status(self._trace.StatusCode.ERROR, error.details())
                raise
            except BaseException:
                code = grpc.StatusCode.CANCELLED
                span.set_status(self._trace.StatusCode.ERROR, "the caller has left, or its deadline passed")
                raise
            finally:
                span.set_attribute("rpc.grpc.status_code", code.value[0])

    def close(self) -> None:
        """Send the rest; without a collector this takes up to a few seconds."""
        self._provider.shutdown()
