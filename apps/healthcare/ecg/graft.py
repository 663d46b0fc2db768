"""The rhythm network with the last layer of its heads exchanged: what learns on a device, and the file it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.rhythm import CLASSES, WINDOWS
from edgeai_core.errors import MissingExtraError, ModelError
from edgeai_core.learning.adapter import Adapter
from edgeai_core.runners.card import ModelCard, read_limited
from edgeai_core.runners.model_file import MAX_MODEL_BYTES
from edgeai_core.runners.onnx import OnnxRunner

_HEADS = {window: f"heads.{number}.layers.3" for number, window in enumerate(WINDOWS)}
"""The last layer of each window's head, by the name of its weights: rows are the classes and, last, a lead's score."""

_RANK = 4


class FrozenNetwork:
    """A rhythm network, checked by its card, as a maker of features: what its last layers see, leads joined."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        onnx = onnx_or_explain()
        self.card: ModelCard = OnnxRunner(path).card
        self.model: Any = onnx.load_model_from_string(read_limited(path, MAX_MODEL_BYTES, "model"))
        arrays = {each.name: each for each in self.model.graph.initializer}
        self._layers: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        exposed = onnx.ModelProto()
        exposed.CopyFrom(self.model)
        for window, layer in _HEADS.items():
            node = next((n for n in self.model.graph.node if f"{layer}.weight" in n.input), None)
            if node is None or f"{layer}.bias" not in arrays or node.op_type != "Gemm":
                raise ModelError(
                    f"{path}: has no head {layer}: is it one that `edgeai train healthcare.ecg` writes?"
                )
            weight, bias = (
                onnx.numpy_helper.to_array(arrays[f"{layer}.{kind}"]) for kind in ("weight", "bias")
            )
            self._layers[window] = weight, bias
            self._names[window] = node.input[0], node.output[0]
            for name in self._names[window]:
                exposed.graph.output.append(
                    onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
                )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def features(self, windows_mv: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return by window (n, d) of windows (n, leads, 500) mV: the leads' features, weighed by their scores.

        The last layer is linear, so its joint logits are what it makes of these.
        """
        return {
            window: np.asarray((hidden * share).sum(axis=1), np.float32)
            for window, (hidden, share) in self._leads(windows_mv).items()
        }

    def adapter(self, window: str, seed: int = 0) -> Adapter:
        """Return an adapter that decides as the network does."""
        weight, bias = self._layers[window]
        k = len(CLASSES)
        return Adapter.around(weight[:k].T, bias[:k], rank=_RANK, seed=seed)

    def grafted(self, adapters: Mapping[str, Adapter]) -> Any:
        """Return the network with the adapters in the place of its last layers: as large and as fast as before."""
        onnx = onnx_or_explain()
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        for each in made.graph.initializer:
            for window, layer in _HEADS.items():
                weight, bias = self._layers[window]
                matrix, offset = adapters[window].folded()
                if each.name == f"{layer}.weight":
                    joined = np.vstack([matrix.T, weight[len(CLASSES) :]])
                    each.CopyFrom(onnx.numpy_helper.from_array(joined.astype(np.float32), each.name))
                elif each.name == f"{layer}.bias":
                    joined = np.concatenate([offset, bias[len(CLASSES) :]])
                    each.CopyFrom(onnx.numpy_helper.from_array(joined.astype(np.float32), each.name))
        onnx.checker.check_model(made)
        return made

    def outputs(
        self, windows_mv: NDArray[np.float32], adapters: Mapping[str, Adapter]
    ) -> dict[str, NDArray[np.float32]]:
        """Return in numpy what the grafted network must give for windows (n, leads, 500)."""
        found = {}
        for window, (hidden, share) in self._leads(windows_mv).items():
            n, leads, d = hidden.shape
            logits = adapters[window].logits(hidden.reshape(-1, d)).reshape(n, leads, -1)
            found[f"logits_{window}"] = np.asarray((logits * share).sum(axis=1), np.float32)
            found[f"lead_logits_{window}"] = logits
        return found

    def _leads(
        self, windows_mv: NDArray[np.float32]
    ) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return by window each lead's features (n, leads, d) and its share in the joint logits (n, leads, 1)."""
        n, leads = windows_mv.shape[:2]
        wanted = [name for names in self._names.values() for name in names]
        results = dict(
            zip(wanted, self._session.run(wanted, {"ecg": np.ascontiguousarray(windows_mv)}), strict=True)
        )
        found = {}
        for window, (hidden, out) in self._names.items():
            score = results[out].reshape(n, leads, -1)[:, :, len(CLASSES) :]
            share = np.exp(score - score.max(axis=1, keepdims=True))
            found[window] = results[hidden].reshape(n, leads, -1), share / share.sum(axis=1, keepdims=True)
        return found


def onnx_or_explain() -> Any:
    """Import onnx. Raises MissingExtraError where it is not installed: only learning needs it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "writing what was learnt needs the extra `teach`: pip install 'edgeai[teach]'"
        ) from error
    return onnx
