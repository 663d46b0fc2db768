"""A small model made here, with the card that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeai_core.runners.card import ModelCard, TensorSpec, card_path, write_card
from edgeai_core.runners.golden import GoldenVector, write_golden

MODULES = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "openvino-ir": "openvino",
    "litert": "ai_edge_litert",
}
"""What an engine is imported as."""

WEIGHTS = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)


class ToyModel:
    """Computes ``score = (signal * gain) @ weights``; everything of it is written into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "scores.onnx"
        self.card_path = card_path(self.path)
        self.golden_path = folder / "scores.golden.npz"

    def bytes(self, weights_in: str | None = None) -> bytes:
        """Return the model file; with a location its weights are in that file instead."""
        weights = numpy_helper.from_array(WEIGHTS, "weights")
        if weights_in is not None:
            weights.ClearField("raw_data")
            weights.data_location = TensorProto.EXTERNAL
            for key, value in (("location", weights_in), ("offset", "0"), ("length", str(WEIGHTS.nbytes))):
                entry = weights.external_data.add()
                entry.key, entry.value = key, value
        graph = helper.make_graph(
            [
                helper.make_node("Mul", ["signal", "gain"], ["scaled"]),
                helper.make_node("MatMul", ["scaled", "weights"], ["score"]),
            ],
            "scores",
            [
                helper.make_tensor_value_info("signal", TensorProto.FLOAT, ["window", 8]),
                helper.make_tensor_value_info("gain", TensorProto.FLOAT, ["window", 1]),
            ],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["window", 3])],
            [weights],
        )
        model: onnx.ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
        )
        return model.SerializeToString()

    def card(self, data: bytes | None = None, **changes: object) -> ModelCard:
        """Return the card of a file of these bytes (the model's own without), changed as asked."""
        card = ModelCard(
            name="scores",
            version="1.0.0",
            task="toy.scores",
            file="scores.onnx",
            digest=hashlib.sha256(self.bytes() if data is None else data).hexdigest(),
            licence="Apache-2.0",
            intended_use="Tests of the runner.",
            limits=("Knows nothing of the world.",),
            inputs=(
                TensorSpec("signal", ("window", 8), "float32", "mV", "eight samples"),
                TensorSpec("gain", ("window", 1), "float32"),
            ),
            outputs=(TensorSpec("score", ("window", 3), "float32"),),
            classes=("a", "b", "c"),
        )
        return replace(card, **changes)  # type: ignore[arg-type]

    def write(self, data: bytes | None = None, **changes: object) -> Path:
        """Write model and card, changed as asked, and return the model's path."""
        raw = self.bytes() if data is None else data
        self.path.write_bytes(raw)
        write_card(self.card(raw, **changes), self.card_path)
        return self.path

    def write_with_golden(self, error: float = 0.0, atol: float = 1e-5) -> Path:
        """Write the model with two golden vectors, whose outputs are off by ``error``."""
        vectors = []
        for windows in (1, 4):
            inputs = self.inputs(windows, seed=windows)
            outputs = {name: array + np.float32(error) for name, array in self.reference(inputs).items()}
            vectors.append(GoldenVector(inputs, outputs))
        return self.write(golden=write_golden(self.golden_path, vectors, atol=atol, rtol=1e-5))

    @staticmethod
    def inputs(windows: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Return inputs that the model takes."""
        rng = np.random.default_rng(seed)
        return {
            "signal": rng.normal(size=(windows, 8)).astype(np.float32),
            "gain": rng.uniform(0.5, 2, size=(windows, 1)).astype(np.float32),
        }

    @staticmethod
    def reference(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute in numpy what the model computes."""
        return {"score": (inputs["signal"] * inputs["gain"]) @ WEIGHTS}


@pytest.fixture
def toy(tmp_path: Path) -> ToyModel:
    """A model that is not written yet."""
    return ToyModel(tmp_path)
