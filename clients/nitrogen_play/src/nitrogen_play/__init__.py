"""Lets NitroGen play: the screen goes to a server, and what comes back is pressed on a virtual gamepad."""

__version__ = "0.3.0"
