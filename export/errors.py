"""Export's errors, one class per cause; each message says what was wrong and what to do.

ExportError
├── CheckpointError      the checkpoint cannot be read, or does not hold a NitroGen model
├── OptionError          the command line asks for what this checkpoint cannot do
├── RepositoryError      the model repository refuses the new version
│   └── IncompatibleVersionError   its horizon, context or games are not those of the model's versions
└── VerificationError    the exported graph does not compute what the eager model computes
"""


class ExportError(Exception):
    """Base of every error that export raises on purpose; `exit_code` is the command line's."""

    exit_code = 1


class CheckpointError(ExportError):
    """The checkpoint, or a file that it names, cannot be used."""


class OptionError(ExportError):
    """An option contradicts the checkpoint."""


class RepositoryError(ExportError):
    """The version cannot be published into the repository."""


class IncompatibleVersionError(RepositoryError):
    """One config speaks for all versions of a model, and this checkpoint needs another."""

    exit_code = 3


class VerificationError(ExportError):
    """The saved graph's outputs differ from the eager model's."""
