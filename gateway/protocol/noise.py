"""The field `noise` of a predict: what its chunk begins from, the same in every format."""

from collections.abc import Mapping

from gateway.errors import RequestError
from gateway.protocol.messages import FRESH, MemoryNoise, Noise, TickNoise
from gateway.protocol.whole_numbers import whole_number
from gateway.safe_text import describe

_WANTED = 'send "fresh", {"memory": a number from 0 to 1} or {"tick": the picture\'s tick}'


def read_noise(value: object) -> Noise:
    """Return the noise that a field's value asks for.

    Raises:
        RequestError: the value is invalid; the message shows it, bounded.
    """
    if isinstance(value, str) and value == "fresh":
        return FRESH
    if not isinstance(value, Mapping) or len(value) != 1 or not {"memory", "tick"} & value.keys():
        raise RequestError(f"noise is {describe(value)}; {_WANTED}")
    if "memory" in value:
        memory = value["memory"]
        if not isinstance(memory, (int, float)) or isinstance(memory, bool) or not 0 <= memory <= 1:
            raise RequestError(f"noise's memory must be a number from 0 to 1, not {describe(memory)}")
        return MemoryNoise(float(memory))
    tick = whole_number(value["tick"])
    if tick is None:
        raise RequestError(f"noise's tick must be an integer from 0 to 2**53, not {describe(value['tick'])}")
    return TickNoise(tick)
