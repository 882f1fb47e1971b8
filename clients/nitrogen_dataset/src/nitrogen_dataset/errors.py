"""Errors that end a conversion, or leave a recording out, with a sentence.

DatasetError
├── OutputError            the output is not a data set of this program, has other settings, or is in use
├── MissingPackageError    a package for this format is not installed; the message has the pip command
└── RecordingError         a recording cannot be read, or does not fit the data set
"""


class DatasetError(Exception):
    """Base of all errors; the message says what was wrong and what to do."""


class OutputError(DatasetError):
    """The output is not a data set of this program, is one with other settings, or is in use."""


class MissingPackageError(DatasetError):
    """A package for this format is not installed."""


class RecordingError(DatasetError):
    """A recording cannot be read, or not to its end, or does not fit the data set."""
