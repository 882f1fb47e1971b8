"""The sentence about a window that shows nothing."""

import numpy as np
import pytest
from nitrogen_play.games.watched_screen import WatchedScreen
from nitrogen_play.interfaces import Picture

BLACK = np.zeros((90, 160, 3), np.uint8)
GREY = np.full((90, 160, 3), 128, np.uint8)
SPOT = BLACK.copy()
SPOT[89, 159] = 255


class Film:
    """A screen, with what is said about it: one picture a second."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.said: list[str] = []
        self._picture = BLACK
        self._watched = WatchedScreen(self, self.said.append, "do this", clock=lambda: self.seconds)

    def capture(self) -> Picture:
        return self._picture

    def show(self, picture: Picture, seconds: int) -> list[str]:
        """Show a picture for some seconds; return what was said meanwhile."""
        self.said.clear()
        self._picture = picture
        for _ in range(seconds):
            assert self._watched.capture() is picture
            self.seconds += 1
        return list(self.said)


@pytest.mark.parametrize(("picture", "shown"), [(BLACK, "black"), (GREY, "of one colour (#808080)")])
def test_pictures_of_one_colour_are_told_once_with_what_to_do(picture: Picture, shown: str) -> None:
    sentence = f"all pictures have been {shown} for 5 s, and the model plays blind: do this"
    assert Film().show(picture, 60) == [sentence]


def test_that_they_show_something_again_is_told_too() -> None:
    film = Film()
    assert film.show(SPOT, 30) == []
    assert len(film.show(BLACK, 10)) == 1
    assert film.show(SPOT, 30) == ["the pictures show something again"]
    assert len(film.show(BLACK, 10)) == 1


def test_a_dark_moment_is_not_told() -> None:
    film = Film()
    for _ in range(10):
        assert film.show(BLACK, 5) == []
        assert film.show(SPOT, 1) == []
