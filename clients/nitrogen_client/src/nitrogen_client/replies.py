"""The meaning of an answer's fields: a chunk of actions, or facts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nitrogen_client.errors import ProtocolError
from nitrogen_client.exchange import Answer
from nitrogen_client.prediction import Prediction, Timing

_ARRAYS = ("j_left", "j_right", "buttons")
_WIDTHS = (2, 2, 21)


def read_prediction(answer: Answer) -> Prediction:
    """Return the chunk of actions in the answer to a predict.

    Raises:
        ProtocolError: an array is missing, has another shape, or values that are not finite.
    """
    given = answer.fields.get("pred")
    prediction = Prediction()
    if not isinstance(given, dict):
        raise ProtocolError("the reply to a predict has no actions")
    for name in _ARRAYS:
        if not isinstance(given.get(name), np.ndarray):
            raise ProtocolError(f"the reply to a predict has no array {name!r}")
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
            prediction[name] = given[name].astype(np.float32, copy=False)
        if not np.isfinite(prediction[name]).all():
            raise ProtocolError(f"the reply's array {name!r} has values that are not finite numbers")
    shapes = [prediction[name].shape for name in _ARRAYS]
    steps = shapes[0][0] if shapes[0] else 0
    if steps < 1 or shapes != [(steps, width) for width in _WIDTHS]:
        raise ProtocolError(f"the reply's arrays {', '.join(_ARRAYS)} have the shapes {shapes}")
    prediction.timing = _timing(answer.fields.get("timing"))
    prediction.round_trip_s = answer.round_trip_s
    prediction.times_sent = answer.times_sent
    prediction.is_first_of_connection = answer.is_first_of_connection
    return prediction


def read_info(answer: Answer) -> dict[str, Any]:
    """Return the facts in the answer to an info.

    Raises:
        ProtocolError: there are none.
    """
    info = answer.fields.get("info")
    if not isinstance(info, dict):
        raise ProtocolError("the reply to an info has no facts")
    return info


def _timing(given: object) -> Timing | None:
    if not isinstance(given, dict):
        return None
    try:
        times = [float(given[name]) for name in ("decode_ms", "infer_ms", "total_ms")]
    except (KeyError, OverflowError, TypeError, ValueError):
        times = []
    if not times or not all(map(math.isfinite, times)):
        raise ProtocolError("the reply's timing does not have its three times")
    return Timing(*times)
