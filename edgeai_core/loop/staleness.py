"""Which inputs of a loop are too old to decide on, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.spec import LoopSpec, On
from edgeai_core.sample import View
from edgeai_core.sensors.mailbox import Mailbox

_SECOND_NS = 1_000_000_000


class Staleness:
    """Judges the views of one loop's inputs by their ages. ``makers``: the class of each source, by input."""

    def __init__(self, spec: LoopSpec[Any], mailbox: Mailbox, makers: Mapping[str, str]) -> None:
        self._mailbox = mailbox
        self._makers = makers
        self._inputs = {each.source: each for each in spec.inputs}
        self._trigger = spec.trigger.input if isinstance(spec.trigger, On) else None

    def fault(
        self, views: Mapping[str, View[Any]], *, releasing: bool, starting: bool = False
    ) -> Fault | None:
        """Return a fault for the first required input that is too old.

        What releases the loop is exempt while it is ``releasing`` it, and one that has not come yet while the loop is
        ``starting``.
        """
        for source, view in views.items():
            handle = self._inputs[source]
            limit_s = handle.max_age_s
            triggers = self._trigger is not None and source == self._trigger.source
            if not handle.required or (triggers and (releasing or limit_s is None)):
                continue
            if view.age_ns is None:
                if not starting:
                    return self._fault(source, None, limit_s, "nothing has come yet")
            elif limit_s is not None and view.age_ns > limit_s * _SECOND_NS:
                return self._fault(source, view.age_ns, limit_s, f"is {view.age_ns / 1e9:.3f} s old")
        return None

    def silent(self, views: Mapping[str, View[Any]]) -> str | None:
        """Return the input that releases the loop where it is too old to have released this cycle."""
        if self._trigger is None or self._trigger.max_age_s is None:
            return None
        age_ns = views[self._trigger.source].age_ns
        old = age_ns is not None and age_ns > self._trigger.max_age_s * _SECOND_NS
        return self._trigger.source if old else None

    def _fault(self, source: str, age_ns: int | None, limit_s: float | None, what: str) -> Fault:
        made_by = self._makers.get(source)
        maker = f"source {made_by}" if made_by else f"loop {source}"
        limit = f" (limit {limit_s} s)" if limit_s is not None else ""
        cause = self._mailbox.trouble(source)
        if not cause and self._mailbox.over_at(source):
            cause = "its source has ended"
        elif not cause:
            cause = (
                "its source delivers nothing" if made_by else "that loop does not run, or publishes nothing"
            )
        return Fault(
            FaultKind.STALE,
            f"input {source!r}: {what}{limit}; made by {maker}; likely cause: {cause}",
            input=source,
            made_by=maker,
            age_ns=age_ns,
            cause=cause,
        )
