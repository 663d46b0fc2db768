"""The ONNX runner: right answers for the card's model, and a clear refusal of anything else."""

from __future__ import annotations

import builtins
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeai_core.errors import ModelError
from edgeai_core.runners.card import Golden, TensorSpec, read_card
from edgeai_core.runners.onnx import OnnxRunner


def test_a_model_answers_what_its_source_computes(toy: Any) -> None:
    runner = OnnxRunner(toy.write())
    for windows in (1, 2, 17):
        inputs = toy.inputs(windows)
        outputs = runner.run(inputs)
        assert list(outputs) == ["score"]
        np.testing.assert_allclose(outputs["score"], toy.reference(inputs)["score"], rtol=1e-5, atol=1e-6)


def test_the_same_inputs_give_the_same_bits(toy: Any) -> None:
    first, second = OnnxRunner(toy.write()), OnnxRunner(toy.path)
    inputs = toy.inputs(33)
    assert first.run(inputs)["score"].tobytes() == second.run(inputs)["score"].tobytes()


def test_inputs_that_are_strided_or_read_only_are_taken_and_left_as_they_are(toy: Any) -> None:
    runner = OnnxRunner(toy.write())
    inputs = toy.inputs(6)
    strided = {
        "signal": np.asfortranarray(inputs["signal"]),
        "gain": np.repeat(inputs["gain"], 2, axis=0)[::2],
    }
    for array in strided.values():
        array.flags.writeable = False
    np.testing.assert_array_equal(runner.run(strided)["score"], runner.run(inputs)["score"])


def test_nan_goes_through_for_the_caller_to_judge(toy: Any) -> None:
    inputs = toy.inputs(2)
    inputs["signal"][0, 0] = np.nan
    score = OnnxRunner(toy.write()).run(inputs)["score"]
    assert np.isnan(score[0]).all()
    assert np.isfinite(score[1]).all()


