"""The contracts as checks that a vertical's own tests call, and its recordings as regression tests."""

from edgeai_core.testing.checks import ContractError, check_app, check_runner, check_sink, check_source
from edgeai_core.testing.decisions import compare, decisions, play, read_decisions, recordings_in

__all__ = [
    "ContractError",
    "check_app",
    "check_runner",
    "check_sink",
    "check_source",
    "compare",
    "decisions",
    "play",
    "read_decisions",
    "recordings_in",
]
