"""The gamepad that the model plays: 21 buttons and two sticks, 25 numbers in all."""

# The columns of a chunk's `buttons`, in their order.
BUTTONS = (
    *("BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER"),
    *("LEFT_THUMB", "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER"),
    *("RIGHT_THUMB", "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST"),
)
STICK_WIDTH = 2
ACTION_WIDTH = len(BUTTONS) + 2 * STICK_WIDTH
