"""Every engine keeps the runner's contract: same answers, same refusals; what is not there is said, loudly."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_core.errors import ConfigError, MissingExtraError, ModelError
from edgeai_core.runners.card import TensorSpec, Weights, card_path, digest_of, read_card, write_card
from edgeai_core.runners.open import backends_for, open_runner
from edgeai_core.testing import check_runner

from .conftest import MODULES, WEIGHTS
from .tflite import write_toy_tflite

ENGINES = ["onnx", "openvino", "openvino-ir", "litert"]
WINDOW_OF_ONE = (TensorSpec("signal", (1, 8), "float32"), TensorSpec("gain", (1, 1), "float32"))


@pytest.fixture(params=ENGINES)
def backend(request: pytest.FixtureRequest) -> str:
    """One engine after the other."""
    pytest.importorskip(MODULES[request.param])
    return str(request.param)


def write_for(toy: Any, backend: str, **changes: object) -> Path:
    """Write the toy model in the form that an engine takes."""
    if backend == "openvino-ir":
        import openvino

        path = Path(toy.folder / "scores.xml")
        openvino.save_model(openvino.Core().read_model(toy.write()), path, compress_to_fp16=False)
        weights = Weights("scores.bin", digest_of(path.with_suffix(".bin")))
        write_card(
            toy.card(path.read_bytes(), **({"file": path.name, "weights": weights} | changes)),
            card_path(path),
        )
        return path
    if backend != "litert":
        return Path(toy.write(**changes))
    path = write_toy_tflite(toy.folder / "scores.tflite", WEIGHTS)
    one = {"inputs": WINDOW_OF_ONE, "outputs": (TensorSpec("score", (1, 3), "float32"),)}
    write_card(toy.card(path.read_bytes(), **(one | {"file": path.name} | changes)), card_path(path))
    return path


def named(backend: str) -> str:
    """Return the engine's name: OpenVINO is tried on two forms of the model."""
    return backend.removesuffix("-ir")


def open_on(toy: Any, backend: str) -> Any:
    """Write the toy model for an engine and open it there."""
    return open_runner(write_for(toy, backend), backend=named(backend))


def test_an_engine_keeps_the_contract_of_a_runner(toy: Any, backend: str) -> None:
    runner = open_on(toy, backend)
    inputs = toy.inputs(1)
    check_runner(runner, inputs)
    np.testing.assert_allclose(runner.run(inputs)["score"], toy.reference(inputs)["score"], atol=1e-5)
    assert runner.description.backend == named(backend)
    assert runner.description.fallback == ""
    assert runner.description.version in str(runner.description)


def test_answers_of_one_call_stay_as_they_are_when_the_next_is_made(toy: Any, backend: str) -> None:
    runner = open_on(toy, backend)
    first = runner.run(toy.inputs(1, 1))["score"]
    kept = first.copy()
    runner.run(toy.inputs(1, 2))
    np.testing.assert_array_equal(first, kept)


def test_several_threads_may_call_one_runner_of_any_engine(toy: Any, backend: str) -> None:
    runner = open_on(toy, backend)
    wrong: list[int] = []

    def call(seed: int) -> None:
        inputs = toy.inputs(1, seed)
        for _ in range(30):
            if not np.allclose(runner.run(inputs)["score"], toy.reference(inputs)["score"], atol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_read_only_and_strided_inputs_are_taken_by_every_engine(toy: Any, backend: str) -> None:
    runner = open_on(toy, backend)
    inputs = toy.inputs(1)
    strided = {"signal": np.repeat(inputs["signal"], 2, axis=1)[:, ::2], "gain": inputs["gain"]}
    for array in strided.values():
        array.flags.writeable = False
    np.testing.assert_array_equal(runner.run(strided)["score"], runner.run(inputs)["score"])


def test_a_file_with_another_digest_is_refused_by_every_engine(toy: Any, backend: str) -> None:
    path = write_for(toy, backend)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="this is not the file of its card"):
        open_runner(path, backend=named(backend))


def test_a_card_that_says_another_shape_is_refused_by_every_engine(toy: Any, backend: str) -> None:
    path = write_for(toy, backend, inputs=(TensorSpec("signal", (1, 9), "float32"), WINDOW_OF_ONE[1]))
    with pytest.raises(ModelError, match=r"the model's input is signal float32\[.*8\], the card's signal"):
        open_runner(path, backend=named(backend))


def test_golden_vectors_are_held_against_every_engine(toy: Any, backend: str) -> None:
    toy.write_with_golden(error=0.01)
    golden = read_card(toy.card_path).golden
    path = write_for(toy, backend, golden=golden) if backend != "litert" else write_for(toy, backend)
    if backend == "litert":  # its toy takes one window: the vectors of four are refused as inputs
        write_card(replace(read_card(card_path(path)), golden=golden), card_path(path))
    with pytest.raises(ModelError, match="this engine disagrees with the model's source"):
        open_runner(path, backend=named(backend))


def test_openvino_runs_dimensions_that_vary(toy: Any) -> None:
    pytest.importorskip("openvino")
    runner = open_runner(toy.write(), backend="openvino")
    for windows in (1, 7, 3):
        inputs = toy.inputs(windows)
        np.testing.assert_allclose(runner.run(inputs)["score"], toy.reference(inputs)["score"], atol=1e-5)


