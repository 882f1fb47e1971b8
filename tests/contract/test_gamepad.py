"""The gamepad's columns are the same wherever they are written down."""

from nitrogen_play import pad

from contract.gamepad import ACTION_WIDTH, BUTTONS
from tests.paths import ROOT


def test_the_clients_and_the_docs_have_the_columns_in_the_same_order() -> None:
    page = (ROOT / "docs" / "reference" / "protocols.md").read_text()
    told = page.rpartition("The 21 columns, in order: ")[2]
    documented = tuple(told.replace("\n", " ").strip(" .").split(", "))
    assert (documented, documented) == (BUTTONS, pad.BUTTONS)
    assert ACTION_WIDTH == 25
