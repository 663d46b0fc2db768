"""Federated learning with Flower: a server that averages checked updates, and clients whose samples stay with them.

Needs flwr (extra ``federated``). The network is ``mlp``'s; the first round brings everyone's features to one scale.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_core.app import Progress
from edgeai_core.errors import ConfigError, InputError, MissingExtraError
from edgeai_core.learning.averaging import (
    MIN_SAMPLES,
    PUBLISHED_MIX,
    mixed,
    moments,
    refusal,
    scale_of,
    weighted_mean,
)
from edgeai_core.learning.checkpoint import load_arrays, save_arrays
from edgeai_core.learning.continual import Samples
from edgeai_core.learning.mlp import FitOptions, Weights, fresh_weights, taught

MAX_MESSAGE_BYTES = 64 << 20
HIDDEN = 32


@dataclass(frozen=True)
class Plan:
    """How clients learn together: ``rounds`` of ``passes`` over each one's samples.

    ``mix`` is the share of the common weights in a client's own before it learns on; 1 is plain federated averaging.
    """

    rounds: int = 10
    passes: int = 1
    mix: float = PUBLISHED_MIX
    hidden: int = HIDDEN
    learning_rate: float = 1e-3
    seed: int = 0
    min_samples: int = MIN_SAMPLES

    def fit_options(self, round_: int) -> FitOptions:
        """How a client learns in one round (numbered from 0)."""
        return FitOptions(self.passes, learning_rate=self.learning_rate, seed=self.seed * 1000 + round_)


@dataclass(frozen=True)
class Model:
    """What was learnt: weights, and the scale that features are brought to first."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: Weights

    def scaled(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return features (n, d) as the weights take them."""
        return np.asarray((features - self.mean) / self.scale, np.float32)


@dataclass(frozen=True)
class Outcome:
    """The common model, each client's own after the last round, and who was refused, with the reason."""

    common: Model
    own: tuple[Model, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Tls:
    """PEM files of a server that is reached over a network: its authority's, its own certificate, its key."""

    authority: Path
    certificate: Path
    key: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Return their bytes. Raises ConfigError for a file that cannot be read."""
        try:
            return self.authority.read_bytes(), self.certificate.read_bytes(), self.key.read_bytes()
        except OSError as error:
            raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error


class Client:
    """One party: it keeps its samples and its own weights, and answers rounds."""

    def __init__(self, samples: Samples, plan: Plan) -> None:
        self._samples, self._plan = samples, plan
        self._scaled: Samples | None = None
        self.own: Weights | None = None
        self.model: Model | None = None

    def moments(self) -> tuple[NDArray[np.float32], ...]:
        """The first round: what a common scale is made of."""
        return moments(self._samples.features)

    def learn(self, common: Sequence[NDArray[np.float32]], round_: int) -> Weights:
        """A round: mix the common weights into the own ones and learn on. ``common`` begins with mean and scale."""
        mean, scale, *weights = common
        if self._scaled is None:
            rows = (self._samples.features - mean) / scale
            self._scaled = Samples(rows.astype(np.float32), self._samples.labels, self._samples.groups)
        start = mixed(self.own, weights, self._plan.mix)
        self.own = taught(start, self._scaled, self._plan.fit_options(round_))
        self.model = Model(mean, scale, self.own)
        return self.own

    def __len__(self) -> int:
        return len(self._samples)


class Coordinator:
    """The server's side of the rounds: it checks what comes, averages what passes, and knows who was refused."""

    def __init__(self, plan: Plan, features: int, classes: int) -> None:
        self.plan, self.refused = plan, dict[str, str]()
        self._features = features
        self._mean = self._scale = np.zeros(features, np.float32)
        self._weights = fresh_weights(features, plan.hidden, classes, plan.seed)

    @property
    def model(self) -> Model:
        """The common model so far."""
        return Model(self._mean, self._scale, self._weights)

    def sent(self) -> list[NDArray[np.float32]]:
        """What clients get for a round of learning."""
        return [self._mean, self._scale, *self._weights]

    def take(
        self, round_: int, updates: Sequence[tuple[str, Sequence[NDArray[np.floating]], object]]
    ) -> None:
        """Join the answers (name, arrays, samples) of a round; 0 is that of the moments.

        Raises InputError where fewer than two may be averaged.
        """
        wanted = [self._mean, self._mean] if round_ == 0 else list(self._weights)
        kept: list[tuple[Sequence[NDArray[np.floating]], int]] = []
        for name, arrays, samples in updates:
            reason = refusal(arrays, samples, wanted, self.plan.min_samples)
            if reason is not None:
                self.refused[name] = reason
            elif name not in self.refused and isinstance(samples, int):
                kept.append((arrays, samples))
        if len(kept) < 2:
            why = "; ".join(f"{name} {reason}" for name, reason in sorted(self.refused.items()))
            raise InputError(f"{len(kept)} clients may be averaged, two are the least. {why}".strip())
        # In the order of their weights, not of their arrival: the same answers make the same model.
        joined = weighted_mean(sorted(kept, key=lambda update: (update[1], float(update[0][0].sum()))))
        if round_ == 0:
            self._mean, self._scale = joined[0], scale_of(*joined)
        else:
            self._weights = joined


def in_process(parts: Sequence[Samples], plan: Plan, classes: int) -> Outcome:
    """Do the rounds without a network: what those over it must give as well."""
    clients = [Client(part, plan) for part in parts]
    coordinator = Coordinator(plan, parts[0].features.shape[1], classes)
    coordinator.take(0, [(str(n), each.moments(), len(each)) for n, each in enumerate(clients)])
    for round_ in range(1, plan.rounds + 1):
        sent = coordinator.sent()
        coordinator.take(
            round_, [(str(n), each.learn(sent, round_), len(each)) for n, each in enumerate(clients)]
        )
    own = tuple(each.model for each in clients if each.model is not None)
    return Outcome(coordinator.model, own, _said(coordinator.refused))


def over_loopback(
    parts: Sequence[Samples], plan: Plan, classes: int, progress: Progress, wait_s: float = 120.0
) -> Outcome:
    """Do the rounds with every client a process of its own, talking to a Flower server on 127.0.0.1.

    A client gets its own samples in a file that no other may read, and a token by its input. Raises InputError where
    too few come within ``wait_s`` or may be averaged, MissingExtraError without flwr.
    """
    flower_or_explain()
    token = secrets.token_hex(32)
    address = f"127.0.0.1:{_free_port()}"
    coordinator = Coordinator(plan, parts[0].features.shape[1], classes)
    with TemporaryDirectory(prefix="edgeai-federated-") as folder:
        started = [
            _start(Path(folder), number, part, plan, address, token, wait_s)
            for number, part in enumerate(parts)
        ]
        try:
            serve(coordinator, address, token, len(parts), progress, wait_s=wait_s)
            for process in started:
                process.wait(wait_s)
        finally:
            for process in started:
                if process.poll() is None:
                    process.kill()
                process.wait()
        own = []
        for number in range(len(parts)):
            path = Path(folder) / f"{number}.own.npz"
            if path.is_file():
                own.append(load_model(path))
    return Outcome(coordinator.model, tuple(own), _said(coordinator.refused))


def serve(
    coordinator: Coordinator,
    address: str,
    token: str,
    clients: int,
    progress: Progress,
    *,
    tls: Tls | None = None,
    wait_s: float = 120.0,
) -> None:
    """Be the server until all rounds are done. Beyond this machine it wants TLS. Raises ConfigError, InputError."""
    flower = flower_or_explain()
    host = address.rpartition(":")[0].strip("[]")
    if tls is None and not _loopback(host):
        raise ConfigError(
            f"{address}: beyond this machine updates travel encrypted only; name certificates, or listen on 127.0.0.1"
        )
    from edgeai_core.learning.flower import strategy_of

    strategy = strategy_of(coordinator, token, clients, progress, wait_s)
    flower.server.start_server(
        server_address=address,
        config=flower.server.ServerConfig(num_rounds=coordinator.plan.rounds + 1, round_timeout=wait_s),
        strategy=strategy,
        grpc_max_message_length=MAX_MESSAGE_BYTES,
        certificates=None if tls is None else tls.read(),
    )
    if strategy.failed is not None:
        raise strategy.failed


def join(
    samples: Samples,
    plan: Plan,
    address: str,
    token: str,
    name: str,
    *,
    authority: Path | None = None,
    wait_s: float = 120.0,
) -> Model | None:
    """Be a client until the server is done; return the own model. Raises InputError where the server is not there."""
    flower = flower_or_explain()
    from edgeai_core.learning.flower import client_of

    client = Client(samples, plan)
    flower.client.start_client(
        server_address=address,
        client=client_of(client, token, name),
        grpc_max_message_length=MAX_MESSAGE_BYTES,
        root_certificates=None if authority is None else authority.read_bytes(),
        insecure=authority is None,
        max_wait_time=wait_s,
    )
    return client.model


def save_model(model: Model, path: Path) -> None:
    """Write a model as a checkpoint."""
    arrays: dict[str, NDArray[np.generic]] = {"mean": model.mean, "scale": model.scale}
    save_arrays(
        path, arrays | {f"weights_{n}": each for n, each in enumerate(model.weights)}, {"kind": "mlp"}
    )


def load_model(path: Path) -> Model:
    """Read what ``save_model`` wrote. Raises InputError."""
    arrays, _ = load_arrays(path)
    try:
        weights = tuple(np.asarray(arrays[f"weights_{n}"], np.float32) for n in range(4))
        return Model(np.asarray(arrays["mean"], np.float32), np.asarray(arrays["scale"], np.float32), weights)
    except KeyError as error:
        raise InputError(f"{path}: is no federated model: {error} is missing") from error


def flower_or_explain() -> Any:
    """Import Flower with its telemetry off and its log quiet. Raises MissingExtraError where it is not installed."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    try:
        import flwr
        import flwr.client
        import flwr.server
    except ImportError as error:
        raise MissingExtraError(
            "federated learning needs the extra `federated`: pip install 'edgeai[federated]'"
        ) from error
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    return flwr


def _start(
    folder: Path, number: int, part: Samples, plan: Plan, address: str, token: str, wait_s: float
) -> subprocess.Popen[bytes]:
    path = folder / f"{number}.npz"
    save_arrays(path, {"features": part.features, "labels": part.labels, "groups": part.groups}, {})
    path.chmod(0o600)
    told = {
        "name": str(number), "samples": str(path), "own": str(folder / f"{number}.own.npz"), "address": address,
        "token": token, "plan": asdict(plan), "wait_s": wait_s,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeai_core.learning.flower"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "FLWR_TELEMETRY_ENABLED": "0",
        },
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(json.dumps(told).encode())
    return process


def same_token(given: object, wanted: str) -> bool:
    """Whether a client knows the token, told in constant time."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _said(refused: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"client {name} {reason}" for name, reason in sorted(refused.items()))
