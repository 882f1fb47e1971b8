"""The gamepad that the model plays: 21 buttons and two sticks, 25 numbers in all."""

# The columns of a chunk's `buttons`, in their order.
BUTTONS = (
    *("BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER"),
    *("LEFT_THUMB", "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER"),
    *("RIGHT_THUMB", "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST"),
)
# The parts of a chunk of T steps, each (T, width): a stick's x and y in [-1, 1], and 0 or 1 for each button.
CHUNK_WIDTHS = {"j_left": 2, "j_right": 2, "buttons": len(BUTTONS)}
ACTION_WIDTH = sum(CHUNK_WIDTHS.values())
