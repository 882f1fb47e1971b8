"""TLS for the gateway's ports."""

import ssl
from pathlib import Path

from gateway.errors import StartError


def tls_context(certificate: Path | None, key: Path | None, flag: str) -> ssl.SSLContext | None:
    """Return what a TLS server needs; None without a certificate.

    `flag`: the one that names the certificate, for the error.

    Raises:
        StartError: the files hold no certificate with its key.
    """
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # else it asks on the terminal
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"{flag} {certificate} is not a PEM certificate with its key ({error}): check both files"
        ) from error
    return context
