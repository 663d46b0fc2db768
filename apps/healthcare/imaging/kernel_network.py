"""The network for few pictures: what ImageNet's lower blocks see, pooled, and support vector machines.

Needs torch (extra ``train``). Nothing of the convolutions is learned anew: a few hundred slices would only teach them
the publications that the slices were cut from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from apps.healthcare.imaging.network import TriageNetwork

_CHANNELS = {5: 40, 8: 80, 11: 112, 15: 192}
"""Channels of what comes out of each block that may be a stage."""

_PLACES = 7


def width_of(stages: Sequence[int]) -> int:
    """Return how many features some stages give: means and deviations over all places."""
    return 2 * sum(_CHANNELS[stage] for stage in stages)


class KernelNetwork(nn.Module):
    """Input (n, 1, 224, 224), grey from 0 to 1; outputs logits (n, classes) and evidence (n, classes, 7, 7).

    A logit is the sum over the support vectors of weight times radial basis function, one machine a class (C. Cortes
    and V. Vapnik, Support-vector networks, 1995). The evidence is that sum's slope in the means of the channels,
    times how far each place's channels lie from those means: where the picture has more of what speaks for a class.
    """

    vectors: torch.Tensor
    weights: torch.Tensor
    bias: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, base: TriageNetwork, stages: Sequence[int], vectors: int, classes: int) -> None:
        super().__init__()
        self.base = base
        self.stages = tuple(stages)
        width = width_of(stages)
        self.gamma = 1.0 / width
        for name, shape in {
            "vectors": (vectors, width),
            "weights": (vectors, classes),
            "bias": (classes,),
            "centre": (width,),
            "scale": (width,),
        }.items():
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits, evidence)."""
        stages = seen(self.base, image, self.stages)
        found = (pooled(stages) - self.centre) / self.scale
        near = self._near(found)
        # d logit / d found, for every class: (n, classes, features)
        pull = near[:, None, :] * self.weights.T[None]
        slope = 2.0 * self.gamma * (pull @ self.vectors - pull.sum(dim=2, keepdim=True) * found[:, None, :])
        return near @ self.weights + self.bias, self._evidence(slope / self.scale, stages)

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, classes) of pooled features (n, features)."""
        return self._near((features - self.centre) / self.scale) @ self.weights + self.bias

    def _near(self, found: torch.Tensor) -> torch.Tensor:
        # |a - b|^2 by its three parts: a matrix product in place of n x vectors x features numbers. As a layer with a
        # bias it shares the vectors with the slope's product, so the file holds them once.
        product = nn.functional.linear(found, self.vectors, -0.5 * self.vectors.square().sum(dim=1))
        return torch.exp(self.gamma * (2.0 * product - found.square().sum(dim=1, keepdim=True)))

    def _evidence(self, slope: torch.Tensor, stages: Sequence[torch.Tensor]) -> torch.Tensor:
        parts = []
        first = 0
        for value in stages:
            channels = value.shape[1]
            of_means = slope[:, :, first : first + channels]
            apart = value - value.mean(dim=(2, 3), keepdim=True)
            told = torch.einsum("ncf,nfhw->nchw", of_means, apart)
            parts.append(nn.functional.avg_pool2d(told, value.shape[2] // _PLACES))
            first += 2 * channels
        return torch.stack(parts).sum(dim=0)


class PooledFeatures(nn.Module):
    """The features alone, to be run as ONNX over many pictures."""

    def __init__(self, base: TriageNetwork, stages: Sequence[int]) -> None:
        super().__init__()
        self.base = base
        self.stages = tuple(stages)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (n, features)."""
        return pooled(seen(self.base, image, self.stages))


def seen(base: TriageNetwork, image: torch.Tensor, stages: Sequence[int]) -> list[torch.Tensor]:
    """Return what comes out of each of the stages' blocks."""
    value, found = base.until(image, 0), []
    for number, block in enumerate(base.blocks[: stages[-1]], 1):
        value = block(value)
        if number in stages:
            found.append(value)
    return found


def pooled(stages: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return (n, features): by stage and channel, mean and deviation over all places."""
    parts = []
    for value in stages:
        mean = value.mean(dim=(2, 3), keepdim=True)
        parts += [mean[:, :, 0, 0], (value - mean).square().mean(dim=(2, 3)).add(1e-8).sqrt()]
    return torch.cat(parts, dim=1)


def fit_machines(
    base: TriageNetwork, stages: Sequence[int], features: NDArray[np.float32], labels: NDArray[np.int64],
    classes: int, cost: float,
) -> KernelNetwork:  # fmt: skip
    """Return a network whose machines are fitted to (n, features), one a class against the rest."""
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    scaler = StandardScaler().fit(features)
    scaled = np.asarray(scaler.transform(features), dtype=np.float64)
    weights = np.zeros((len(scaled), classes))
    bias = np.zeros(classes)
    for number in range(classes):
        machine = SVC(C=cost, gamma=1.0 / features.shape[1], class_weight="balanced")
        machine.fit(scaled, (labels == number).astype(int))
        weights[machine.support_, number] = machine.dual_coef_[0]
        bias[number] = machine.intercept_[0]
    used = np.flatnonzero(np.abs(weights).sum(axis=1))
    network = KernelNetwork(base, stages, len(used), classes)
    for buffer, values in (
        (network.vectors, scaled[used]),
        (network.weights, weights[used]),
        (network.bias, bias),
        (network.centre, scaler.mean_),
        (network.scale, np.maximum(scaler.scale_, 1e-6)),
    ):
        buffer.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))
    network.eval()
    return network
