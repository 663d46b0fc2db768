"""The recorder's process: ``python -m edgeai_core.process.recorder --state DIR [--file FILE] [--evidence-s N]``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeai_core.errors import EdgeAIError
from edgeai_core.log import set_up_logging
from edgeai_core.process.parent import die_with_parent
from edgeai_core.recording.evidence import EvidenceLimits
from edgeai_core.recording.recorder import Recorder
from edgeai_core.state import State

log = logging.getLogger("edgeai.recorder")


def main(arguments: Sequence[str] | None = None) -> int:
    """Record until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="edgeai_core.process.recorder", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--max-mb", type=float)
    parser.add_argument("--evidence-s", type=float, default=0.0)
    parser.add_argument("--log-json", action="store_true")
    given = parser.parse_args(arguments)
    set_up_logging("recorder", as_json=given.log_json)
    die_with_parent()
    limits = (
        EvidenceLimits(before_s=given.evidence_s, after_s=given.evidence_s / 4) if given.evidence_s else None
    )
    max_bytes = None if given.max_mb is None else int(given.max_mb * 1e6)
    try:
        recorder = Recorder(State(given.state), given.file, max_bytes, limits)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: recorder.stop())
        recorder.run()
    except EdgeAIError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
