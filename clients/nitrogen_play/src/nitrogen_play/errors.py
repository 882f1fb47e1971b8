"""Errors that stop a game with a sentence.

PlayError
├── GameNotFoundError      no such window, process or game; the message lists those that there are
├── GameLostError          the window that was played is gone
├── MissingPackageError    a package for this kind of game is not installed; the message has the pip command
├── DeviceError            a gamepad, the keyboard or the screen cannot be used
├── ServerError            the server refuses, or was away for too long
└── RecordingError         a recording cannot be written or read
"""


class PlayError(Exception):
    """Base of all errors that end the program with their message."""


class GameNotFoundError(PlayError):
    """No window, process or game of this name; the message lists those that there are."""


class GameLostError(PlayError):
    """The window that was played is gone."""


class MissingPackageError(PlayError):
    """A package is not installed.

    Args:
        package: what is missing.
        extra: the extra of nitrogen-play that brings it.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed. In the project's folder: "
            f'pip install ./clients/nitrogen_client "./clients/nitrogen_play[{extra}]"'
        )


class DeviceError(PlayError):
    """A gamepad, the keyboard or the screen cannot be used."""


class ServerError(PlayError):
    """The server refuses what was asked, or was away for too long."""


class RecordingError(PlayError):
    """A recording cannot be written or read."""
