"""The rhythm network, for training: one lead at a time, its windows' shapes and spectra; leads joined by weight.

Needs torch (extra ``train``); what runs on a device is the ONNX file made from it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from apps.healthcare.ecg.rhythm import CLASSES, LONG, RATE_HZ, SHORT

OUTPUTS = ("logits_4s", "logits_2s", "lead_logits_4s", "lead_logits_2s")

WIDTHS = (12, 24, 32, 48)
BINS = 120
BIN_HZ = 0.25
LAGS = range(5, 215, 3)
"""Autocorrelation at 0.04 to 1.7 s: the periods of 35 to 1500 waves a minute."""


class RhythmNetwork(nn.Module):
    """(batch, leads, 500) millivolts at 125 Hz -> logits of the 4 s and of the 2 s window, joint and by lead.

    The encoder is shared by leads and windows, the heads are each window's own. A lead's weight in the joint
    logits is a softmax over a learned score, so any number of leads may come.
    """

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.long = Spectrum(LONG)
        self.short = Spectrum(SHORT)
        self.encoder = Encoder()
        self.heads = nn.ModuleList(Head(Encoder.features, dropout) for _ in range(2))

    def forward(self, ecg: Tensor, absent: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``absent``, (batch, leads) bool, marks leads that must not count (training only)."""
        joint_long, leads_long = self._window(ecg, self.long, self.heads[0], absent)
        joint_short, leads_short = self._window(ecg[:, :, LONG - SHORT :], self.short, self.heads[1], absent)
        return joint_long, joint_short, leads_long, leads_short

    def _window(
        self, ecg: Tensor, spectrum: nn.Module, head: nn.Module, absent: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        flat = ecg.reshape(-1, ecg.shape[2])
        out = head(self.encoder(flat, spectrum)).reshape(-1, ecg.shape[1], len(CLASSES) + 1)
        logits, score = out[:, :, :-1], out[:, :, -1:]
        if absent is not None:
            score = score.masked_fill(absent[:, :, None], -1e4)
        return (logits * torch.softmax(score, dim=1)).sum(1), logits


class Encoder(nn.Module):
    """One lead's window -> features: of waves (convolutions, pooled over time), of its spectrum, its size."""

    spectral = 48
    features = 3 * WIDTHS[-1] + spectral + 1

    def __init__(self) -> None:
        super().__init__()
        kernels = (9, 7, 5, 5)
        layers = [
            _convolution(before, after, kernel, stride=2)
            for before, after, kernel in zip((1, *WIDTHS[:-1]), WIDTHS, kernels, strict=True)
        ]
        self.waves = nn.Sequential(*layers, _convolution(WIDTHS[-1], WIDTHS[-1], 5, stride=1))
        self.spectrum = nn.Sequential(
            nn.Linear(BINS // 2 + len(LAGS), self.spectral), nn.ReLU(), nn.Dropout(0.2)
        )

    def forward(self, ecg: Tensor, spectrum: nn.Module) -> Tensor:
        """(batch, samples) mV -> (batch, features)."""
        centred = ecg - ecg.mean(1, keepdim=True)
        # 0.01 mV keeps a silent line from being blown up into something.
        size = torch.sqrt((centred * centred).mean(1, keepdim=True) + 1e-4)
        scaled = centred / size
        waves = self.waves(scaled[:, None])
        mean = waves.mean(2)
        spread = torch.sqrt(((waves - mean[:, :, None]) ** 2).mean(2) + 1e-4)
        return torch.cat([mean, waves.amax(2), spread, self.spectrum(spectrum(scaled)), torch.log(size)], 1)


class Spectrum(nn.Module):
    """Power spectrum (log, 0.5 Hz steps to 30 Hz) and normalised autocorrelation, as matrix products.

    The autocorrelation is the cosine transform of the power spectrum (Wiener and Khinchin).
    """

    basis: Tensor
    lags: Tensor

    def __init__(self, samples: int) -> None:
        super().__init__()
        time_s = torch.arange(samples) / RATE_HZ
        phase = 2 * math.pi * torch.outer(time_s, torch.arange(1, BINS + 1) * BIN_HZ)
        taper = torch.hann_window(samples, periodic=False)[:, None]
        self.register_buffer(
            "basis", torch.cat([torch.cos(phase), torch.sin(phase)], 1) * taper, persistent=False
        )
        lag_s = torch.tensor([0, *LAGS]) / RATE_HZ
        hz = torch.arange(1, BINS + 1) * BIN_HZ
        self.register_buffer("lags", torch.cos(2 * math.pi * torch.outer(hz, lag_s)), persistent=False)

    def forward(self, scaled: Tensor) -> Tensor:
        """(batch, samples) -> (batch, BINS / 2 + lags)."""
        parts = (scaled @ self.basis).reshape(-1, 2, BINS)
        power = (parts * parts).sum(1)
        power = power / (power.sum(1, keepdim=True) + 1e-6)
        correlation = power @ self.lags
        correlation = correlation[:, 1:] / (correlation[:, :1] + 1e-6)
        coarse = power.reshape(-1, BINS // 2, 2).sum(2)
        return torch.cat([torch.log(50 * coarse + 1e-3), correlation], 1)


class Head(nn.Module):
    """Features of a lead -> logits of the classes and, last, the lead's score."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, len(CLASSES) + 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, features) -> (batch, classes + 1)."""
        out: Tensor = self.layers(features)
        return out


def _convolution(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm1d(after), nn.ReLU()
    )
