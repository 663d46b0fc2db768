"""One training loop for every network: seeds, schedule, averaged weights, early stopping, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeai_core.app import Progress
from edgeai_core.errors import EdgeAIError, InputError, MissingExtraError
from edgeai_core.learning.checkpoint import load_arrays, save_arrays

if TYPE_CHECKING:
    import torch

Batches = Callable[[int], Iterable[Any]]
"""The batches of one epoch (numbered from 0), as whatever the loss takes."""


@dataclass(frozen=True)
class FitOptions:
    """How to train.

    The rate rises over the first ``warm_up`` of all steps and falls as a half cosine to zero
    (Loshchilov and Hutter, SGDR, 2017). ``average`` is the decay per step of an exponential average
    of the weights that is what gets validated and returned; 0 turns it off.
    ``patience``: epochs without a better validation before it stops; None: never.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    warm_up: float = 0.15
    gradient_limit: float = 2.0
    average: float = 0.99
    patience: int | None = None
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class History:
    """What happened: mean loss and validation figure (None without one) per epoch, and the epoch kept."""

    losses: tuple[float, ...]
    validations: tuple[float | None, ...]
    best_epoch: int


def torch_or_explain() -> Any:
    """Import torch, or raise MissingExtraError that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("training needs the extra `train`: pip install 'edgeai[train]'") from error
    return torch


def class_weights(counts: ArrayLike, limit: float = 20.0) -> NDArray[np.float32]:
    """Return weights inverse to the class counts, mean 1 over the samples, none above ``limit``.

    A class without a sample gets weight 0: there is nothing to weigh.
    """
    n = np.asarray(counts, dtype=np.float64)
    if n.ndim != 1 or n.sum() <= 0 or (n < 0).any():
        raise InputError(f"class counts must be a list of numbers >= 0 with one above 0, not {counts!r}")
    present = n > 0
    weights = np.where(present, n.sum() / (present.sum() * np.maximum(n, 1)), 0.0)
    return np.minimum(weights, limit).astype(np.float32)


def fit(
    network: torch.nn.Module,
    batches: Batches,
    loss: Callable[[torch.nn.Module, Any], torch.Tensor],
    options: FitOptions,
    progress: Progress,
    *,
    label: str = "training",
    validate: Callable[[torch.nn.Module], float] | None = None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> History:
    """Train ``network`` in place and leave its best weights in it.

    ``validate`` returns a figure of which lower is better; without it the last epoch is kept.
    With ``checkpoint`` every epoch is written there, and training goes on from it if the file is there;
    ``fingerprint`` says what the training depends on beyond the options (the data, say), and one that was
    begun with another is refused.
    The same seed, data and thread count give the same weights. Raises EdgeAIError when the loss is no
    longer a number.
    """
    torch = torch_or_explain()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    run = _Run(network, optimizer, options, fingerprint)
    if checkpoint is not None and checkpoint.exists():
        run.restore(checkpoint)
    stopped = run.stale(options.patience)
    while run.epoch < options.epochs and not stopped:
        torch.manual_seed(options.seed * 1_000_003 + run.epoch)
        network.train()
        total, count = 0.0, 0
        for batch in batches(run.epoch):
            value = loss(network, batch)
            if not math.isfinite(value.item()):
                raise EdgeAIError(
                    f"{label}: the loss became {value.item()} in epoch {run.epoch + 1}; lower the rate"
                )
            run.step(value)
            total, count = total + value.item(), count + 1
            progress(
                label, run.epoch * options.steps_per_epoch + count, options.epochs * options.steps_per_epoch
            )
        if count == 0:
            raise InputError(f"{label}: no batch to train on")
        run.end_epoch(total / count, validate)
        if checkpoint is not None:
            run.save(checkpoint)
        stopped = run.stale(options.patience)
    network.load_state_dict(run.best)
    network.eval()
    return History(tuple(run.losses), tuple(run.validations), run.best_epoch)


class _Run:
    """The state of one training: weights, their average, the optimiser's moments and the best so far."""

    def __init__(
        self,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        options: FitOptions,
        fingerprint: str,
    ) -> None:
        self.network, self.optimizer, self.options = network, optimizer, options
        self.identity = f"{replace(options, threads=1)} {fingerprint}"
        self.epoch = self.steps = 0
        self.losses: list[float] = []
        self.validations: list[float | None] = []
        self.best_epoch = 0
        self.average = _copy(network)
        self.best = _copy(network)

    def step(self, loss: torch.Tensor) -> None:
        """One step of the optimiser at the schedule's rate, then of the average."""
        torch = torch_or_explain()
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * self.schedule()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.gradient_limit)
        self.optimizer.step()
        self.steps += 1
        # Early on the average forgets faster, or it would remember the random start.
        decay = (
            min(self.options.average, (1 + self.steps) / (10 + self.steps)) if self.options.average else 0.0
        )
        for name, tensor in self.network.state_dict().items():
            mean = self.average[name]
            if mean.is_floating_point():
                mean.mul_(decay).add_(tensor, alpha=1 - decay)
            else:
                mean.copy_(tensor)

    def schedule(self) -> float:
        """The share of the full rate at this step."""
        total = max(self.options.epochs * self.options.steps_per_epoch, 1)
        rise = max(round(self.options.warm_up * total), 1)
        if self.steps < rise:
            return (self.steps + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min((self.steps - rise) / max(total - rise, 1), 1.0)))

    def end_epoch(self, loss: float, validate: Callable[[torch.nn.Module], float] | None) -> None:
        """Note the epoch's figures; keep the averaged weights where they are the best."""
        figure: float | None = None
        if validate is not None:
            torch = torch_or_explain()
            own = _copy(self.network)
            self.network.load_state_dict(self.average)
            self.network.eval()
            with torch.no_grad():
                figure = float(validate(self.network))
            self.network.load_state_dict(own)
        earlier = [v for v in self.validations if v is not None]
        if figure is None or not earlier or figure < min(earlier):
            self.best_epoch = self.epoch
            self.best = {name: tensor.clone() for name, tensor in self.average.items()}
        self.losses.append(loss)
        self.validations.append(figure)
        self.epoch += 1

    def stale(self, patience: int | None) -> bool:
        """Whether the validation has not got better for ``patience`` epochs."""
        return patience is not None and self.epoch - self.best_epoch > patience

    def save(self, path: Path) -> None:
        """Write everything that is needed to go on."""
        arrays: dict[str, NDArray[np.generic]] = {}
        for prefix, state in (
            ("own", self.network.state_dict()),
            ("average", self.average),
            ("best", self.best),
        ):
            arrays.update({f"{prefix}/{name}": tensor.numpy() for name, tensor in state.items()})
        for index, moments in self.optimizer.state_dict()["state"].items():
            arrays.update({f"optimizer/{index}/{name}": np.asarray(value) for name, value in moments.items()})
        about = {
            "epoch": self.epoch,
            "steps": self.steps,
            "losses": self.losses,
            "validations": self.validations,
            "best_epoch": self.best_epoch,
            "identity": self.identity,
        }
        save_arrays(path, arrays, about)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same network and options; raises InputError for any other."""
        torch = torch_or_explain()
        arrays, about = load_arrays(path)
        try:
            states: dict[str, dict[str, Any]] = {"own": {}, "average": {}, "best": {}}
            moments: dict[int, dict[str, Any]] = {}
            for key, array in arrays.items():
                prefix, _, name = key.partition("/")
                if prefix == "optimizer":
                    index, _, moment = name.partition("/")
                    moments.setdefault(int(index), {})[moment] = torch.from_numpy(array.copy())
                else:
                    states[prefix][name] = torch.from_numpy(array.copy())
            if about["identity"] != self.identity:
                raise ValueError("made with other options or data")
            self.network.load_state_dict(states["own"])
            self.average, self.best = states["average"], states["best"]
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            numbers: Any = about
            self.epoch, self.steps = int(numbers["epoch"]), int(numbers["steps"])
            self.losses, self.validations = list(numbers["losses"]), list(numbers["validations"])
            self.best_epoch = int(numbers["best_epoch"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{path}: a checkpoint of another training ({reason}); remove it to start anew"
            ) from error


def _copy(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
