"""What the ports that speak HTTP have in common: bounds for what comes, and who tells of what goes wrong."""

import logging

from aiohttp.log import ws_logger

# A request with its headers. No request here has a body, and what comes instead of a request is not kept.
MAX_REQUEST_BYTES = 2**16
# What aiohttp says of requests that are none holds their bytes, which may be a token.
AIOHTTP_LOGGER = logging.getLogger(f"{__name__}.aiohttp")
AIOHTTP_LOGGER.setLevel(logging.CRITICAL + 1)
# It holds the subprotocols that a client asks for, where some put their token.
ws_logger.setLevel(logging.CRITICAL + 1)
