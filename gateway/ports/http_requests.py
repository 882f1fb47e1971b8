"""The common parts of the ports that speak HTTP: limits of requests, and the log of bad ones."""

import logging

from aiohttp.log import ws_logger

# A request with its headers. No request here has a body, and what comes instead of a request is not kept.
MAX_REQUEST_BYTES = 2**16
# aiohttp's words on malformed requests hold their bytes, which may be a token.
AIOHTTP_LOGGER = logging.getLogger(f"{__name__}.aiohttp")
AIOHTTP_LOGGER.setLevel(logging.CRITICAL + 1)
# It holds the subprotocols that a client asks for, where some put their token.
ws_logger.setLevel(logging.CRITICAL + 1)
