"""Everything that ships keeps the contracts that a stranger's vertical is held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_core.alerts.sink import AlertSink
from edgeai_core.app import app_names, load_app
from edgeai_core.loop.spec import LoopSpec, Sink, Source
from edgeai_core.runners.card import ModelCard, read_card
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.state import State
from edgeai_core.testing import check_app, check_runner, check_sink, check_source, recordings_in
from edgeai_core.topics.live import LivePublisher, LiveReceiver, LiveSink
from edgeai_core.topics.local import LocalTopic
from edgeai_core.topics.topic import TopicSink

SAMPLES = Path(__file__).parents[2] / "data_samples"
APPS = app_names()


def shortest_recordings(app_name: str) -> dict[str, Path]:
    """One recording per loop, the quickest to play."""
    found: dict[str, Path] = {}
    for _, loop, path in recordings_in(SAMPLES, load_app(app_name)):
        if loop not in found or path.stat().st_size < found[loop].stat().st_size:
            found[loop] = path
    return found


def shipped_models() -> Iterator[Any]:
    for name in APPS:
        for card in load_app(name).models:
            read = read_card(card)
            model = card.with_name(read.file)
            if model.suffix == ".onnx" and (model.is_file() or read.source is None):
                yield pytest.param(model, card, id=f"{name}-{model.name}")


@pytest.mark.parametrize("app_name", APPS)
def test_an_app_that_ships_keeps_the_contract(app_name: str) -> None:
    check_app(load_app(app_name), shortest_recordings(app_name))


@pytest.mark.parametrize("app_name", APPS)
def test_the_sources_of_an_app_that_ships_keep_the_contract(app_name: str) -> None:
    app = load_app(app_name)
    assert app.inputs is not None
    for loop, path in shortest_recordings(app_name).items():
        config = app.inputs(app.config(), {loop: str(path)})
        (spec,) = [each for each in app.loops(config) if each.name == loop]
        for index in range(len(spec.build().sources)):
            check_source(partial(_source, spec, index))


@pytest.mark.parametrize(("model", "card"), list(shipped_models()))
def test_a_model_that_ships_keeps_the_contract(model: Path, card: Path) -> None:
    generator = np.random.default_rng(1)
    inputs = _inputs(read_card(card), generator)
    check_runner(OnnxRunner(model, card), inputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda state: AlertSink("check", "check", {}, state.journal, device="here"),
        lambda state: TopicSink(state.run, "check", "check"),
        lambda state: LiveSink("check", "check", LivePublisher(state.run)),
        lambda state: LocalTopic("check.check"),
    ],
    ids=["alerts", "topic", "live", "local"],
)
def test_the_sinks_of_the_core_keep_the_contract(make: Callable[[State], Sink], tmp_path: Path) -> None:
    state = State(tmp_path / "state").create()
    with ExitStack() as stack:
        watcher = LiveReceiver(state.run)
        stack.callback(watcher.close)
        sink = make(state)
        stack.callback(getattr(sink, "close", lambda: None))
        check_sink(sink)


def _source(spec: LoopSpec[Any], index: int) -> Source[Any]:
    return spec.build().sources[index]


def _inputs(card: ModelCard, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return noise of the shapes that the card says, two of every dimension that may vary."""
    return {
        spec.name: generator.standard_normal(
            [size if isinstance(size, int) else 2 for size in spec.shape]
        ).astype(spec.dtype)
        for spec in card.inputs
    }
