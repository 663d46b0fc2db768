"""The contracts as checks that a vertical's own tests call, and its recordings as regression tests."""

from edgeai_core.testing.apps import check_app
from edgeai_core.testing.contract import ContractError
from edgeai_core.testing.decisions import compare, decisions, play, read_decisions, recordings_in
from edgeai_core.testing.runners import check_runner
from edgeai_core.testing.sinks import check_sink
from edgeai_core.testing.sources import check_source

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
