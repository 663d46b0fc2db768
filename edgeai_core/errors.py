"""Errors that say what is wrong, where, and what to do."""

from __future__ import annotations


class EdgeAIError(Exception):
    """The base of every error meant for a person: one line, no traceback.

    ``exit_code`` is what the command line ends with.
    """

    exit_code = 1


class ConfigError(EdgeAIError):
    """A configuration that cannot be used: names the file or flag, the field and the reason."""

    exit_code = 2


class InputError(EdgeAIError):
    """A file or value from outside that cannot be read or makes no sense."""

    exit_code = 3


class ModelError(EdgeAIError):
    """A model or card that is missing, corrupt, foreign, or fed the wrong shape or dtype."""

    exit_code = 4


class SensorError(EdgeAIError):
    """A source failed; the reader closes it, waits and opens it again."""

    exit_code = 5


class JournalError(EdgeAIError):
    """The alert journal cannot be opened, read or written."""

    exit_code = 6


class MissingExtraError(EdgeAIError):
    """A part needs an optional dependency that is not installed; the message names the extra."""

    exit_code = 7


class EndOfStream(Exception):  # noqa: N818 - it is not an error: the source is over
    """Raised by ``Source.read`` when nothing more will ever come."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
