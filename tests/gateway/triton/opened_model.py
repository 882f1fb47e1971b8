"""A client of a Triton's model, for as long as a test needs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contract.endpoint import parse_endpoint
from gateway.triton.connection import TritonConnection
from gateway.triton.credentials import TlsFiles
from gateway.triton.model import TritonModel


@asynccontextmanager
async def opened_model(*endpoints: str, tls: TlsFiles | None = None) -> AsyncIterator[TritonModel]:
    """The model of the Tritons at some endpoints, HOST:PORT; it and its connection are closed at the end."""
    connection = TritonConnection(*map(parse_endpoint, endpoints), tls=tls)
    await connection.start()
    model = TritonModel(connection, "nitrogen")
    try:
        yield model
    finally:
        await model.close()
        await connection.close()
