"""The pages of a running gateway, as a browser or Prometheus gets them."""

import urllib.error
import urllib.request

from tests.patience import WITHIN_S


def page(port: int, path: str, timeout_s: float = WITHIN_S) -> tuple[int, str]:
    """The status and the text of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
