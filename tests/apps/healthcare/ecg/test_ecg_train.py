"""Training and evaluation from WFDB folders to model, card and figures, on a few small made records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

wfdb = pytest.importorskip("wfdb", reason="needs the extra `wfdb`")
pytest.importorskip("torch", reason="needs the extra `train`")

from apps.healthcare.ecg import beat_class_training, crossfit, examples  # noqa: E402
from apps.healthcare.ecg.beat_class import BeatClassifier  # noqa: E402
from apps.healthcare.ecg.beat_scorer import shipped_scorer  # noqa: E402
from apps.healthcare.ecg.evaluate import evaluate  # noqa: E402
from apps.healthcare.ecg.options import EvaluateOptions, TrainOptions  # noqa: E402
from apps.healthcare.ecg.train import train  # noqa: E402
from apps.healthcare.simulation.ecg import simulate  # noqa: E402
from apps.healthcare.simulation.scenarios import Scenario, Segment  # noqa: E402
from edgeai_core.errors import InputError  # noqa: E402
from edgeai_core.runners.onnx import OnnxRunner  # noqa: E402

LABELS = {"N": "(N", "VT": "(VT", "VF": "(VFIB", "ASYS": "(ASYS", "PVC": "(N", "AFIB": "(AFIB"}


def silent(label: str, done: int, total: int) -> None:
    pass


def write(folder: Path, name: str, segments: tuple[Segment, ...], seed: int, *, rhythms: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    made = simulate(Scenario(segments), seed=seed)
    leads = list(made.lead_names)
    signal = made.samples_mv.astype(np.float64)
    wfdb.wrsamp(
        name, 250, ["mV"] * 2, leads, p_signal=signal, fmt=["16"] * 2, write_dir=str(folder), adc_gain=[200.0] * 2,
        baseline=[0, 0],
    )  # fmt: skip
    marks = [(beat.time_s, beat.kind, "") for beat in made.truth.beats]
    if rhythms:
        marks += [(interval.start_s, "+", LABELS[interval.rhythm]) for interval in made.truth.rhythms]
    marks.sort()
    wfdb.wrann(
        name,
        "atr",
        np.array([round(t * 250) for t, _, _ in marks]),
        [symbol for _, symbol, _ in marks],
        aux_note=[note for _, _, note in marks],
        fs=250,
        write_dir=str(folder),
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    for number, ill in enumerate(
        (Segment("VF", 20), Segment("VT", 20, 180), Segment("VF", 15), Segment("VT", 15, 170))
    ):
        write(folder, f"r{number}", (Segment("N", 40, 70 + number), ill, Segment("N", 15)), number)
    return folder


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and small batches: what is tried here is the way, not the figures."""
    monkeypatch.setattr(examples, "BATCH", 16)
    monkeypatch.setattr(examples, "BATCHES_PER_EPOCH", 4)
    monkeypatch.setattr(crossfit, "BATCHES_PER_EPOCH", 4)
    monkeypatch.setattr(crossfit, "beat_examples", lambda *arguments: ["examples"])
    monkeypatch.setattr(crossfit, "fit_beat_scorer", lambda examples, seed: shipped_scorer())


@pytest.mark.usefixtures("_small")
def test_training_writes_a_model_that_its_card_vouches_for_and_that_can_be_judged(
    data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    written = train(TrainOptions(data=[data], output=output, folds=2, epochs=1, threads=1), silent)
    card = OnnxRunner(output / "rhythm.onnx").card  # digest, shapes and golden vectors are checked here
    assert written["model"] == str(output / "rhythm.onnx")
    assert (card.task, card.version) == ("healthcare.ecg", "1.0.0")
    assert card.golden is not None
    assert card.training_data[0].licence == "not stated"
    assert card.figures["vfvt_4s_sensitivity"].n > 0
    assert (output / "beats.npz").exists()
    train(TrainOptions(data=[data], output=tmp_path / "again", folds=2, epochs=1, threads=1), silent)
    assert (
        OnnxRunner(tmp_path / "again" / "rhythm.onnx").card.digest == card.digest
    )  # the same seed, the same model

    options = EvaluateOptions(data=[data], model=output / "rhythm.onnx", threads=1)
    result = json.loads(json.dumps(evaluate(options, silent).to_json()))
    assert result["model"]["digest"] == card.digest
    assert result["data"][0]["counts"]["records"] == 4
    assert result["figures"]["vfvt_4s_specificity"]["n"] > 0
    assert result["figures"]["vf_episode_sensitivity"]["n"] == 2
    assert result["figures"]["qrs_f1"]["value"] > 0.5
    assert {row["record"] for row in result["rows"]} == {"r0", "r1", "r2", "r3"}


@pytest.mark.usefixtures("_small")
def test_a_cross_validation_trains_anew_and_labels_what_is_leaky(data: Path) -> None:
    options = EvaluateOptions(data=[data], cross_validate=True, folds=2, epochs=1, threads=1)
    result = evaluate(options, silent)
    assert result.model.digest is None
    assert "2 folds by patient" in result.model.version
    assert result.figures["vfvt_4s_sensitivity"].value is not None
    leaky = result.figures["vfvt_4s_sensitivity_leaky_random_windows"]
    assert leaky.note.startswith("leaky")
    assert leaky.low is None


def test_the_shipped_model_is_judged_on_beats_alone_and_on_nothing(tmp_path: Path) -> None:
    write(tmp_path / "made", "beats", (Segment("N", 30),), 0, rhythms=False)
    write(tmp_path / "made", "bare", (Segment("N", 30),), 1)
    (tmp_path / "made" / "bare.atr").unlink()
    result = evaluate(EvaluateOptions(data=[tmp_path / "made"], threads=1), silent)
    assert result.figures["vfvt_4s_sensitivity"].value is None
    assert result.figures["vfvt_4s_specificity"].n == 14
    assert result.figures["onset_to_alert_median_s"].value is None
    assert result.figures["qrs_f1"].value is not None
    assert result.figures["false_critical_per_hour"].value == 0


def test_data_without_vf_or_vt_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "made", f"r{number}", (Segment("N", 90),), number)
    with pytest.raises(InputError, match="0 s of VF or VT"):
        train(TrainOptions(data=[tmp_path / "made"], output=tmp_path, folds=2, epochs=1, threads=1), silent)


