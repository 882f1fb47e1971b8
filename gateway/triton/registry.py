"""The models that clients can choose from: all exported NitroGen models that Triton serves.

The registry reads Triton's list of loaded models and their configs every two seconds, and at once for an
unknown name. Whatever clients send, it does so at most twice a second, and keeps only Triton's own names.
"""

import asyncio
import contextlib
import logging
import math

from tritonclient.grpc import service_pb2

from gateway.errors import ModelError, NotServedError, RequestError, ServerError, TritonUnavailableError
from gateway.safe_text import describe, listed
from gateway.triton.connection import TritonConnection
from gateway.triton.model import TritonModel
from gateway.triton.rpc import REPOSITORY_INDEX

logger = logging.getLogger(__name__)

_PERIOD_S = 2.0
_MIN_PAUSE_S = 0.5
_LIST_TIMEOUT_S = 2.0
# How long a model that is not a NitroGen model is not read again, unless a client names it.
_FOREIGN_S = 60.0


class ModelRegistry:
    """All models of the Triton behind a connection that the gateway serves.

    Args:
        connection: the one to Triton.
        default_name: the model for requests that name none. It is known from the start, whether Triton serves
            it or not.
    """

    def __init__(self, connection: TritonConnection, default_name: str) -> None:
        self.default = TritonModel(connection, default_name)
        self._connection = connection
        self._models = {default_name: self.default}
        self._served: tuple[str, ...] = ()
        # Names of other models in Triton, and when their configs were last read.
        self._foreign: dict[str, float] = {}
        self._is_list_refused = False
        self._wanted = asyncio.Event()

    async def start(self) -> None:
        """Begin to keep the models up to date, without waiting for Triton."""
        self._loop = asyncio.get_running_loop()
        # The next reading's result: why Triton could not be read, or None.
        self._next_reading: asyncio.Future[ServerError | None] = self._loop.create_future()
        self._keeper = asyncio.create_task(self._keep_up_to_date())

    async def close(self) -> None:
        """Stop reading."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        self._next_reading.cancel()
        for model in self._models.values():
            await model.close()

    @property
    def served(self) -> tuple[str, ...]:
        """Names of the models that Triton served at the last reading, sorted."""
        return self._served

    def horizons(self) -> dict[tuple[str, int], int]:
        """Return each served model's steps per chunk, by its name and version (0 if unknown)."""
        known = {name: model.known_facts for name in self._served if (model := self._models.get(name))}
        return {(name, facts.version or 0): facts.horizon for name, facts in known.items() if facts}

    def known(self, name: str | None) -> TritonModel | None:
        """Return the model of a name, None if it is unknown; the name None means the default model."""
        return self.default if name is None else self._models.get(name)

    async def find(self, name: str | None) -> TritonModel:
        """Return the model of a name as `known` does; read Triton's list first if it is unknown.

        Raises:
            RequestError: Triton serves no NitroGen model of this name; the message lists its models.
            ServerError: the name is unknown, and Triton does not answer.
        """
        model = self.known(name)
        if model is None and name is not None:
            if name in self._foreign:
                self._foreign[name] = -math.inf
            self._wanted.set()
            # Shielded: others wait for the same reading.
            problem = await asyncio.shield(self._next_reading)
            if problem is not None:
                raise problem
            model = self.known(name)
        if model is None:
            raise RequestError(
                f"the model {describe(name)} is unknown; the models are: {listed(self._served)}"
            )
        return model

    async def _keep_up_to_date(self) -> None:
        """Read the models regularly; log when that begins to fail, and when it works again."""
        reported = ""
        while True:
            reading, self._next_reading = self._next_reading, self._loop.create_future()
            self._wanted.clear()
            try:
                problem = await self._read()
                reading.set_result(None)
            except ServerError as error:
                problem = error
                reading.set_result(error)
            finally:
                reading.cancel()  # has no effect on one with a result
            if problem is None and reported:
                logger.info("Triton at %s is back", self._connection.endpoint)
            elif problem is not None and str(problem) != reported:
                logger.warning("%s", problem)
            reported = "" if problem is None else str(problem)
            await asyncio.sleep(_MIN_PAUSE_S)
            if problem is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PERIOD_S - _MIN_PAUSE_S):
                        await self._wanted.wait()

    async def _read(self) -> ServerError | None:
        """Read the list and all configs; return what is wrong with the default model, if anything.

        Raises:
            ServerError: Triton does not answer.
        """
        names = await self._list()
        now = self._loop.time()
        models: dict[str, TritonModel] = {}
        problem: ServerError | None = None
        for name in sorted(names | {self.default.name}):
            if name in self._foreign and now - self._foreign[name] < _FOREIGN_S:
                continue
            model = self._models.get(name) or TritonModel(self._connection, name)
            try:
                await model.read_facts()
                models[name] = model
            except (NotServedError, ModelError) as error:
                if model is self.default:
                    problem = error
                elif isinstance(error, ModelError):
                    if name not in self._foreign:
                        logger.info("%s is not offered to clients: %s", name, error)
                    self._foreign[name] = now
        self._served = tuple(models)
        self._models = {**models, self.default.name: self.default}
        self._foreign = {name: seen for name, seen in self._foreign.items() if name in names}
        return problem

    async def _list(self) -> set[str]:
        """Return the names of the models that are loaded in Triton, ours and others."""
        request = service_pb2.RepositoryIndexRequest(ready=True)
        try:
            response = await self._connection.call(
                REPOSITORY_INDEX, request, _LIST_TIMEOUT_S, "a list of its models"
            )
        except TritonUnavailableError as error:
            # Triton has gone, and this raises; or it restricts the list (--grpc-restricted-protocol).
            await self.default.read_facts()
            if not self._is_list_refused:
                self._is_list_refused = True
                logger.warning("only %s is served: Triton lists no models (%s)", self.default.name, error)
            return set()
        self._is_list_refused = False
        return {model.name for model in response.models}
