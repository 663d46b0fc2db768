"""Flower's own classes around a client and a coordinator; run as a module, one client process.

Needs flwr (extra ``federated``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.app import Progress
from edgeai_core.errors import EdgeAIError, InputError
from edgeai_core.learning.checkpoint import load_arrays
from edgeai_core.learning.continual import Samples
from edgeai_core.learning.federated import (
    Client,
    Coordinator,
    Plan,
    flower_or_explain,
    join,
    same_token,
    save_model,
)


def client_of(client: Client, token: str, name: str) -> Any:
    """Return Flower's client around ours."""
    flower = flower_or_explain()

    base: Any = flower.client.NumPyClient

    class _Client(base):
        def fit(self, parameters: Any, config: Any) -> Any:
            """Answer a round: the moments in the first, weights after learning in the others."""
            round_ = int(config["round"])
            arrays = client.moments() if round_ == 0 else client.learn(parameters, round_)
            return list(arrays), len(client), {"token": token, "name": name}

    return _Client().to_client()


def strategy_of(coordinator: Coordinator, token: str, clients: int, progress: Progress, wait_s: float) -> Any:
    """Return Flower's strategy around our coordinator: every client in every round, nothing averaged unchecked."""
    flower = flower_or_explain()
    from flwr.common import FitIns, ndarrays_to_parameters, parameters_to_ndarrays

    base: Any = flower.server.strategy.Strategy

    class _Strategy(base):
        failed: EdgeAIError | None = None

        def initialize_parameters(self, client_manager: Any) -> Any:
            """Begin with the coordinator's weights: no client is asked for any."""
            return ndarrays_to_parameters(coordinator.sent())

        def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
            """Ask every client that is there; in the first round, wait until all are."""
            if self.failed is not None:
                return []
            progress("rounds", server_round - 1, coordinator.plan.rounds + 1)
            if server_round == 1 and not client_manager.wait_for(clients, int(wait_s)):
                self.failed = InputError(
                    f"{client_manager.num_available()} of {clients} clients came within {wait_s:g} s"
                )
                return []
            asked = FitIns(ndarrays_to_parameters(coordinator.sent()), {"round": server_round - 1})
            return [(each, asked) for each in client_manager.all().values()]

        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            """Check tokens, then let the coordinator check and average."""
            updates = []
            for proxy, result in results:
                name = str(result.metrics.get("name", proxy.cid))[:50]
                if not same_token(result.metrics.get("token"), token):
                    coordinator.refused[name] = "does not know the token"
                    continue
                try:
                    arrays = parameters_to_ndarrays(result.parameters)
                except (ValueError, OSError, EOFError) as error:
                    coordinator.refused[name] = f"sent what is no arrays ({type(error).__name__})"
                    continue
                updates.append((name, arrays, int(result.num_examples)))
            try:
                coordinator.take(server_round - 1, updates)
            except EdgeAIError as error:
                lost = f"; {len(failures)} clients failed or fell silent" if failures else ""
                self.failed = InputError(f"round {server_round}: {error}{lost}")
                return None, {}
            progress("rounds", server_round, coordinator.plan.rounds + 1)
            return ndarrays_to_parameters(coordinator.sent()), {}

        def configure_evaluate(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
            """Clients judge nothing: who judges holds samples of others."""
            return []

        def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> Any:
            """Nothing comes."""
            return None, {}

        def evaluate(self, server_round: int, parameters: Any) -> Any:
            """The server holds no samples."""
            return None

    return _Strategy()


def main() -> int:
    """Be the client that standard input describes."""
    told = json.loads(sys.stdin.buffer.read(1 << 20))
    arrays, _ = load_arrays(Path(told["samples"]))
    samples = Samples(
        np.asarray(arrays["features"], np.float32),
        np.asarray(arrays["labels"], np.int64),
        np.asarray(arrays["groups"], np.str_),
    )
    plan = Plan(**told["plan"])
    model = join(samples, plan, told["address"], told["token"], told["name"], wait_s=told["wait_s"])
    if model is not None:
        save_model(model, Path(told["own"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
