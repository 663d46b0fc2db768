"""``edgeai replay``: a recording through an app in virtual time; twice the same gives the same, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.cli.options import ConfigOption, JsonOption, SetOption, choose, printable
from edgeai_core.errors import ConfigError

if TYPE_CHECKING:
    from edgeai_core.decision import Condition
    from edgeai_core.testing.decisions import Step


def replay(
    app: Annotated[
        str, typer.Argument(metavar="APP[.LOOP]", help="The app, or the loop that the recording feeds.")
    ],
    recording: Annotated[Path, typer.Argument(help="Anything that the app's sources read.")],
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a recording as fast as it goes and print every change of the decision.

    With --json an object per cycle that changed anything, with the whole output, then a summary.
    """
    from edgeai_core.testing.decisions import play

    chosen = choose([app], config, settings)[0]
    if len(chosen.loops) != 1:
        names = ", ".join(f"{chosen.app.name}.{spec.name}" for spec in chosen.loops)
        raise ConfigError(f"say which loop the recording feeds: {names}")
    steps = play(chosen.app, chosen.config, {chosen.loops[0].name: str(recording)})
    for line in _json_lines(steps) if as_json else map(printable, _text_lines(steps)):
        typer.echo(line)


def _text_lines(steps: Iterator[Step]) -> Iterator[str]:
    from edgeai_core.testing.decisions import decisions
    from edgeai_core.topics.message import plain_fields

    counter = _Counter()
    current: Step | None = None

    def watched() -> Iterator[Step]:
        nonlocal current
        for step in steps:
            counter.note(step)
            current = step
            yield step

    for line in decisions(watched()):
        if "end" in line:
            continue
        assert current is not None
        output = plain_fields(current.cycle.decision.output)
        shown = " ".join(
            f"{name}={_short(value)}" for name, value in output.items() if value not in (None, "")
        )
        parts = [f"{current.time_s:10.3f} s  {current.loop}  {shown}"]
        parts += [f"RAISED {_name(each)}" for each in current.began]
        parts += [f"OVER {_name(each)}" for each in current.ended]
        if current.cycle.fault is not None:
            parts.append(current.cycle.fault.message)
        yield "  ".join(parts)
    yield (
        f"{counter.cycles} cycles in {counter.end_s:.1f} s of recording: "
        f"{counter.raised} alerts raised, {counter.faults} cycles with a fault"
    )


def _json_lines(steps: Iterator[Step]) -> Iterator[str]:
    counter = _Counter()
    last: dict[str, dict[str, object]] = {}
    for step in steps:
        counter.note(step)
        entry = _entry(step)
        if entry != last.get(step.loop) or step.began or step.ended:
            last[step.loop] = entry
            moment = {
                "time_s": round(step.time_s, 6),
                "loop": step.loop,
                "number": step.cycle.snapshot.number,
            }
            yield json.dumps({
                **moment,
                **entry,
                "raised": [_condition(each) for each in step.began],
                "over": [_condition(each) for each in step.ended],
            })  # fmt: skip
    yield json.dumps({"summary": counter.summary()})


class _Counter:
    def __init__(self) -> None:
        self.cycles = self.faults = self.raised = 0
        self.end_s = 0.0
        self._codes: dict[str, int] = {}

    def note(self, step: Step) -> None:
        self.cycles += 1
        self.faults += step.cycle.fault is not None
        self.raised += len(step.began)
        self.end_s = step.time_s
        for each in step.began:
            self._codes[each.code] = self._codes.get(each.code, 0) + 1

    def summary(self) -> dict[str, object]:
        return {
            "cycles": self.cycles,
            "seconds": round(self.end_s, 6),
            "faults": self.faults,
            "raised": dict(sorted(self._codes.items())),
        }


def _entry(step: Step) -> dict[str, object]:
    from edgeai_core.alerts.alert import plain
    from edgeai_core.topics.message import decode, encode

    decision = step.cycle.conditions_of
    fault = step.cycle.fault
    return {
        "output": plain(decode(encode(step.cycle.decision.output), arrays=False)),
        "conditions": None
        if decision.conditions is None
        else [_condition(each) for each in decision.conditions],
        "fault": None if fault is None else {"kind": fault.kind.value, "message": fault.message},
    }


def _condition(condition: Condition) -> dict[str, object]:
    from edgeai_core.alerts.alert import plain_evidence

    return {
        "code": condition.code,
        "subject": condition.subject,
        "priority": condition.priority.value,
        "title": condition.title,
        "evidence": plain_evidence(condition.evidence),
    }


def _name(condition: Condition) -> str:
    return f"{condition.code} ({condition.subject}, {condition.priority.value})"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
