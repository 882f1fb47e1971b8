"""Traces of the calls to Triton, as a real OTLP receiver gets them."""

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from contract.endpoint import parse_endpoint
from gateway.errors import DeadlineError, ModelError, StartError
from gateway.triton.connection import TritonConnection
from gateway.triton.model import TritonModel
from gateway.triton.rpc import MODEL_INFER
from gateway.triton.tensors import ModelInputs
from tests.black_frame import FRAME
from tests.stand_ins.timed_triton import NEVER, NOISE, RAISE, TimedTriton


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()

    def Export(  # noqa: N802 - the service's own name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take a batch of spans."""
        for resource in request.resource_spans:
            named = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()

    def attributes(self, method: str) -> list[dict[str, object]]:
        """The attributes of each span of a method."""
        return [
            {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}
            for span in self.spans
            if span.name == f"Triton {method}"
        ]


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A receiver of OTLP over gRPC, and its HOST:PORT."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, f"127.0.0.1:{port}"
    server.stop(None).wait()


async def test_each_call_is_a_span(timed_triton: TimedTriton, collector: tuple[Collector, str]) -> None:
    received, endpoint = collector
    connection = TritonConnection(parse_endpoint(timed_triton.endpoint), otlp_endpoint=endpoint)
    await connection.start()
    model = TritonModel(connection, "nitrogen")
    facts = await model.fresh_facts()
    await model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20, "request-1")
    with pytest.raises(ModelError):
        await model.infer(facts, ModelInputs([FRAME], RAISE, NOISE), 20, "request-2")
    with pytest.raises(DeadlineError):
        await model.infer(facts, ModelInputs([FRAME], NEVER, NOISE), 0.3, "request-3")
    begun = await timed_triton.begun()
    call = asyncio.create_task(model.infer(facts, ModelInputs([FRAME], NEVER, NOISE), 20, "request-4"))
    await timed_triton.wait_until_begun(begun + 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await model.close()
    # Sends what is left.
    await connection.close()
    spans = received.attributes("ModelInfer")
    assert [span["nitrogen.request_id"] for span in spans] == [f"request-{number}" for number in range(1, 5)]
    assert {span["nitrogen.model"] for span in spans} == {"nitrogen"}
    codes = [span["rpc.grpc.status_code"] for span in spans]
    assert codes[0] == grpc.StatusCode.OK.value[0]
    assert codes[2:] == [grpc.StatusCode.DEADLINE_EXCEEDED.value[0], grpc.StatusCode.CANCELLED.value[0]]
    assert codes[1] not in (codes[0], *codes[2:])
    assert [span["nitrogen.model"] for span in received.attributes("ModelConfig")] == ["nitrogen"]
    assert received.services == {"nitrogen-gateway"}
    assert all(span.kind == Span.SPAN_KIND_CLIENT for span in received.spans)


async def test_a_collector_that_is_not_there_hurts_nobody(timed_triton: TimedTriton) -> None:
    connection = TritonConnection(parse_endpoint(timed_triton.endpoint), otlp_endpoint="127.0.0.1:1")
    await connection.start()
    model = TritonModel(connection, "nitrogen")
    facts = await model.fresh_facts()
    for _ in range(3):
        await model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20)
    await model.close()
    await asyncio.wait_for(connection.close(), 8)


def test_missing_packages_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(StartError, match=r"--otlp-endpoint .* run \S+ -m pip install '\.\[tracing\]'"):
        TritonConnection(parse_endpoint("127.0.0.1:8001"), otlp_endpoint="127.0.0.1:4317")


async def test_the_call_carries_its_span(collector: tuple[Collector, str]) -> None:
    """A service in Triton's place tells the metadata that it was sent."""
    received, endpoint = collector
    seen: list[str] = []

    async def tell(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        seen.extend(str(value) for key, value in context.invocation_metadata() or () if key == "traceparent")
        return b""

    server = grpc.aio.server()
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(tell)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connection = TritonConnection(parse_endpoint(f"127.0.0.1:{port}"), otlp_endpoint=endpoint)
    await connection.start()
    await connection.call(MODEL_INFER, b"", 5, "a test")
    await connection.close()
    await server.stop(None)
    (span,) = received.spans
    ids = f"00-{span.trace_id.hex()}-{span.span_id.hex()}-"
    assert [value[: len(ids)] for value in seen] == [ids]
