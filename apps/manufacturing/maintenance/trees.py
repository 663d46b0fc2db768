"""Boosted trees of scikit-learn as an ONNX file that is proved to say the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import MissingExtraError, ModelError

OPSET, ML_OPSET = 17, 3
"""Old enough for the engines on devices in the field."""


def export_trees(
    models: Sequence[Any],
    path: Path,
    features: NDArray[np.float32],
    wanted: NDArray[np.float64],
    *,
    output: str,
    rows: str,
    tolerance: float,
) -> None:
    """Write the mean raw output of histogram gradient boosting models: input ``features``, ``output`` (rows, 1).

    A classifier's raw output is its log odds. ``wanted`` (n,) is what the models say of ``features`` (n, k). Raises
    ModelError where the file differs from it by more than ``tolerance``, MissingExtraError without the extra `train`.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise MissingExtraError(
            "writing the model needs the extra `train`: pip install 'edgeai[train]'"
        ) from error
    import onnxruntime

    node = helper.make_node(
        "TreeEnsembleRegressor", ["features"], [output], domain="ai.onnx.ml", **_attributes(models)
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [rows, features.shape[1]])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [rows, 1])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="edgeai")
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = np.asarray(session.run([output], {"features": features})[0], dtype=np.float64)[:, 0]
    worst = float(np.abs(theirs - wanted).max())
    if not worst <= tolerance:
        path.unlink()
        raise ModelError(
            f"{path}: the exported model differs from the taught one by {worst:g} (allowed {tolerance:g}); removed"
        )


def _attributes(models: Sequence[Any]) -> dict[str, Any]:
    """The nodes of all trees in the arrays that ONNX wants; leaves weigh 1 / models."""
    nodes: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    missing: list[int] = []
    targets: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    tree = 0
    for model in models:
        for (predictor,) in model._predictors:
            for place, each in enumerate(predictor.nodes):
                leaf = bool(each["is_leaf"])
                if each["is_categorical"]:
                    raise ModelError("trees with categories of their own cannot be written as ONNX")
                nodes["treeids"].append(tree)
                nodes["nodeids"].append(place)
                nodes["featureids"].append(0 if leaf else int(each["feature_idx"]))
                nodes["values"].append(0.0 if leaf else _not_above(float(each["num_threshold"])))
                nodes["modes"].append("LEAF" if leaf else "BRANCH_LEQ")
                nodes["truenodeids"].append(0 if leaf else int(each["left"]))
                nodes["falsenodeids"].append(0 if leaf else int(each["right"]))
                missing.append(0 if leaf else int(each["missing_go_to_left"]))
                if leaf:
                    targets["treeids"].append(tree)
                    targets["nodeids"].append(place)
                    targets["ids"].append(0)
                    targets["weights"].append(float(each["value"]) / len(models))
            tree += 1
    base = float(np.mean([float(np.ravel(model._baseline_prediction)[0]) for model in models]))
    return {
        "n_targets": 1,
        "base_values": [base],
        "nodes_missing_value_tracks_true": missing,
        **{f"nodes_{name}": values for name, values in nodes.items()},
        **{f"target_{name}": values for name, values in targets.items()},
    }


def _not_above(threshold: float) -> float:
    """The largest single-precision number that is not above a threshold: for such features the branch is the same."""
    single = np.float32(threshold)
    return float(np.nextafter(single, np.float32(-np.inf)) if float(single) > threshold else single)
