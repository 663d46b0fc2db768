"""One loop in a process of its own: ``python -m edgeai_core.process.child APP LOOP --state DIR --config FILE``."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from edgeai_core.alerts.sink import AlertSink
from edgeai_core.app import App, load_app
from edgeai_core.clock import MonotonicClock
from edgeai_core.errors import ConfigError, EdgeAIError
from edgeai_core.log import set_up_logging
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.realtime import apply_realtime
from edgeai_core.loop.spec import LoopSpec, Parts
from edgeai_core.loop.statistics import LoopStatistics
from edgeai_core.process.parent import die_with_parent
from edgeai_core.recording.source import from_recording
from edgeai_core.recording.tap import RecordingTap
from edgeai_core.state import STATE_VARIABLE, State
from edgeai_core.topics.live import JOURNAL_TOPIC, LivePublisher, LiveSink
from edgeai_core.topics.stream import RingSink, RingSource
from edgeai_core.topics.topic import TopicSink, TopicSource

_FLUSH_WITHIN_S = 3.0
_END_WITHIN_S = 10

log = logging.getLogger("edgeai.child")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one loop until it ends or SIGTERM comes; return the exit code, with one line for an error."""
    parser = argparse.ArgumentParser(prog="edgeai_core.process.child", description=__doc__)
    parser.add_argument("app")
    parser.add_argument("loop")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True, help="the app's whole configuration, as JSON")
    parser.add_argument("--device", default="")
    parser.add_argument("--play", type=Path, help="a recorded run (MCAP) in place of this loop's inputs")
    parser.add_argument("--record", action="store_true", help="hand what happens to the recorder")
    parser.add_argument("--log-json", action="store_true")
    given = parser.parse_args(arguments)
    set_up_logging(f"{given.app}.{given.loop}", as_json=given.log_json)
    die_with_parent()
    os.environ[STATE_VARIABLE] = str(given.state)  # what the app keeps of its own is found there, too
    try:
        app = load_app(given.app)
        text = given.config.read_text(encoding="utf-8")
        config = app.config.model_validate_json(text)
        spec = find_loop(app, config, given.loop)
        if given.play is not None:
            spec = from_recording(spec, app.name, given.play)
        run_loop(app, spec, State(given.state), device=given.device, recorded=text if given.record else None)
    except EdgeAIError as error:
        log.error("%s", error)
        return error.exit_code
    except Exception as error:
        log.critical("%s", _describe(error))
        return 1
    return 0


def find_loop(app: App, config: object, name: str) -> LoopSpec[Any]:
    """Return one loop's specification. Raises ConfigError for an unknown name."""
    specs = app.loops(config)
    for spec in specs:
        if spec.name == name:
            return spec
    raise ConfigError(f"app {app.name!r} has no loop {name!r} (it has: {', '.join(s.name for s in specs)})")


def run_loop(
    app: App, spec: LoopSpec[Any], state: State, *, device: str = "", recorded: str | None = None
) -> None:
    """Run one loop with journal, topics, live view and statistics until it ends or a signal stops it.

    ``recorded``: its app's configuration as JSON, where what happens is to be handed to the recorder.
    Call from the main thread. Raises ConfigError where another process runs this loop with this state.
    """
    clock = MonotonicClock()
    with ExitStack() as stack:
        stack.enter_context(_Lock(_lock_of(app.name, spec.name, state)))
        for refusal in apply_realtime(spec.realtime):
            log.warning("the machine refuses %s", refusal)
        publisher = LivePublisher(state.run)
        nudge = LivePublisher(state.run)  # of the journal's writer thread
        alerts = AlertSink(
            app.name,
            spec.name,
            spec.rules,
            state.journal,
            device=device,
            on_commit=lambda sequence: _tell(nudge, sequence),
        )
        stack.callback(nudge.close)
        stack.callback(alerts.close)
        stack.callback(alerts.flush, _FLUSH_WITHIN_S)
        topic = TopicSink(state.run, app.name, spec.name)
        stack.callback(topic.close)
        streams = RingSink(state.run, app.name, spec.name, spec.streams)
        stack.callback(streams.close)
        live = LiveSink(app.name, spec.name, publisher)
        stack.callback(live.close)
        statistics = LoopStatistics(
            spec, app.name, state.statistics(app.name, spec.name), started_ns=clock.now_ns()
        )
        stack.callback(statistics.close)
        if recorded is not None and not all(each.recorded for each in spec.inputs):
            log.info("this loop is not recorded: what it receives may name people")
            recorded = None
        tap = None if recorded is None else RecordingTap(state.run, app.name, spec.name, recorded)
        if tap is not None:
            stack.callback(tap.close)
        loop = Loop(
            spec,
            with_topics(spec, spec.build(), state.run),
            clock,
            sinks=(topic, streams, alerts, live) if tap is None else (topic, streams, alerts, live, tap),
            statistics=statistics,
            ledger=alerts,
            tap=tap,
        )
        _stop_on_signals(loop)
        log.info("loop runs", extra={"pid": os.getpid()})
        loop.run()
        log.info("loop ended")


def check_free(app: str, loop: str, state: State) -> None:
    """Raise ConfigError where another process runs this loop with this state."""
    with _Lock(_lock_of(app, loop, state)):
        pass


def with_topics(spec: LoopSpec[Any], parts: Parts[Any], run: Path) -> Parts[Any]:
    """Add a source for every input that names another loop's output or stream, typed by what that loop declares."""
    own = {source.name for source in parts.sources}
    topics = [each.source for each in spec.inputs if each.source not in own and "." in each.source]
    for each in spec.inputs:
        if each.source in topics and each.history == "one":
            raise ConfigError(
                f"loop {spec.name!r}: input {each.source!r} is durable; a topic may lose messages"
            )
    sources = [_topic_source(run, topic) for topic in topics]
    return replace(parts, sources=(*parts.sources, *sources)) if sources else parts


def _topic_source(run: Path, topic: str) -> TopicSource[Any] | RingSource[Any]:
    app_name, _, rest = topic.partition(".")
    loop_name, _, name = rest.partition("/")
    app = load_app(app_name)
    loop = find_loop(app, app.config(), loop_name)
    if not name:
        return TopicSource(run, topic, type(loop.safe.output))
    stream = loop.streams.get(name)
    if stream is None:
        known = ", ".join(loop.streams) or "none"
        raise ConfigError(f"loop {app_name}.{loop_name} declares no stream {name!r} (it declares: {known})")
    return RingSource(run, topic, stream.item)


def _tell(publisher: LivePublisher, sequence: int) -> None:
    publisher.publish(JOURNAL_TOPIC, sequence, time.monotonic_ns())


def _stop_on_signals(loop: Loop) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.stop()
        # A step that never returns must not keep the process: the kernel ends it by SIGALRM.
        signal.alarm(_END_WITHIN_S)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _lock_of(app: str, loop: str, state: State) -> Path:
    return state.run / f"{app}.{loop}.lock"


class _Lock:
    """A file lock that the kernel lets go of however the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise ConfigError(
                f"this loop already runs with this state, as process {holder or 'unknown'}; "
                "stop that run, or name another state with --state"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _describe(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{place}"


if __name__ == "__main__":
    sys.exit(main())
