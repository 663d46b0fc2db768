"""A network taught on the parts themselves: later blocks of the backbone and the head of places, together; with torch.

The blocks up to stride 4 stay as they ship: in the model that is written they are computed once, for this network and
for the other heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from apps.manufacturing.inspection.graph import BACKBONE, Graph, append_local, onnx_or_explain
from apps.manufacturing.inspection.heads import Floats, Whitening
from apps.manufacturing.inspection.places import WORST, Places, append_worst

FIRST, LAST = "stride4", "stride16"
"""The taps of the backbone between which its blocks are taught anew."""

_WIDE = 112
"""Channels at LAST."""

_PREFIX = "tuned/"
_AT_ONCE = 4
"""Pictures that go through together: what memory allocators hand out again; larger pieces they fetch anew each time,
at a third of the time of a step."""


class TunedNetwork(nn.Module):
    """Pictures -> how like a defect every place is, and the picture: by its worst places and as a whole.

    It begins where heads of fixed features ended: with ``whitening`` and ``places`` as they were taught on the
    backbone as it ships. From there the blocks and the places' two layers are taught on (first the head, then all:
    A. Kumar et al., ICLR 2022), and with them a logit of what stride 16 shows over the whole picture.
    """

    def __init__(self, whitening: Whitening, places: Places) -> None:
        super().__init__()
        self._early, self._late, weights = _divided()
        self._whitening = whitening
        self.blocks = nn.ParameterDict(
            {name: nn.Parameter(value) for name, value in weights.items() if name in _weights(self._late)}
        )
        for name in _weights(self._early):
            self.register_buffer(f"early {name}", weights[name], persistent=False)
        self.register_buffer("centre", torch.from_numpy(whitening.centre), persistent=False)
        self.register_buffer("basis", torch.from_numpy(whitening.basis), persistent=False)
        self.first = nn.Parameter(torch.from_numpy(places.first.copy()))
        self.first_bias = nn.Parameter(torch.from_numpy(places.first_bias.copy()))
        self.second = nn.Parameter(torch.from_numpy(places.second.copy()))
        self.second_bias = nn.Parameter(torch.tensor(places.second_bias, dtype=torch.float32))
        self.whole = nn.Parameter(torch.zeros(2 * _WIDE))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits by the worst places (n,), of the whole (n,), to be added, and of places (n, grid, grid).

        ``pictures`` (n, size, size, 3) uint8, prepared, their size a multiple of 16.
        """
        worst, whole, heat = zip(*(self._few(each) for each in pictures.split(_AT_ONCE)), strict=True)
        return torch.cat(worst), torch.cat(whole), torch.cat(heat)

    def _few(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image = (
            ((pictures.float() - 127) / 128).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        )
        values = {"image": image}
        with torch.no_grad():
            for layer in self._early:
                layer.run(values, lambda name: self.get_buffer(f"early {name}"))
        for layer in self._late:
            layer.run(values, lambda name: self.blocks[name])
        fine = values[FIRST]
        coarse = functional.interpolate(values[LAST], scale_factor=2, mode="bilinear", align_corners=False)
        local = torch.cat(
            [functional.avg_pool2d(fine, 2), functional.max_pool2d(fine, 2), values["stride8"], coarse], 1
        ).permute(0, 2, 3, 1)
        seen = (local - self.get_buffer("centre")) @ self.get_buffer("basis")
        hidden = functional.relu(seen @ self.first + self.first_bias)
        heat = hidden @ self.second + self.second_bias
        flat = values[LAST].flatten(2)
        whole = torch.cat([flat.mean(2), flat.amax(2)], 1) @ self.whole
        return heat.flatten(1).topk(WORST, dim=1).values.mean(dim=1), whole, heat

    def judge(self, pictures: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
        """Return what ``forward`` does, as arrays."""
        self.eval()
        with torch.no_grad():
            worst, whole, heat = self(torch.from_numpy(pictures))
        return worst.numpy(), whole.numpy(), heat.numpy()

    def rounded(self) -> TunedNetwork:
        """Round the blocks' weights to half precision, in which they are stored; return this network."""
        with torch.no_grad():
            for weight in self.blocks.values():
                weight.copy_(weight.half().float())
        return self

    def append(self, graph: Graph) -> tuple[str, str, str]:
        """Append the same to a graph that holds the backbone; return the names of what ``forward`` does."""
        taps = _append_blocks(graph, {name: _array(each) for name, each in self.blocks.items()})
        local = self._whitening.append(graph, append_local(graph, FIRST, taps["stride8"], taps[LAST]))
        second_bias = float(self.second_bias.detach())
        places = Places(_array(self.first), _array(self.first_bias), _array(self.second), second_bias)
        heat = places.append(graph, local)
        mean = graph.node("ReduceMean", taps[LAST], axes=[2, 3], keepdims=0)
        most = graph.node("ReduceMax", taps[LAST], axes=[2, 3], keepdims=0)
        pooled = graph.node("Concat", mean, most, axis=1)
        return (
            append_worst(graph, heat),
            graph.node("MatMul", pooled, graph.constant(_array(self.whole))),
            heat,
        )


@dataclass(frozen=True)
class _Layer:
    """A node of the backbone's file: a convolution (``weight``, ``bias`` by name), a limit, a sum or a tap."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    weight: str = ""
    bias: str = ""
    stride: int = 1
    groups: int = 1

    def run(self, values: dict[str, Tensor], weight: Any) -> None:
        value = values[self.inputs[0]]
        if self.kind == "Conv":
            kernel = weight(self.weight)
            size = kernel.shape[-1]
            if self.stride == 1:
                pads = size // 2
            else:  # padded as TensorFlow's SAME
                wanted = [max((-(-side // 2) - 1) * 2 + size - side, 0) for side in value.shape[2:]]
                top, left = (each // 2 for each in wanted)
                value = functional.pad(value, (left, wanted[1] - left, top, wanted[0] - top))
                pads = 0
            value = functional.conv2d(value, kernel, weight(self.bias), self.stride, pads, 1, self.groups)
        elif self.kind == "Clip":
            value = functional.relu6(value, inplace=True)
        elif self.kind == "Add":
            value = value + values[self.inputs[1]]
        values[self.output] = value


def _divided() -> tuple[list[_Layer], list[_Layer], dict[str, Tensor]]:
    """Return the layers of the backbone up to FIRST, those from there up to LAST, and weights by name without dots."""
    onnx = onnx_or_explain()
    graph = onnx.load(str(BACKBONE)).graph
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    cast = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    parts: list[list[_Layer]] = [[], []]
    weights: dict[str, Tensor] = {}
    late = 0
    for node in graph.node:
        if node.op_type == "Cast":
            continue
        given = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        names = [_key(cast[each]) for each in node.input[1:3]] if node.op_type == "Conv" else ["", ""]
        for name, each in zip(names, node.input[1:3], strict=False):
            if name:
                weights[name] = torch.from_numpy(stored[cast[each]].astype(np.float32))
        parts[late].append(
            _Layer(
                node.op_type,
                tuple(node.input),
                node.output[0],
                names[0],
                names[1],
                given.get("strides", [1])[0],
                given.get("group", 1),
            )
        )
        if node.output[0] == LAST:
            return parts[0], parts[1], weights
        late += node.output[0] == FIRST
    raise AssertionError(f"{BACKBONE}: has no {LAST}")


def _weights(layers: Sequence[_Layer]) -> set[str]:
    return {name for each in layers for name in (each.weight, each.bias) if name}


def _key(name: str) -> str:
    return name.replace(".", ":")


def _append_blocks(graph: Graph, weights: dict[str, NDArray[np.floating]]) -> dict[str, str]:
    """Append the blocks between FIRST and LAST once more, with other weights; return the names of their taps."""
    onnx = onnx_or_explain()
    backbone = onnx.load(str(BACKBONE)).graph
    names = [node.output[0] for node in backbone.node]
    renamed: dict[str, str] = {}
    for node in backbone.node[names.index(FIRST) + 1 : names.index(LAST) + 1]:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        for number, name in enumerate(node.input):
            if _key(name) in weights:
                renamed[name] = _PREFIX + name
                values = weights[_key(name)].astype(np.float16)
                graph.initialisers.append(onnx.numpy_helper.from_array(values, renamed[name]))
            copied.input[number] = renamed.get(name, name)
        renamed[node.output[0]] = copied.output[0] = _PREFIX + node.output[0]
        copied.name = ""
        graph.nodes.append(copied)
    return {name: renamed[name] for name in ("stride8", LAST)}


def _array(weight: Tensor) -> Floats:
    return np.asarray(weight.detach().numpy(), np.float32)
