"""Boards: what is made for them, what is said to be missing, and which of them can hold a deadline."""

from __future__ import annotations

import json
import stat
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_core.cli.main import execute
from edgeai_core.errors import ConfigError, InputError, ModelError
from edgeai_core.optimize.chart import Bar, bar_chart
from edgeai_core.optimize.compile import compile_model, read_samples
from edgeai_core.optimize.datasheet import Sheet, markdown, page, published_boards
from edgeai_core.optimize.measure import Measurement, measure, measure_apart
from edgeai_core.optimize.placement import _judge, tier_of
from edgeai_core.optimize.power import EnergyMeter
from edgeai_core.optimize.profiles import BOARDS, PROFILES, profile
from edgeai_core.runners.bare import bare_card
from edgeai_core.runners.card import card_path, write_card
from edgeai_core.runners.open import open_runner


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small convolution with a bare card beside it."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "kernel"], ["made"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["made"], ["kept"], "relu"),
            helper.make_node("GlobalAveragePool", ["kept"], ["pooled"], "pool"),
            helper.make_node("Flatten", ["pooled"], ["logits"], "flat"),
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(rng.normal(size=(8, 3, 3, 3)).astype(np.float32), "kernel")],
    )
    path = tmp_path / "small.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    write_card(bare_card(path), card_path(path))
    return path


