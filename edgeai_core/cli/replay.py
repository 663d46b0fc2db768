"""``edgeai replay``: a recording through an app in virtual time; twice the same gives the same, byte for byte.

What an app's sources read is played in ideal time. A recorded run (MCAP) is fed to each loop as it arrived, at the
moments at which the live loop looked, and compared with what it decided then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai_core.cli.options import ConfigOption, JsonOption, SetOption, choose, printable
from edgeai_core.errors import ConfigError

if TYPE_CHECKING:
    from edgeai_core.decision import Condition
    from edgeai_core.loop.spec import LoopSpec
    from edgeai_core.recording.replay import Verdict
    from edgeai_core.testing.decisions import Step


def replay(
    app: Annotated[
        str,
        typer.Argument(metavar="APP[.LOOP]", help="The loop that the recording feeds; of an app its first."),
    ],
    recording: Annotated[Path, typer.Argument(help="Anything that the app's sources read.")],
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a recording as fast as it goes and print every change of the decision.

    A run that `edgeai run --record` recorded (MCAP) is played as it was, loop by loop, and the last line says
    whether every decision equals the live one; where one differs the command ends with 1. It is played with the
    configuration it was recorded with, unless --config or --set say otherwise.
    With --json an object per cycle that changed anything, with the whole output, then a summary.
    """
    from edgeai_core.loop.realtime import hold_library_threads

    hold_library_threads()  # as live, for sums that are divided among threads differ in the last bit
    from edgeai_core.recording.replay import is_recording
    from edgeai_core.testing.decisions import play

    if is_recording(recording):
        _replay_run(app, recording, config, settings, as_json)
        return
    chosen = choose([app], config, settings)[0]
    steps = play(chosen.app, chosen.config, {chosen.loops[0].name: str(recording)})
    for line in _json_lines(steps) if as_json else map(printable, _text_lines(steps)):
        typer.echo(line)


def _replay_run(
    name: str, recording: Path, config: Path | None, settings: list[str] | None, as_json: bool
) -> None:
    from edgeai_core.app import load_app
    from edgeai_core.recording.replay import Verdict, load_specs, recorded_config

    app_name, _, loop = name.partition(".")
    app = load_app(app_name)
    chosen = (
        choose([app_name], config, settings)[0].config
        if config or settings
        else recorded_config(recording, app)
    )
    specs = load_specs(recording, app, chosen)
    if loop:
        specs = {each: spec for each, spec in specs.items() if each == name}
    if not specs:
        raise ConfigError(f"{recording}: holds no loop {name!r}")
    verdict = Verdict()
    steps = _steps(recording, specs, verdict)
    for line in _json_lines(steps, verdict) if as_json else map(printable, _text_lines(steps)):
        typer.echo(line)
    if not as_json:
        typer.echo(printable(str(verdict)))
    if not verdict.equal:
        raise typer.Exit(1)


def _steps(recording: Path, specs: Mapping[str, LoopSpec[Any]], verdict: Verdict) -> Iterator[Step]:
    """Yield the cycles of a recorded run with the alerts that they raise and end."""
    from edgeai_core.alerts.lifecycle import Watch, observe
    from edgeai_core.recording.replay import replay_recording
    from edgeai_core.testing.decisions import Step

    watches: dict[str, Mapping[Any, Watch]] = {name: {} for name in specs}
    for each in replay_recording(recording, specs, verdict):
        conditions = each.cycle.conditions_of.conditions
        seen = observe(watches[each.loop], conditions, specs[each.loop].rules, each.cycle.snapshot.now_ns)
        watches[each.loop] = seen.watches
        standing = tuple(sorted(key for key, watch in seen.watches.items() if watch.standing))
        yield Step(each.loop, each.time_s, each.cycle, seen.began, seen.ended, standing)


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


def _json_lines(steps: Iterator[Step], verdict: Verdict | None = None) -> Iterator[str]:
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
    replayed = {} if verdict is None else {"replay": verdict.to_json()}
    yield json.dumps({"summary": counter.summary(), **replayed})


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