def test_several_threads_may_call_one_runner(toy: Any) -> None:
    runner = OnnxRunner(toy.write())
    wrong: list[int] = []

    def call(seed: int) -> None:
        inputs = toy.inputs(5, seed)
        for _ in range(50):
            if not np.allclose(runner.run(inputs)["score"], toy.reference(inputs)["score"], atol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


shapes = st.lists(st.integers(0, 9), max_size=3).map(tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(signal=shapes, gain=shapes, dtype=st.sampled_from(["float32", "float64", "int64", ">f4", "object"]))
def test_any_other_shape_or_dtype_is_refused_with_what_came_and_what_is_wanted(
    toy: Any, signal: tuple[int, ...], gain: tuple[int, ...], dtype: str
) -> None:
    runner = OnnxRunner(toy.path if toy.path.exists() else toy.write())
    inputs = {"signal": np.zeros(signal, dtype), "gain": np.zeros(gain, dtype)}
    windows = signal[0] if signal else 0
    if dtype == "float32" and signal == (windows, 8) and gain == (windows, 1):
        assert runner.run(inputs)["score"].shape == (windows, 3)
        return
    with pytest.raises(ModelError) as refusal:
        runner.run(inputs)
    text = str(refusal.value)
    assert text.startswith(f"{toy.path}: inputs are signal {np.dtype(dtype)}[")
    assert text.endswith("where the card wants signal float32[window, 8], gain float32[window, 1]")


def test_inputs_of_unlike_lengths_are_refused_though_the_engine_could_stretch_one(toy: Any) -> None:
    runner = OnnxRunner(toy.write())
    with pytest.raises(ModelError, match=r"signal float32\[5, 8\], gain float32\[1, 1\] where"):
        runner.run({**toy.inputs(5), "gain": toy.inputs(1)["gain"]})


def test_a_failure_inside_the_engine_is_an_error_of_one_line_and_says_nothing_itself(
    toy: Any, capfd: Any
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "place"], ["found"])],
        "look-up",
        [helper.make_tensor_value_info("place", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.arange(3, dtype=np.float32), "table")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    runner = OnnxRunner(
        toy.write(
            made.SerializeToString(),
            inputs=(TensorSpec("place", ("n",), "int64"),),
            outputs=(TensorSpec("found", ("n",), "float32"),),
        )
    )
    assert runner.run({"place": np.array([2, 0])})["found"].tolist() == [2.0, 0.0]
    with pytest.raises(ModelError, match="the model failed while it ran: ") as failure:
        runner.run({"place": np.array([7])})
    assert "\n" not in str(failure.value)
    assert capfd.readouterr() == ("", "")


def test_unknown_missing_and_foreign_inputs_are_refused(toy: Any) -> None:
    runner = OnnxRunner(toy.write())
    inputs = toy.inputs(1)
    for wrong in (
        {},
        {"signal": inputs["signal"]},
        {**inputs, "extra": inputs["gain"]},
        {"signal": inputs["signal"], "Gain": inputs["gain"]},
        {**inputs, "gain": [[1.0]]},
        {**inputs, "gain": None},
    ):
        with pytest.raises(ModelError, match=r"inputs are .* where the card wants"):
            runner.run(wrong)


def test_a_model_that_is_missing_or_empty_is_refused(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: the model does not exist"):
        OnnxRunner(tmp_path / "none.onnx")
    toy.write()
    toy.path.write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        OnnxRunner(toy.path)


def test_a_model_without_a_card_is_refused(toy: Any) -> None:
    toy.write()
    toy.card_path.unlink()
    with pytest.raises(ModelError, match=r"scores\.card\.toml: the model card does not exist"):
        OnnxRunner(toy.path)


def test_a_model_that_was_changed_is_refused_before_it_is_parsed(toy: Any) -> None:
    toy.write()
    changed = bytearray(toy.path.read_bytes())
    changed[-1] ^= 1
    toy.path.write_bytes(changed)
    with pytest.raises(ModelError, match=r"is not the file of its card, model scores 1\.0\.0"):
        OnnxRunner(toy.path)


def test_the_card_of_another_file_is_refused(toy: Any) -> None:
    with pytest.raises(ModelError, match=r"the card is of the file 'other\.onnx'"):
        OnnxRunner(toy.write(file="other.onnx"))


@pytest.mark.parametrize("data", [b"not a model", b"\x00" * 100, b"\x08\x09"])
def test_a_corrupt_model_is_refused_even_when_its_digest_is_right(toy: Any, data: bytes, capfd: Any) -> None:
    with pytest.raises(ModelError, match=r"the model is corrupt|onnxruntime cannot load the model"):
        OnnxRunner(toy.write(data))
    assert capfd.readouterr() == ("", "")


def test_a_truncated_model_is_refused(toy: Any) -> None:
    whole = toy.bytes()
    for length in range(1, len(whole), 7):
        with pytest.raises(ModelError):
            OnnxRunner(toy.write(whole[:length]))


def test_a_model_above_the_size_limit_is_refused(toy: Any) -> None:
    size = len(toy.bytes())
    OnnxRunner(toy.write(), max_bytes=size)
    with pytest.raises(ModelError, match=f"larger than {size - 1} bytes"):
        OnnxRunner(toy.path, max_bytes=size - 1)


@pytest.mark.parametrize("place", ["beside", "above", "absolute", "working folder"])
def test_weights_outside_the_file_are_refused_wherever_they_are(
    toy: Any, place: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    file, location = {
        "beside": (toy.folder / "w.bin", "w.bin"),
        "above": (toy.folder.parent / "w.bin", "../w.bin"),
        "absolute": (elsewhere / "w.bin", str(elsewhere / "w.bin")),
        "working folder": (elsewhere / "w.bin", "w.bin"),
    }[place]
    file.write_bytes(np.zeros((8, 3), np.float32).tobytes())
    with pytest.raises(ModelError, match="keeps weights in another file"):
        OnnxRunner(toy.write(toy.bytes(weights_in=location)))


SIGNAL = TensorSpec("signal", ("window", 8), "float32")
GAIN = TensorSpec("gain", ("window", 1), "float32")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"inputs": (SIGNAL,)}, "inputs are .*gain.*signal.*, the card's .*signal"),
        ({"inputs": (SIGNAL, TensorSpec("g", ("window", 1), "float32"))}, "inputs are"),
        (
            {"inputs": (TensorSpec("signal", ("window", 9), "float32"), GAIN)},
            r"float32\[window, 8\], the card's",
        ),
        ({"inputs": (TensorSpec("signal", (1, 8), "float32"), GAIN)}, "input is signal"),
        ({"inputs": (TensorSpec("signal", ("window", "size"), "float32"), GAIN)}, "input is signal"),
        ({"inputs": (TensorSpec("signal", ("window", 8), "float64"), GAIN)}, "signal float32"),
        ({"outputs": (TensorSpec("scores", ("window", 3), "float32"),)}, "outputs are"),
        ({"outputs": (TensorSpec("score", ("window", 3, 1), "float32"),)}, "output is score"),
        ({"outputs": (TensorSpec("score", ("window", 3), "int8"),)}, "output is score"),
    ],
)
def test_a_model_that_is_not_as_its_card_says_is_refused(toy: Any, changes: Any, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        OnnxRunner(toy.write(**changes))


def test_golden_vectors_that_the_engine_meets_are_passed(toy: Any) -> None:
    assert OnnxRunner(toy.write_with_golden()).card.golden is not None
    OnnxRunner(toy.write_with_golden(error=0.01, atol=0.02))


def test_golden_vectors_that_the_engine_does_not_meet_stop_the_load(toy: Any) -> None:
    with pytest.raises(
        ModelError, match=r"golden vector 0: this engine disagrees .* output score\[0, \d\] is "
    ):
        OnnxRunner(toy.write_with_golden(error=0.01))


def test_golden_vectors_that_are_missing_or_changed_stop_the_load(toy: Any) -> None:
    toy.write_with_golden()
    toy.golden_path.write_bytes(toy.golden_path.read_bytes() + b" ")
    with pytest.raises(ModelError, match="not those of the card"):
        OnnxRunner(toy.path)
    toy.golden_path.unlink()
    with pytest.raises(ModelError, match=r"scores\.golden\.npz: .* does not exist"):
        OnnxRunner(toy.path)


def test_a_card_can_be_given_as_an_object_or_lie_elsewhere(toy: Any, tmp_path: Path) -> None:
    toy.write_with_golden()
    card = read_card(toy.card_path)
    away = tmp_path / "cards"
    away.mkdir()
    toy.card_path.rename(away / "other.toml")
    toy.golden_path.rename(away / "scores.golden.npz")
    assert OnnxRunner(toy.path, away / "other.toml").card == card
    with pytest.raises(ModelError, match="does not exist"):
        OnnxRunner(toy.path, card)  # its golden vectors are sought beside the model


@pytest.mark.parametrize("optimisation", ["none", "basic", "extended", "all"])
@pytest.mark.parametrize("switch", [True, False])
def test_no_switch_changes_an_answer(toy: Any, optimisation: Any, switch: bool) -> None:
    runner = OnnxRunner(
        toy.write(),
        threads=2,
        optimisation=optimisation,
        memory_arena=switch,
        memory_pattern=switch,
        allow_spinning=switch,
        warm_up=2,
    )
    inputs = toy.inputs(4)
    np.testing.assert_allclose(
        runner.run(inputs)["score"], toy.reference(inputs)["score"], rtol=1e-5, atol=1e-6
    )


def test_threads_are_cut_to_the_budget(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_THREADS", "3")
    assert OnnxRunner(toy.write(), threads=64).threads == 3
    assert OnnxRunner(toy.path).threads == 1
    with pytest.raises(ModelError, match="at least one thread"):
        OnnxRunner(toy.path, threads=0)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_a_runner_of_one_thread_starts_none(toy: Any) -> None:
    OnnxRunner(toy.write())  # whatever the first session of a process starts once
    before = len(os.listdir("/proc/self/task"))
    runners = [OnnxRunner(toy.path) for _ in range(3)]
    assert len(os.listdir("/proc/self/task")) == before
    assert len(runners) == 3


def test_an_engine_that_does_not_import_is_named_with_what_to_do(
    toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def broken(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("libonnx.so: cannot open shared object file")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ModelError, match=r"onnxruntime does not import .*libonnx\.so.*`edgeai doctor`"):
        OnnxRunner(toy.write())


def test_loading_and_refusing_say_nothing_on_standard_error(toy: Any, capfd: Any) -> None:
    runner = OnnxRunner(toy.write_with_golden())
    with pytest.raises(ModelError):
        runner.run({})
    assert capfd.readouterr() == ("", "")


def test_a_golden_section_without_its_file_is_no_pass(toy: Any) -> None:
    with pytest.raises(ModelError, match="golden vectors does not exist"):
        OnnxRunner(toy.write(golden=Golden("scores.golden.npz", "0" * 64, 1e-5, 1e-5)))
