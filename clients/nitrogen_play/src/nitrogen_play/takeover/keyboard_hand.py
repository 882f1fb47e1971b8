"""A human at the keyboard: one key takes over and gives back, others are the pad's buttons."""

from nitrogen_play.keyboard import BUTTONS_OF_KEYS, TAKE_OVER, HeldKeys
from nitrogen_play.pad import PadState


class KeyboardHand:
    """The keys that a human holds.

    Args:
        held: returns the names of the keys that are held now.
    """

    gives_back = f"{TAKE_OVER} gives back to the model"

    def __init__(self, held: HeldKeys) -> None:
        self._held = held
        self._plays = False
        self._was_down = False

    def holds(self) -> PadState | None:
        """Return what the human holds now; None while the model plays."""
        held = self._held()
        is_down = TAKE_OVER in held
        if is_down and not self._was_down:
            self._plays = not self._plays
        self._was_down = is_down
        if not self._plays:
            return None
        pressed = frozenset(button for key, button in BUTTONS_OF_KEYS.items() if key in held)
        return PadState(pressed, (0, 0), (0, 0))