@pytest.fixture
def beats(tmp_path: Path) -> Path:
    """Records with ventricular beats, some sinus beats called early or fused, half of each in fibrillation."""
    folder = tmp_path / "beats"
    for number in range(4):
        write(folder, f"b{number}", (Segment("PVC", 60, 70 + number), Segment("AFIB", 50)), number)
        annotation = wfdb.rdann(str(folder / f"b{number}"), "atr")
        symbols = list(annotation.symbol)
        normal = [i for i, symbol in enumerate(symbols) if symbol == "N"]
        for i in normal[::9]:
            symbols[i] = "A"
        for i in normal[4::9]:
            symbols[i] = "F"
        wfdb.wrann(
            f"b{number}",
            "atr",
            annotation.sample,
            symbols,
            aux_note=annotation.aux_note,
            fs=250,
            write_dir=str(folder),
        )
    return folder


def test_beat_classes_are_taught_with_a_card_and_an_interrupted_run_goes_on(
    beats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat_class_training, "BATCH", 16)
    monkeypatch.setattr(beat_class_training, "BATCHES_PER_EPOCH", 4)
    output = tmp_path / "out"
    how = {"part": "classes", "folds": 2, "epochs": 1, "threads": 1, "work": tmp_path / "work"}
    written = train(TrainOptions(data=[beats], output=output, **how), silent)  # type: ignore[arg-type]
    runner = OnnxRunner(output / "beat_class.onnx")
    assert runner.card.parameters["trained_on"] == ["b0", "b1", "b2", "b3"]
    assert runner.card.figures["aami_v_f1"].n > 0
    BeatClassifier(runner)
    kept = list((tmp_path / "work").iterdir())
    assert len(kept) == 4
    (beats / "b0.dat").unlink()  # its beats are taken from what was kept
    train(TrainOptions(data=[beats], output=tmp_path / "again", **how), silent)  # type: ignore[arg-type]
    assert OnnxRunner(tmp_path / "again" / "beat_class.onnx").card.digest == runner.card.digest
    assert json.dumps(written)


def test_beats_of_a_class_that_is_nowhere_cannot_be_taught(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "made", f"r{number}", (Segment("N", 30),), number)
    options = TrainOptions(data=[tmp_path / "made"], part="classes", output=tmp_path, folds=2, epochs=1)
    with pytest.raises(InputError, match="no annotated beat of class V, F"):
        train(options, silent)


def test_classes_and_fibrillation_alone_are_judged_without_the_rest(beats: Path) -> None:
    options = EvaluateOptions(data=[beats], part="classes", cross_validate=True, folds=2, threads=1)
    result = evaluate(options, silent)
    assert result.model.name == "ecg-beat-class"
    assert result.figures["aami_v_f1"].n > 8
    assert (result.figures["aami_v_f1"].value or 0) > 0.7
    assert result.figures["af_sensitivity"].n == 4
    assert "qrs_f1" not in result.figures
    assert {row["record"] for row in result.rows} == {"b0", "b1", "b2", "b3"}


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    write(tmp_path / "made", "r0", (Segment("N", 10),), 0)
    (tmp_path / "made" / "r0.dat").write_bytes(b"")
    with pytest.raises(InputError, match="r0"):
        evaluate(EvaluateOptions(data=[tmp_path / "made"], threads=1), silent)
