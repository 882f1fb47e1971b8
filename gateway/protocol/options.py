"""The fields of a request that all ports share: its type and its options.

Every request may have seed, game, timing and model; a predict also noise, tick, previous and delay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import cast, get_args

from gateway.errors import RequestError
from gateway.protocol.messages import (
    FRESH,
    UNSET,
    Hello,
    Image,
    Noise,
    Played,
    Previous,
    Request,
    RequestType,
    TickNoise,
    Unset,
)
from gateway.protocol.noise import read_noise
from gateway.protocol.previous import ArrayReader, read_previous
from gateway.protocol.whole_numbers import whole_number
from gateway.safe_text import describe

OPTION_NAMES = ("seed", "game", "timing", "model", "noise")  # those that may hold for more than one request

_TYPES = get_args(RequestType)

MAX_SEED_BITS = 4096
MAX_MODEL_CHARACTERS = 255  # a client's context remembers the name
MAX_GAME_CHARACTERS = 1000  # of the longest known, 40 or so; recordings hold it


@dataclass(frozen=True, slots=True)
class Options:
    """The optional fields' values, as in a `Request`."""

    seed: int | None = None
    game: str | int | Unset | None = UNSET
    timing: bool = False
    model: str | None = None
    noise: Noise = FRESH
    tick: int | None = None
    previous: Previous | None = None

    def request(
        self, type_: RequestType, image: Image | None = None, played: Played | None = None
    ) -> Request:
        """Return a request of this type with these options."""
        return Request(
            type_,
            image,
            self.seed,
            self.game,
            self.timing,
            self.model,
            played,
            noise=self.noise,
            tick=self.tick,
            previous=self.previous,
        )


def read_type(fields: Mapping[str, object]) -> RequestType:
    """Return the type in a request's `fields`.

    Raises:
        RequestError: a gateway does not know it.
    """
    type_ = fields.get("type")
    if not isinstance(type_, str) or type_ not in _TYPES:
        raise RequestError(f'unknown request type {describe(type_)}; send "predict", "reset" or "info"')
    return cast(RequestType, type_)


def read_options(
    fields: Mapping[str, object],
    type_: RequestType = "predict",
    read_array: ArrayReader = lambda _, value: value,
) -> Options:
    """Return the options in a request's `fields`; absent ones keep their defaults.

    Args:
        fields: the request's.
        type_: the request's; only a predict has all options.
        read_array: makes an array from the format's form of one.

    Raises:
        RequestError: a field's value is invalid; the message shows it, bounded.
    """
    seed = _seed(fields["seed"]) if "seed" in fields else None
    game = _game(fields["game"]) if "game" in fields else UNSET
    timing = fields.get("timing", False)
    if not isinstance(timing, bool):
        raise RequestError(f"timing must be true or false, not {describe(timing)}")
    model = _model(fields.get("model"))
    if type_ != "predict":
        return Options(seed, game, timing, model)
    noise = FRESH if fields.get("noise") is None else read_noise(fields["noise"])
    if seed is not None and noise is not FRESH:
        raise RequestError(f"seed is {describe(seed)}, which fixes the noise: send no other noise with it")
    tick = _tick(fields.get("tick"), noise)
    return Options(seed, game, timing, model, noise, tick, read_previous(fields, read_array))


def read_hello(fields: Mapping[str, object]) -> Hello:
    """Return the greeting in a request's `fields`.

    Raises:
        RequestError: the token is missing or is not a text; the message does not show it.
    """
    token = fields.get("token")
    if not isinstance(token, str):
        raise RequestError('a hello needs a token that is text: {"type": "hello", "token": "..."}')
    return Hello(token)


def _seed(value: object) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
        raise RequestError(
            f"seed must be an integer of 0 or more, not {describe(value)}; leave it out for none"
        )
    seed = int(value)
    if seed.bit_length() > MAX_SEED_BITS:
        raise RequestError(f"seed must have at most {MAX_SEED_BITS} bits, not {seed.bit_length()}")
    return seed


def _tick(value: object, noise: Noise) -> int | None:
    if value is None:
        return noise.tick if isinstance(noise, TickNoise) else None
    tick = whole_number(value)
    if tick is None:
        raise RequestError(f"tick must be an integer from 0 to 2**53, not {describe(value)}")
    return tick


def _game(value: object) -> str | int | None:
    if isinstance(value, str) and len(value) > MAX_GAME_CHARACTERS:
        raise RequestError(f"game must have at most {MAX_GAME_CHARACTERS} characters, not {len(value)}")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    raise RequestError(f"game must be a name, an id or null, not {describe(value)}")


def _model(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RequestError(f"model must be a name or null, not {describe(value)}")
    if value is not None and len(value) > MAX_MODEL_CHARACTERS:
        raise RequestError(f"model must have at most {MAX_MODEL_CHARACTERS} characters, not {len(value)}")
    return value
