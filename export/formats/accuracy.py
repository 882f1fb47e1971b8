"""How far a saved graph is from the float32 network. Free of torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accuracy:
    """Differences seen on the self-check's inputs.

    `max_difference`, `mean_difference`: of x(1); `flipped_buttons`: share of all buttons.
    """

    max_difference: float
    mean_difference: float
    flipped_buttons: float
