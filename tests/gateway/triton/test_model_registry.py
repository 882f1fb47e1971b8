"""The registry against a real Triton with several models: which are offered, found, swapped and gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from contract.endpoint import parse_endpoint
from gateway.errors import NotServedError, RequestError, TritonUnavailableError
from gateway.safe_text import listed
from gateway.triton.connection import TritonConnection
from gateway.triton.registry import ModelRegistry
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import HORIZON, TimedTriton, running_triton


@asynccontextmanager
async def running_registry(endpoint: str, default: str = "nitrogen") -> AsyncIterator[ModelRegistry]:
    connection = TritonConnection(parse_endpoint(endpoint))
    await connection.start()
    models = ModelRegistry(connection, default)
    await models.start()
    try:
        yield models
    finally:
        await models.close()
        await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TimedTriton]:
    """A Triton with two NitroGen models; tests load and unload others."""
    folder = tmp_path_factory.mktemp("models")
    async with running_triton(
        TimedTriton(folder, instances=1, loaded=["nitrogen", "nitrogen-fast"])
    ) as triton:
        yield triton


@pytest_asyncio.fixture
async def models(triton: TimedTriton) -> AsyncIterator[ModelRegistry]:
    async with running_registry(triton.endpoint) as models:
        await until(lambda: models.served != ())
        yield models


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the registry does on its own."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - the registry has no event for it, and needs none
            await asyncio.sleep(0.02)


async def test_all_loaded_models_are_served_and_the_default_needs_no_name(models: ModelRegistry) -> None:
    assert {"nitrogen", "nitrogen-fast"} <= set(models.served)
    assert await models.find(None) is await models.find("nitrogen") is models.default
    assert (await (await models.find("nitrogen-fast")).fresh_facts()).model == "nitrogen-fast"


async def test_the_horizon_of_each_served_model_is_told(models: ModelRegistry) -> None:
    assert models.horizons() == {(name, 0): HORIZON for name in models.served}


async def test_a_model_is_found_as_soon_as_it_is_loaded(models: ModelRegistry, triton: TimedTriton) -> None:
    triton.write_model(2, "late")
    with pytest.raises(RequestError, match=r"the models are: .*nitrogen, nitrogen-fast"):
        await models.find("late")
    await triton.load("late")
    assert (await (await models.find("late")).fresh_facts()).context_length == 2
    assert "late" in models.served


async def test_an_unloaded_model_is_no_longer_offered(models: ModelRegistry, triton: TimedTriton) -> None:
    triton.write_model(1, "brief")
    await triton.load("brief")
    model = await models.find("brief")
    await triton.unload("brief")
    with pytest.raises(NotServedError, match="does not serve the model 'brief'"):
        await model.read_facts()
    await until(lambda: "brief" not in models.served)
    with pytest.raises(RequestError, match="'brief' is unknown"):
        await models.find("brief")


async def test_a_model_of_another_kind_is_not_offered_until_it_is_one_of_ours(
    models: ModelRegistry, triton: TimedTriton
) -> None:
    triton.write_model(1, "other", ours=False)
    await triton.load("other")
    with pytest.raises(RequestError, match="'other' is unknown"):
        await models.find("other")
    triton.write_model(1, "other")
    await triton.load("other")
    assert (await models.find("other")).name == "other"


async def test_another_version_is_noticed_without_a_request(
    models: ModelRegistry, triton: TimedTriton
) -> None:
    triton.write_model(1, "swapped", version=1)
    await triton.load("swapped")
    model = await models.find("swapped")
    triton.write_model(2, "swapped", version=7)
    await triton.load("swapped")
    await until(lambda: model.known_facts is not None and model.known_facts.version == 7)
    assert model.known_facts is not None
    assert model.known_facts.context_length == 2
    assert {version for name, version in models.horizons() if name == "swapped"} == {7}
    assert await models.find("swapped") is model


async def test_names_that_clients_make_up_cost_triton_next_to_nothing(
    models: ModelRegistry, triton: TimedTriton
) -> None:
    reads = triton.list_reads()
    lookups = (models.find(f"made up {number}") for number in range(1000))
    outcomes = await asyncio.gather(*lookups, return_exceptions=True)
    assert all(isinstance(outcome, RequestError) for outcome in outcomes)
    # All wait for one reading; another one may have been due by then anyway.
    assert triton.list_reads() - reads <= 2
    assert all(models.known(f"made up {number}") is None for number in range(1000))


async def test_other_models_outlive_a_default_that_is_not_there(triton: TimedTriton) -> None:
    async with running_registry(triton.endpoint, "nitrogen-missing") as models:
        assert (await models.find("nitrogen-fast")).name == "nitrogen-fast"
        assert "nitrogen-missing" not in models.served
        with pytest.raises(TritonUnavailableError, match="does not serve the model 'nitrogen-missing'"):
            await (await models.find(None)).fresh_facts()
        assert "no ready model 'nitrogen-missing'" in str(await models.default.ready())


async def test_a_triton_that_lists_no_models_serves_the_default(tmp_path: Path) -> None:
    flag = "--grpc-restricted-protocol=model-repository:admin-key=secret"
    async with (
        running_triton(TimedTriton(tmp_path, instances=1, flags=[flag])) as triton,
        running_registry(triton.endpoint) as models,
    ):
        await until(lambda: models.served == ("nitrogen",))
        with pytest.raises(RequestError, match=r"the models are: nitrogen$"):
            await models.find("nitrogen-fast")
        assert (await models.default.fresh_facts()).model == "nitrogen"


async def test_without_triton_an_unknown_name_is_its_error_and_a_known_one_stays_known(
    tmp_path: Path,
) -> None:
    triton = TimedTriton(tmp_path, instances=1, loaded=["nitrogen", "nitrogen-fast"])
    try:
        async with running_registry(triton.endpoint) as models:
            with pytest.raises(TritonUnavailableError, match="check that it runs"):
                await models.find("nitrogen-fast")
            await triton.start()
            await until(lambda: "nitrogen-fast" in models.served)
            await triton.kill()
            assert (await models.find("nitrogen-fast")).known_facts is not None
            with pytest.raises(TritonUnavailableError):
                await models.find("made up")
            assert models.served == ("nitrogen", "nitrogen-fast")
    finally:
        await triton.kill()


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "none at this time"),
        (["a", "b"], "a, b"),
        (
            ["x" * 300, "y" * 300, "z" * 300, "w" * 300, "v"],
            f"{'x' * 300}, {'y' * 300}, {'z' * 300} and 2 more",
        ),
    ],
    ids=["none", "few", "many"],
)
def test_a_long_list_of_models_is_cut(names: list[str], text: str) -> None:
    assert listed(names) == text
