"""A stand-in for a game: a window, half blue and half green. `cover` makes a red one over the screen."""

import sys
from typing import Any

import Xlib.display
from Xlib import X

BLUE, GREEN, RED = 0x3366CC, 0x33AA55, 0xCC2222

display: Any = Xlib.display.Display()
screen: Any = display.screen()
window: Any
if sys.argv[1:] == ["cover"]:
    whole = (screen.width_in_pixels, screen.height_in_pixels)
    window = screen.root.create_window(
        0, 0, *whole, 0, screen.root_depth, background_pixel=RED, override_redirect=True
    )
    window.set_wm_name("Cover")
else:
    window = screen.root.create_window(
        40, 30, 320, 200, 0, screen.root_depth, background_pixel=BLUE, event_mask=X.ExposureMask
    )
    window.set_wm_name("Caf\xe9 Game")
paint: Any = window.create_gc(foreground=GREEN)
window.map()
while True:
    if display.next_event().type == X.Expose:
        size = window.get_geometry()
        window.fill_rectangle(paint, size.width // 2, 0, size.width // 2, size.height)
