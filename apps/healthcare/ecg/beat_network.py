"""The beat network, for training: each lead's beat beside its usual one, timing and shape -> a class of beat.

Needs torch (extra ``train``); what runs on a device is the ONNX file made from it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apps.healthcare.ecg.beat_class import CLASSES
from apps.healthcare.ecg.beat_features import RHYTHM_FEATURES, SHAPE_FEATURES, WAVE_SAMPLES

INPUTS = ("rhythm", "shape", "waves")
OUTPUTS = ("logits",)

_WIDTHS = (12, 20, 24)
_ENCODED = 24
_HIDDEN = 64
_LEAST_MV = 0.1
_FARTHEST = 4.0  # standard deviations: what lies further out says no more than this
_HIGHEST = 3.0  # times the usual beat's size


class BeatNetwork(nn.Module):
    """(beats, RHYTHM_FEATURES), (beats, SHAPE_FEATURES), (beats, leads, 2, WAVE_SAMPLES) mV -> logits (beats, classes).

    ``mean`` and ``scale`` (RHYTHM_FEATURES + SHAPE_FEATURES,) are those of the features it is trained on. The encoder
    of waves is shared by leads, and what it gives is pooled over them, so that any number may come, in any order.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, dropout: float = 0.3) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        layers: list[nn.Module] = []
        for before, after, kernel in zip((3, *_WIDTHS[:-1]), _WIDTHS, (7, 5, 5), strict=True):
            layers += [
                nn.Conv1d(before, after, kernel, 2, kernel // 2, bias=False), nn.BatchNorm1d(after), nn.ReLU()
            ]  # fmt: skip
        length = WAVE_SAMPLES
        for _ in _WIDTHS:
            length = (length + 1) // 2
        self.encoder = nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(_WIDTHS[-1] * length, _ENCODED), nn.ReLU()
        )
        self.head = nn.Sequential(
            nn.Linear(RHYTHM_FEATURES + SHAPE_FEATURES + 2 * _ENCODED, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, _HIDDEN // 2),
            nn.ReLU(),
            nn.Dropout(dropout / 2),
            nn.Linear(_HIDDEN // 2, len(CLASSES)),
        )

    def forward(self, rhythm: Tensor, shape: Tensor, waves: Tensor) -> Tensor:
        """Give the logits of each beat."""
        features = ((torch.cat([rhythm, shape], 1) - self.mean) / self.scale).clamp(-_FARTHEST, _FARTHEST)
        flat = waves.reshape(-1, 2, waves.shape[3])
        own, usual = flat[:, 0], flat[:, 1]
        size = (usual.amax(1) - usual.amin(1)).clamp(min=_LEAST_MV)[:, None]
        seen = torch.stack([own / size, usual / size, (own - usual) / size], 1).clamp(-_HIGHEST, _HIGHEST)
        encoded = self.encoder(seen).reshape(-1, waves.shape[1], _ENCODED)
        logits: Tensor = self.head(torch.cat([features, encoded.mean(1), encoded.amax(1)], 1))
        return logits