def samples(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_measurement_counts_what_it_says_and_survives_its_json(model: Path) -> None:
    found = measure(open_runner(model, backend="onnx"), seconds=0.0, min_calls=7)
    assert found.n == 7
    assert 0 < found.p50_ms <= found.p99_ms
    assert Measurement.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_measurement_apart_tells_load_time_and_memory_and_an_error_in_one_line(model: Path) -> None:
    found = measure_apart(model, seconds=0.05)
    assert found.load_s is not None
    assert found.load_s > 0
    assert found.memory_mib is not None
    assert found.size_bytes == model.stat().st_size
    with pytest.raises(ModelError, match=r"backend litert runs \.tflite files"):
        measure_apart(model, backend="litert")


def test_energy_is_counted_over_the_counters_end_and_a_machine_without_says_so(tmp_path: Path) -> None:
    package = tmp_path / "intel-rapl:0"
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package, which counts it already
    package.mkdir()
    (package / "max_energy_range_uj").write_text("1000000\n")
    (package / "energy_uj").write_text("900000\n")
    joules = EnergyMeter(tmp_path).start()
    (package / "energy_uj").write_text("400000\n")
    assert joules() == pytest.approx(0.5)
    none = EnergyMeter(tmp_path / "none")
    assert not none.readable
    assert none.start()() is None


def test_every_board_of_the_field_has_a_profile_and_an_unknown_one_is_refused_with_those_there_are() -> None:
    assert set(BOARDS) == {"jetson-nano", "xavier-nx", "agx-orin", "coral", "nuc", "raspberry-pi-4"}
    nano = profile("jetson-nano")
    assert (nano.precision, nano.batch, nano.limit_mib) == ("float16", 4, 3584)
    with pytest.raises(ConfigError, match=r"no target 'abacus' .*raspberry-pi-4, this"):
        profile("abacus")


def test_a_network_that_was_published_on_a_board_is_placed_around_its_published_time() -> None:
    here = {"MobileNetV2": 20.0, "EfficientNet-B0": 30.0, "ResNet-50": 120.0}
    for deadline_ms, verdict in ((1000.0, "yes"), (23.0, "perhaps"), (1.0, "no")):
        placed = _judge(PROFILES["jetson-nano"], here["MobileNetV2"], here, 100.0, deadline_ms)
        assert placed.low_ms is not None
        assert placed.high_ms is not None
        assert placed.low_ms < 1000 / 43.5 < placed.high_ms
        assert placed.verdict == verdict
    assert _judge(PROFILES["coral"], 20.0, here, 5000.0, 1000.0).verdict == "no"  # of memory
    assert _judge(PROFILES["nuc"], 20.0, here, 100.0, 1000.0).verdict == "unknown"
    assert [tier_of(ms) for ms in (9, 11, 200)] == ["device", "edge", "cloud"]


def test_int8_for_a_raspberry_pi_is_made_from_samples_and_runs(model: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).normal(size=(8, 3, 16, 16)).astype(np.float32)
    found = read_samples(samples(tmp_path / "s.npz", image=images), bare_card(model))
    assert len(found) == 8
    done = compile_model(model, card_path(model), profile("raspberry-pi-4"), tmp_path / "out", found)
    assert done.missing == []
    assert done.files == ["small.int8.onnx"]
    (step,) = done.steps
    assert step.difference is not None
    assert step.difference < 0.5
    made = open_runner(tmp_path / "out" / "small.int8.onnx", backend="onnx")
    assert any("Made for Raspberry Pi 4 of small.onnx" in limit for limit in made.card.limits)


def test_without_samples_int8_is_missing_and_the_float_model_is_made(model: Path, tmp_path: Path) -> None:
    done = compile_model(model, card_path(model), profile("raspberry-pi-4"), tmp_path / "out")
    assert done.files == ["small.float32.onnx"]
    assert any("--calibration" in missing for missing in done.missing)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"picture": np.zeros((2, 3, 16, 16))}, "holds .*picture.*inputs are .*image"),
        ({"image": np.zeros((8, 3, 9, 9))}, r"has shape \[1, 3, 9, 9\]"),
        ({"image": np.zeros((0, 3, 16, 16))}, "one or more"),
        ({"image": np.zeros((1, 3, 16, 16))}, "a calibration set of 1; .* fewer than 8"),
        ({"image": np.array([None, 1], dtype=object)}, "cannot be read"),
    ],
)
def test_samples_that_are_none_are_refused_with_the_reason(
    model: Path, tmp_path: Path, arrays: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_samples(samples(tmp_path / "s.npz", **arrays), bare_card(model))


def test_a_vendors_compiler_runs_where_it_is_and_its_absence_is_said_where_it_is_not(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    nano = profile("jetson-nano")
    done = compile_model(model, card_path(model), nano, tmp_path / "a")
    assert done.files == ["small.onnx", "small.float16.onnx"]
    assert any(missing.startswith("trtexec is not on the PATH") for missing in done.missing)
    assert "--optShapes=image:4x3x16x16" in done.run_there
    tool = empty / "trtexec"
    tool.write_text(
        f'#!{sys.executable}\nimport sys\nopen("small.engine", "w").write(" ".join(sys.argv[1:]))\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    done = compile_model(model, card_path(model), nano, tmp_path / "b")
    assert done.missing == []
    assert "--fp16" in (tmp_path / "b" / "small.engine").read_text().split()
    tool.write_text(f'#!{sys.executable}\nimport sys\nsys.exit("no device")\n')
    with pytest.raises(ModelError, match=r"trtexec failed with exit code 1: no device"):
        compile_model(model, card_path(model), nano, tmp_path / "c")


def test_openvinos_form_is_made_and_proved(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    done = compile_model(model, card_path(model), profile("nuc"), tmp_path / "out")
    assert done.files == ["small.onnx", "small.openvino.xml", "small.openvino.bin"]
    assert done.steps[-1].difference is not None
    assert done.steps[-1].difference < 1e-3
    written = tmp_path / "out" / "small.openvino.xml"
    found = measure(open_runner(written), seconds=0.0, min_calls=7)  # its card vouches for both files
    assert found.engine.backend == "openvino"
    assert found.n == 7


def test_the_datasheet_shows_what_was_measured_beside_what_was_published(model: Path) -> None:
    found = measure(open_runner(model, backend="onnx"), seconds=0.0)
    sheet = Sheet(bare_card(model), (found,), {"openvino": "does not take <it>"})
    text = markdown([sheet], "edgeai model datasheet")
    assert bare_card(model).digest in text
    assert "published, not reproduced" in text
    assert any("Jetson Nano" in row[0] and row[4] == "8.4" for row in published_boards().rows)  # 43.5 / 5.2
    shown = page([sheet], "edgeai model datasheet")
    assert "<code>edgeai model datasheet</code>" in shown
    assert "`" not in shown
    assert "does not take &lt;it&gt;" in shown
    assert "<script" not in shown


def test_a_chart_is_well_formed_whatever_its_labels_are() -> None:
    drawn = bar_chart('a & "b" <c>', [Bar("<x> & y", 0.02, 3.0, "one"), Bar("z", 40.0, 900.0, "two")])
    assert len(ElementTree.fromstring(drawn).findall(".//{http://www.w3.org/2000/svg}rect")) == 5
    assert bar_chart("nothing", []) == ""


def test_a_file_without_a_card_has_a_datasheet_and_one_that_nothing_runs_is_refused_with_every_engines_reason(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card_path(model).unlink()
    told = ["--output", str(tmp_path / "sheet"), "--seconds", "0.1", "--state", str(tmp_path / "state")]
    assert execute(["model", "datasheet", str(model), *told]) == 0
    assert bare_card(model).digest in (tmp_path / "sheet" / "datasheet.md").read_text(encoding="utf-8")
    import onnx

    other = onnx.load(str(model))
    other.graph.node[1].op_type = "Frobnicate"
    onnx.save(other, str(tmp_path / "odd.onnx"))
    assert execute(["model", "measure", str(tmp_path / "odd.onnx"), "--state", str(tmp_path / "state")]) == 4
    assert "Frobnicate" in capsys.readouterr().err
