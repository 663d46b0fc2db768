"""The gate before what was learnt on a device replaces the model in use: better where it should be, else refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeai_core.errors import ModelError

ALLOWED_FALL = 0.02
"""Of balanced accuracy on what was known before."""

MIN_HELD_OUT = 20
"""With fewer samples that were not learnt from, nothing can be told."""


class RefusedError(ModelError):
    """What was learnt did not pass: the model in use stays."""


@dataclass(frozen=True)
class Held:
    """Balanced accuracy before and after learning on ``n`` samples that were not learnt from."""

    what: str
    before: float
    after: float
    n: int


@dataclass(frozen=True)
class Passed:
    """What the gate measured: the accuracies, and how far the exported file is from what was learnt."""

    old: tuple[Held, ...]
    new: Held
    parity_difference: float

    def to_json(self) -> dict[str, object]:
        """Return it as what a version's manifest keeps."""
        return {
            "parity_difference": self.parity_difference,
            "held_out": [
                {"what": each.what, "before": each.before, "after": each.after, "n": each.n}
                for each in (*self.old, self.new)
            ],
        }


def check_gate(
    old: Sequence[Held],
    new: Held,
    *,
    parity_difference: float,
    parity_tolerance: float,
    allowed_fall: float = ALLOWED_FALL,
) -> Passed:
    """Pass what may replace the model in use. Raises RefusedError that says every reason why not.

    ``parity_difference`` is the largest difference of the exported file's scores, as the engine runs it, from those
    that were learnt. On ``new`` the accuracy must rise, on each of ``old`` it may fall by ``allowed_fall``.
    """
    reasons = []
    if not parity_difference <= parity_tolerance:
        reasons.append(
            f"the exported model scores {parity_difference:.3g} off what was learnt (allowed {parity_tolerance:.3g})"
        )
    for each in (*old, new):
        if each.n < MIN_HELD_OUT:
            reasons.append(
                f"only {each.n} samples of {each.what} are held out; {MIN_HELD_OUT} are needed to judge"
            )
        elif not (math.isfinite(each.before) and math.isfinite(each.after)):
            reasons.append(f"accuracy on {each.what} is not a number")
    if not old:
        reasons.append("nothing of what was known before is at hand to judge by")
    for each in old:
        if each.before - each.after > allowed_fall:
            reasons.append(
                f"on {each.what} accuracy falls from {100 * each.before:.1f} to {100 * each.after:.1f} %"
                f" (allowed: {100 * allowed_fall:.1f} points; n = {each.n})"
            )
    if not new.after > new.before:
        reasons.append(
            f"on {new.what} accuracy does not rise: {100 * new.before:.1f} before, {100 * new.after:.1f} % after"
            f" (n = {new.n})"
        )
    if reasons:
        raise RefusedError(f"refused, the model in use stays: {'; '.join(reasons)}")
    return Passed(tuple(old), new, parity_difference)
