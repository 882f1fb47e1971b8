"""Direct calls to the Triton behind the shared stacks, for comparing with what the gateway answers."""

from collections.abc import Iterator

import pytest

from tests.chain.direct import DirectCalls
from tests.stack import Stack


@pytest.fixture(scope="module")
def tiny_calls(tiny_stack: Stack) -> Iterator[DirectCalls]:
    with DirectCalls(tiny_stack.triton_grpc_port) as calls:
        yield calls


@pytest.fixture(scope="module")
def context_calls(context_stack: Stack) -> Iterator[DirectCalls]:
    with DirectCalls(context_stack.triton_grpc_port) as calls:
        yield calls
