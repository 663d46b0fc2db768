"""What a broken contract raises, and how it is worded."""

from __future__ import annotations

from typing import NoReturn

PATIENCE_S = 10.0
"""What counts as hanging: far beyond what a busy machine takes."""


class ContractError(AssertionError):
    """A contract is broken; the message says which, and what was seen."""


def broken(message: str) -> NoReturn:
    """Raise ContractError."""
    raise ContractError(message)


def kind_of(value: object) -> str:
    """Return the name of a value's class."""
    return type(value).__name__
