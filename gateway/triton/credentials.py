"""TLS and mutual TLS to Triton, from PEM files."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.errors import StartError


@dataclass(frozen=True)
class TlsFiles:
    """PEM files for TLS to Triton.

    Attributes:
        authority: the certificate authority of Triton's certificate; None for the public ones.
        certificate: the gateway's own, for a Triton that asks for one.
        key: the certificate's; both or neither.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Return gRPC's credentials for these files.

        Raises:
            StartError: a file cannot be read or used; the message names the setting.
        """
        authority = _read("--triton-tls-ca", self.authority)
        certificate = _read("--triton-tls-cert", self.certificate)
        key = _read("--triton-tls-key", self.key)
        # gRPC would accept anything and fail at each call, so Python's TLS checks the files first.
        context = ssl.create_default_context()
        if authority is not None:
            try:
                context.load_verify_locations(cadata=authority.decode("ascii"))
            except (ssl.SSLError, ValueError):
                raise _unusable("--triton-tls-ca", self.authority, "certificates of authorities") from None
        if self.certificate is not None and self.key is not None:
            try:
                # OpenSSL would ask for an encrypted key's password on the terminal; gRPC takes none.
                context.load_cert_chain(self.certificate, self.key, password="")
            except (ssl.SSLError, ValueError) as error:
                if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
                    raise StartError(
                        f"--triton-tls-key is {str(self.key)!r}, which is not the key of the certificate in "
                        f"{str(self.certificate)!r}: give the two that belong together"
                    ) from None
                raise _unusable(
                    "--triton-tls-cert and --triton-tls-key",
                    f"{self.certificate} and {self.key}",
                    "a certificate and its key, which must not be encrypted",
                ) from None
        return grpc.ssl_channel_credentials(authority, key, certificate)


def _read(flag: str, path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise StartError(f"{flag} is {str(path)!r}, which cannot be read: {error.strerror}") from None


def _unusable(flag: str, value: object, needed: str) -> StartError:
    return StartError(f"{flag}: {str(value)!r} cannot be used; PEM files are needed with {needed}")
