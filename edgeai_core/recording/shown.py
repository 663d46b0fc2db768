"""What an app says of how its recorded values look: the contract of ``App.channels``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shown:
    """One message on a channel people look at. ``lossy`` names a preview: what is shown is not what was recorded."""

    schema: str
    message: Mapping[str, Any]
    lossy: bool = False


Encoder = Callable[[Any, int], Mapping[str, Shown]]
"""From a value and its time (nanoseconds since 1970) to messages, by the name that is added to the channel's."""
