"""A taught model of parts with an adapter grafted on: the model stays, what is learnt later joins its score."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.graph import POOLED, onnx_or_explain
from apps.manufacturing.inspection.inspector import MODEL_FILE, inputs_of
from apps.manufacturing.inspection.preprocess import Pixels
from apps.manufacturing.inspection.texture import TEXTURE
from edgeai_core.errors import ModelError
from edgeai_core.learning.adapter import Adapter
from edgeai_core.learning.apart import Parts
from edgeai_core.learning.continual import Samples
from edgeai_core.runners.card import ModelCard, card_path, read_card, read_limited
from edgeai_core.runners.model_file import MAX_MODEL_BYTES
from edgeai_core.runners.onnx import OnnxRunner

FEATURES = 1 + POOLED + TEXTURE
"""What an adapter sees: the model's own verdict, between -1 and 1, then pooled features and texture."""

OWN_VERDICT = 4.0
"""The logit of a defect that the model's own verdict of 1 stands for when nothing has been learnt yet."""

_BASE_SCORE = "base_score"
_PREFIX = "adapter_"
_LOGIT_AT_PASS = math.log(0.95 / 0.05)


class FrozenModel:
    """A taught model of parts, checked by its card, as a maker of features."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime

        onnx = onnx_or_explain()
        path = folder / MODEL_FILE if folder.is_dir() else folder
        if read_card(card_path(path)).parameters.get("kind") != "parts":
            raise ModelError(f"{path}: only models of parts learn on; a model of boards is taught anew")
        self.card: ModelCard = OnnxRunner(path).card
        self.size = int(self.card.number("size"))
        self.model: Any = _stripped(
            onnx.load_model_from_string(read_limited(path, MAX_MODEL_BYTES, "model")), path
        )
        base = self.card.parameters
        self.threshold = float(
            self.card.number("base_threshold" if "base_threshold" in base else "threshold")
        )
        exposed = onnx.ModelProto()
        exposed.CopyFrom(self.model)
        exposed.graph.output.append(onnx.helper.make_tensor_value_info("pooled", 1, [1, POOLED]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def features(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return (FEATURES,) of a picture of any size."""
        inputs = inputs_of(pixels, self.size)
        score, pooled = self._session.run([_BASE_SCORE, "pooled"], inputs)
        verdict = np.tanh(score - np.float32(self.threshold))
        return np.concatenate([verdict, pooled[0], np.asarray(inputs["texture"][0])]).astype(np.float32)

    def begun(self, known: Samples, seed: int = 0) -> tuple[Parts, Adapter]:
        """Return the known parts as one, by ``known`` samples of FEATURES, and an adapter that decides as the model."""
        centre, scale = known.features.mean(axis=0), known.features.std(axis=0) + 1e-3
        centre[0], scale[0] = 0.0, 1.0
        parts = Parts.first(known, centre, scale)
        return parts, parts.begun(own_verdict(), np.zeros(2), seed)

    def grafted(self, parts: Parts, adapter: Adapter, slope: float) -> Any:
        """Return the model with the adapter in it: ``score`` is the logit of a defect, ``quality`` 0.95 at 0.

        The file tells the part as ``parts`` do and takes that one's weights.
        """
        onnx = onnx_or_explain()
        matrix, offset = parts.folded(adapter)
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        graph = made.graph
        constants = {
            "threshold": np.float32(self.threshold),
            "centre": parts.centre,
            "scale": parts.scale,
            "means": (-2 * parts.means.T).astype(np.float32),
            "squares": (parts.means**2).sum(axis=1).astype(np.float32),
            "weights": (matrix[..., 1] - matrix[..., 0]).astype(np.float32),
            "offset": np.float32(offset[1] - offset[0]),
            "slope": np.float32(-slope),
            "at_pass": np.float32(_LOGIT_AT_PASS),
            "axis": np.array([1], np.int64),
        }
        for name, value in constants.items():
            graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), _PREFIX + name))
        for kind, inputs, output, attributes in (
            ("Sub", [_BASE_SCORE, "threshold"], "away", {}),
            ("Tanh", ["away"], "verdict", {}),
            ("Unsqueeze", ["verdict", "axis"], "column", {}),
            ("Concat", ["column", "pooled", "texture"], "features", {"axis": 1}),
            ("Sub", ["features", "centre"], "middle", {}),
            ("Div", ["middle", "scale"], "scaled", {}),
            ("MatMul", ["scaled", "means"], "alike", {}),
            ("Add", ["alike", "squares"], "apart", {}),
            ("ArgMin", ["apart"], "part", {"axis": 1, "keepdims": 0}),
            ("Gather", ["weights", "part"], "weight", {"axis": 0}),
            ("Mul", ["scaled", "weight"], "terms", {}),
            ("ReduceSum", ["terms", "axis"], "product", {"keepdims": 0}),
            ("Add", ["product", "offset"], "score", {}),
            ("Mul", ["score", "slope"], "below", {}),
            ("Add", ["below", "at_pass"], "logit", {}),
            ("Sigmoid", ["logit"], "quality", {}),
        ):
            names = [each if each in _OUTSIDE else _PREFIX + each for each in (*inputs, output)]
            graph.node.append(
                onnx.helper.make_node(kind, names[:-1], names[-1:], _PREFIX + output, **attributes)
            )
        others = [each for each in graph.output if each.name != _BASE_SCORE]
        del graph.output[:]
        for name in ("score", "quality"):
            graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]))
        graph.output.extend(others)
        onnx.checker.check_model(made)
        return made


def own_verdict() -> NDArray[np.float32]:
    """Return the weights (FEATURES, 2) that leave the decision to the model's own verdict."""
    weight = np.zeros((FEATURES, 2), np.float32)
    weight[0] = (-OWN_VERDICT / 2, OWN_VERDICT / 2)
    return weight


_OUTSIDE = {_BASE_SCORE, "pooled", "texture", "score", "quality"}


def _stripped(model: Any, path: Path) -> Any:
    """Return the model without an adapter that it may have, its own score under the name that adapters build on."""
    onnx = onnx_or_explain()
    graph = model.graph
    made = {name for node in graph.node for name in node.output}
    if not {"pooled", "score", "quality", "heat"} <= made:
        raise ModelError(
            f"{path}: has no pooled features to learn on: it was taught on good parts alone, or by another program;"
            " teach it with --bad pictures too"
        )
    had = _BASE_SCORE in made
    nodes = [n for n in graph.node if not n.name.startswith(_PREFIX) and "quality" not in n.output]
    del graph.node[:]
    graph.node.extend(nodes)
    initialisers = [each for each in graph.initializer if not each.name.startswith(_PREFIX)]
    del graph.initializer[:]
    graph.initializer.extend(initialisers)
    if not had:
        for node in graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == "score":
                        names[place] = _BASE_SCORE
    judged = {"score", "quality", _BASE_SCORE}
    others = []
    for each in graph.output:
        if each.name not in judged:
            others.append(onnx.ValueInfoProto())
            others[-1].CopyFrom(each)
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(_BASE_SCORE, onnx.TensorProto.FLOAT, [1]))
    graph.output.extend(others)
    return model
