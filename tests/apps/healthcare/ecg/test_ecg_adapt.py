"""A patient learnt on the device: the network's last layers change, proven and judged, or nothing does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra `teach`")

from apps.healthcare.ecg import adapt
from apps.healthcare.ecg.adapt import TASK, continual
from apps.healthcare.ecg.graft import FrozenNetwork
from apps.healthcare.ecg.loop import MODEL, _model_in_use
from apps.healthcare.ecg.options import ContinualOptions
from apps.healthcare.ecg.rhythm import LONG, WINDOWS
from apps.healthcare.ecg.spectra import FEATURES, spectra_of
from edgeai_core.errors import InputError
from edgeai_core.learning.adapter import Adapter
from edgeai_core.learning.continual import Samples
from edgeai_core.learning.gate import RefusedError
from edgeai_core.runners.card import read_card
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.store import install, versions
from edgeai_core.state import State


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def network() -> FrozenNetwork:
    return FrozenNetwork(MODEL)


def leads(count: int, number: int = 4) -> np.ndarray:
    random = np.random.default_rng(number)
    return np.cumsum(random.normal(0, 0.05, (number, count, LONG)), axis=2).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_untouched_adapters_give_what_the_network_gives(network: FrozenNetwork, count: int) -> None:
    windows = leads(count)
    wanted = OnnxRunner(MODEL).run({"ecg": windows})
    adapters = {window: network.adapter(window) for window in WINDOWS}
    for name, each in network.outputs(windows, adapters).items():
        np.testing.assert_allclose(each, wanted[name], atol=1e-3)
    for window, features in network.features(windows).items():
        np.testing.assert_allclose(adapters[window].logits(features), wanted[f"logits_{window}"], atol=1e-3)


def test_spectra_of_windows_have_their_length_and_are_numbers() -> None:
    made = spectra_of(np.vstack([leads(1)[:, 0], np.zeros((1, LONG), np.float32)]))
    assert made.shape == (5, FEATURES)
    assert np.isfinite(made).all()


def records(patients: dict[str, float], network: FrozenNetwork) -> dict[str, adapt.By]:
    """Windows as the network sees them of patients whose features lie apart by a shift."""
    made = {}
    for number, (patient, shift) in enumerate(patients.items()):
        random = np.random.default_rng(number)
        own = {}
        for window in WINDOWS:
            adapter = network.adapter(window)
            labels = np.arange(80) % 2  # OTHER and VT
            direction = adapter.weight[:, 1] - adapter.weight[:, 0]
            direction = direction / np.linalg.norm(direction) ** 2
            sides = np.where(labels == 1, 8.0, -8.0) + shift
            features = random.normal(0, 0.3, (80, adapter.size)) + np.outer(sides, direction)
            features[:, :5] += 0.5 * abs(shift)  # who is new differs in more than that
            own[window] = Samples(features.astype(np.float32), labels, np.full(80, patient))
        made[patient] = own
    return made


class Named:
    """All that learning wants of a record, where its windows are made."""

    def __init__(self, patient: str) -> None:
        self.patient = patient


@pytest.fixture
def _made(network: FrozenNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records by name in place of files: the new patient's calls lie beside the threshold."""
    made = records({**{f"k{n}": 0.0 for n in range(8)}, "new": -12.0}, network)
    monkeypatch.setattr(adapt, "load_records", lambda paths, progress: [Named(path.name) for path in paths])
    monkeypatch.setattr(adapt, "windows_of", lambda network, record, thin=1: made[record.patient])
    monkeypatch.setattr(adapt, "data_refs", lambda records: ())
    monkeypatch.setattr(adapt, "training_data", lambda records, split: ())


def options_of() -> ContinualOptions:
    return ContinualOptions(data=[Path("new")], known=[Path(f"k{n}") for n in range(8)], learning_rate=1e-2)


@pytest.mark.usefixtures("_made")
def test_a_patient_is_learnt_and_the_loop_takes_the_new_network(state_folder: Path) -> None:
    state = State(state_folder).create()
    lesson = continual(options_of(), silent)
    install(state, TASK, "1.0.0+1", lambda into: lesson.write(into, "1.0.0+1").to_json())
    path = _model_in_use()
    assert path.parent.name == "1.0.0+1"
    assert read_card(path.with_suffix(".card.toml")).golden is not None
    before, after = (lesson.evaluation.figures[name].value for name in ("new_before", "new_continual"))
    assert before is not None
    assert after is not None
    assert before < after
    again = continual(ContinualOptions(data=[Path("new")]), silent)  # what is known is remembered now
    assert again.base == "1.0.0+1"
    assert again.evaluation.figures["new_before"].value == pytest.approx(after, abs=0.15)


@pytest.mark.usefixtures("_made")
def test_a_network_that_forgets_other_patients_is_refused(
    state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    def careless(adapter: Adapter, *rest: object) -> Adapter:
        return replace(adapter, weight=-adapter.weight)

    lesson = continual(options_of(), silent)
    monkeypatch.setattr(adapt, "learn", careless)
    with pytest.raises(RefusedError, match="on other patients, windows of 4s accuracy falls"):
        install(State(state_folder).create(), TASK, "1+1", lambda into: lesson.write(into, "1+1").to_json())
    assert versions(State(state_folder), TASK) == []
    assert _model_in_use() == MODEL


@pytest.mark.usefixtures("_made")
def test_without_other_patients_nothing_is_learnt() -> None:
    with pytest.raises(InputError, match="name records of them with --known"):
        continual(ContinualOptions(data=[Path("new")]), silent)