def test_weights_in_a_second_file_are_vouched_for_like_the_model(toy: Any) -> None:
    pytest.importorskip("openvino")
    path = write_for(toy, "openvino-ir")
    weights, card = path.with_suffix(".bin"), read_card(card_path(path))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(ModelError, match="not the weights of model"):
        open_runner(path, backend="openvino")
    cut = whole[: len(whole) // 2]
    weights.write_bytes(cut)
    write_card(replace(card, weights=Weights(weights.name, digest_of(weights))), card_path(path))
    with pytest.raises(ModelError, match="OpenVINO cannot load"):
        open_runner(path, backend="openvino")
    weights.unlink()
    with pytest.raises(ModelError, match="the file of weights does not exist"):
        open_runner(path, backend="openvino")
    write_card(replace(card, weights=None), card_path(path))
    with pytest.raises(ModelError, match="does not vouch for its weights"):
        open_runner(path, backend="openvino")
    with pytest.raises(ValueError, match="bare name of a file beside the card"):
        Weights("../scores.bin", card.digest)


def test_litert_takes_another_size_where_the_card_says_that_it_varies(toy: Any) -> None:
    pytest.importorskip("ai_edge_litert")
    path = write_for(toy, "litert", inputs=toy.card().inputs, outputs=toy.card().outputs)
    runner = open_runner(path, backend="litert")
    for windows in (1, 5, 2):
        inputs = toy.inputs(windows)
        np.testing.assert_allclose(runner.run(inputs)["score"], toy.reference(inputs)["score"], atol=1e-5)


def test_litert_takes_and_gives_real_numbers_of_a_model_that_counts_in_int8(toy: Any) -> None:
    pytest.importorskip("ai_edge_litert")
    path = write_toy_tflite(toy.folder / "scores.tflite", WEIGHTS, int8=True)
    one = {"inputs": WINDOW_OF_ONE, "outputs": (TensorSpec("score", (1, 3), "float32"),)}
    write_card(toy.card(path.read_bytes(), file=path.name, **one), card_path(path))
    runner = open_runner(path, backend="litert")
    largest = float(np.abs(WEIGHTS).max())
    for seed in range(5):
        inputs = {name: np.clip(array, -2, 2) for name, array in toy.inputs(1, seed).items()}
        said = runner.run(inputs)["score"]
        assert said.dtype == np.float32
        np.testing.assert_allclose(said, toy.reference(inputs)["score"], atol=0.5 * largest)
    beyond = {name: np.full_like(array, 1e30) for name, array in toy.inputs(1).items()}
    assert np.isfinite(runner.run(beyond)["score"]).all()  # held at the ends of the range, not wrapped round


def test_a_tflite_file_that_is_cut_or_garbage_is_one_line_and_not_a_crash(toy: Any) -> None:
    pytest.importorskip("ai_edge_litert")
    path = write_for(toy, "litert")
    whole, card = path.read_bytes(), read_card(card_path(path))
    bad = [whole[:length] for length in (3, 8, 40, 200, len(whole) // 2)]
    bad += [b"\1" * 500, whole[:4] + b"TFL9" + whole[8:], b"\xff\xff\xff\x7fTFL3" + whole[8:]]
    for number, data in enumerate(bad):
        path = toy.folder / f"bad{number}.tflite"
        path.write_bytes(data)
        write_card(replace(card, file=path.name, digest=digest_of(path)), card_path(path))
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgeai_core.errors import ModelError\n"
        "from edgeai_core.runners.open import open_runner\n"
        "for path in sorted(Path(sys.argv[1]).glob('bad*.tflite')):\n"
        "    try:\n        open_runner(path, backend='litert')\n"
        "    except ModelError as error:\n        print('refused', str(error).count(chr(10)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(toy.folder)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "refused 0\n" * len(bad), done.stderr


def test_coral_without_its_library_falls_back_to_the_cpu_and_says_so(toy: Any, caplog: Any) -> None:
    pytest.importorskip("ai_edge_litert")
    with caplog.at_level(logging.WARNING, "edgeai.runners"):
        runner = open_runner(write_for(toy, "litert"), backend="coral")
    if runner.description.device == "Coral":
        pytest.skip("this machine has an Edge TPU")
    assert "the Edge TPU cannot be used" in runner.description.fallback
    assert "runs on the CPU instead" in caplog.text
    check_runner(runner, toy.inputs(1))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "onnx-openvino"])
def test_a_provider_that_is_not_there_falls_back_to_the_cpu_and_says_so(
    toy: Any, caplog: Any, provider: str
) -> None:
    if provider in backends_for(Path("any.onnx")):
        pytest.skip("this machine has it")
    with caplog.at_level(logging.WARNING, "edgeai.runners"):
        runner = open_runner(toy.write(), backend=provider)
    assert runner.description.device == "CPU"
    assert "is not in this build of onnxruntime" in runner.description.fallback
    assert "the model runs on the CPU instead" in caplog.text
    check_runner(runner, toy.inputs(2))


def test_an_engine_that_is_not_installed_names_its_extra(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy.write()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgeai\[openvino\]'"):
        open_runner(path, backend="openvino")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    lite = toy.folder / "scores.tflite"
    lite.write_bytes(b"\0\0\0\0TFL3")
    write_card(toy.card(lite.read_bytes(), file=lite.name), card_path(lite))
    with pytest.raises(MissingExtraError, match=r"pip install 'edgeai\[litert\]'"):
        open_runner(lite, backend="litert")


def test_an_engine_that_takes_other_files_is_named_with_those_that_take_this_one(toy: Any) -> None:
    with pytest.raises(ModelError, match=r"backend litert runs \.tflite files; onnx.* runs this one"):
        open_runner(toy.write(), backend="litert")
    with pytest.raises(ConfigError, match=r"backend 'tpu' is unknown; it is one of prepared, auto, onnx"):
        open_runner(toy.path, backend="tpu")
