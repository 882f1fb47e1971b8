"""Export's errors, one class per cause; each message says what was wrong and what to do.

ExportError
├── CheckpointError      the checkpoint cannot be read, or does not hold a NitroGen model
│   └── DownloadError     the hub could not give the file
├── AdapterError         the LoRA adapter cannot be read, or does not fit the checkpoint
├── OptionError          the command line asks for what this checkpoint cannot do
├── RepositoryError      the model repository cannot be read or written as wanted
├── ActivationError      a running Triton cannot be made to serve a version
│   ├── TritonNotRunningError  no Triton answers at all
│   └── TritonEndedError       one has ended while it loaded a version
└── VerificationError    the network's answers, or the saved graph, are wrong
"""

from collections.abc import Sequence

NAMED = 5  # of a kind, in one message


class ExportError(Exception):
    """Base of every error that export raises on purpose."""


class CheckpointError(ExportError):
    """The checkpoint, or a file that it names, cannot be used."""


class AdapterError(ExportError):
    """The LoRA adapter, or one of its two files, cannot be merged into the checkpoint."""


class DownloadError(CheckpointError):
    """The hub could not give the file, or there is no place to keep it."""


class OptionError(ExportError):
    """An option contradicts the checkpoint."""


class RepositoryError(ExportError):
    """A version cannot be published into, found in or removed from the repository."""


class ActivationError(ExportError):
    """Triton cannot be reached, or does not load the version; it keeps serving the previous one."""


class TritonNotRunningError(ActivationError):
    """Nothing answers at Triton's address.

    Args:
        addresses: what was tried, each with the reason.
    """

    def __init__(self, addresses: str) -> None:
        super().__init__(
            f"no Triton answers at {addresses}: give its gRPC address with --triton, or change only what it "
            "loads at its next start with --triton none"
        )
        self.addresses = addresses


class TritonEndedError(ActivationError):
    """A Triton ended while it loaded a version; whatever keeps it running starts it again."""


class VerificationError(ExportError):
    """The network's answers are not finite, or the saved graph is malformed or differs from it too much."""


def shown(text: object, most: int = 200) -> str:
    """Return a stranger's text for a message: cut, on one line, and without a terminal's commands."""
    cut = str(text)[:most] if isinstance(text, (str, int)) else type(text).__name__
    return cut if cut.isprintable() else ascii(cut)


def first_few(texts: Sequence[str], separator: str = ", ", conjunction: str = " and") -> str:
    """Return the first few texts for a message, and how many more there are."""
    more = f"{conjunction} {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return separator.join(texts[:NAMED]) + more
