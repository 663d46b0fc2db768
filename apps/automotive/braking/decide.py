"""stub"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    x: float = 1.0
