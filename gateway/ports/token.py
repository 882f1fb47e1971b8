"""The file that holds the token of a port's clients."""

from pathlib import Path

from gateway.errors import StartError


def read_token(path: Path | None, flag: str) -> bytes | None:
    """Return the token in a file, without blanks around it; None without a file.

    `flag`: the one that names the file, for the error.

    Raises:
        StartError: the file cannot be read, or holds no token.
    """
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{flag} {path} cannot be read ({error}): check the file") from error
    if not token:
        raise StartError(f"{flag} {path} is empty: write the token into it")
    return token.encode()
