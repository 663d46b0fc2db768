"""By modality, how its network is taught. Needs torch (extra ``train``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging import kernel_training, training

Features = Any
"""What a method keeps of every variation of every picture; it has a ``shape``."""


@dataclass(frozen=True)
class Method:
    """Three steps: ``features`` of a data set, ``teach`` a network on some of their rows, ``predict`` their logits."""

    name: str
    features: Callable[..., Features]
    teach: Callable[..., Any]
    predict: Callable[..., NDArray[np.float64]]


FINE_TUNED = Method("upper blocks taught anew", training.features, training.teach, training.predict)
MACHINES = Method(
    "support vector machines on pooled features",
    kernel_training.features,
    kernel_training.teach,
    kernel_training.predict,
)

METHODS: Mapping[str, Method] = {"xray": FINE_TUNED, "ct": MACHINES, "mri": FINE_TUNED}
"""Of CT slices there are too few, from too many publications, to teach blocks anything but where they come from."""
