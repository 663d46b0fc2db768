"""How long teaching takes: ``python -m benchmarks.teaching [--good 500] [--bad 500] [--method auto]``.

Parts of the simulated line are drawn into folders, taught as `edgeai train manufacturing.inspection` teaches them, and
the model judges as many others. What it finds says that teaching works on a drawing, no more; what counts is the time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from apps.manufacturing.inspection.evaluate import evaluate
from apps.manufacturing.inspection.options import EvaluateOptions, TrainOptions
from apps.manufacturing.inspection.train import train
from apps.manufacturing.simulation.line import write_parts
from edgeai_core.cli.tasks import progress_bars


def main() -> None:
    """Draw, teach, judge, and print one row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--good", type=int, default=500, help="good pictures to teach on (default 500)")
    parser.add_argument("--bad", type=int, default=500, help="bad pictures to teach on (default 500)")
    parser.add_argument("--method", default="auto", help="as of the command (default auto)")
    parser.add_argument("--threads", type=int, default=2, help="cores (default 2)")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="edgeai-teaching-") as folder:
        taught_on, others, out = (Path(folder) / name for name in ("taught_on", "others", "model"))
        write_parts(str(taught_on), given.good, given.bad, 1)
        write_parts(str(others), given.good, given.bad, 2)
        options = TrainOptions.model_validate(
            {"good": [taught_on / "good"], "bad": [taught_on / "bad"], "out": out,
             "method": given.method, "threads": given.threads}
        )  # fmt: skip
        used = time.process_time()
        with progress_bars() as progress:
            result = train(options, progress)
        processor = (time.process_time() - used) / 60
        with progress_bars() as progress:
            folders = {"model": out, "good": [others / "good"], "bad": [others / "bad"]}
            judged = evaluate(EvaluateOptions.model_validate(folders), progress)
    found = judged.figures["detection_at_1pct"]
    share, low, high = (100 * (each or 0.0) for each in (found.value, found.low, found.high))
    print("| good | bad | cores | chosen | minutes | of processor time | found at 1 % false rejects |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {given.good} | {given.bad} | {given.threads} | {result['method']} | {result['minutes']} | {processor:.1f} "
        f"| {share:.1f} % ({low:.1f} to {high:.1f}, n {found.n}) |"
    )


if __name__ == "__main__":
    main()
