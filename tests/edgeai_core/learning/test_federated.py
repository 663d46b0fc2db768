"""Learning together: over a real Flower server and client processes it gives what the arithmetic gives."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeai_core.errors import ConfigError, InputError, MissingExtraError
from edgeai_core.learning import federated
from edgeai_core.learning.averaging import PUBLISHED_MIX
from edgeai_core.learning.continual import Samples
from edgeai_core.learning.federated import Coordinator, Plan, in_process, load_model, save_model, serve
from edgeai_core.learning.federated_evaluation import divided, evaluate_federated
from edgeai_core.learning.federated_options import FederatedOptions
from edgeai_core.learning.mlp import fresh_weights, logits

needs_flower = pytest.mark.skipif(
    find_spec("flwr") is None, reason="flwr is not installed (extra `federated`)"
)


def patients(count: int, seed: int = 0, each: int = 60) -> Samples:
    """Two kinds that three features tell apart, and patients who differ in a fourth."""
    random = np.random.default_rng(seed)
    features, labels, groups = [], [], []
    for number in range(count):
        label = np.arange(each) % 2
        own = random.normal(0, 1, (each, 5))
        own[:, :3] += (2.0 * label - 1)[:, None]
        own[:, 4] += random.normal(0, 3)
        features.append(own)
        labels.append(label)
        groups.append(np.full(each, f"p{number}"))
    return Samples(
        np.concatenate(features).astype(np.float32), np.concatenate(labels), np.concatenate(groups)
    )


def quiet(what: str, done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("mix", [1.0, PUBLISHED_MIX])
def test_what_is_learnt_together_is_known_to_patients_nobody_had(mix: float) -> None:
    parts, unseen = divided(patients(8), 4, 0), patients(4, seed=1)
    outcome = in_process(parts, Plan(rounds=8, mix=mix, hidden=8, learning_rate=1e-2), 2)
    called = logits(outcome.common.weights, outcome.common.scaled(unseen.features)).argmax(axis=1)
    assert (called == unseen.labels).mean() > 0.85
    assert len(outcome.own) == 4
    assert outcome.refused == ()


def test_no_patient_is_with_two_clients() -> None:
    parts = divided(patients(9), 4, 3)
    names = [set(part.groups.tolist()) for part in parts]
    assert sum(map(len, names)) == len(set().union(*names)) == 9
    with pytest.raises(InputError, match="cannot be divided among 4"):
        divided(patients(3), 4, 0)


def test_a_client_that_sends_nonsense_stays_out_of_the_average() -> None:
    plan = Plan(hidden=4)
    coordinator = Coordinator(plan, 5, 2)
    good = fresh_weights(5, 4, 2, 1)
    bad = tuple(np.full_like(each, np.nan) for each in good)
    coordinator.take(1, [("a", good, 50), ("b", good, 50), ("c", bad, 50), ("d", good, 3)])
    assert all(np.allclose(got, each) for got, each in zip(coordinator.model.weights, good, strict=True))
    assert coordinator.refused["c"].endswith("not finite")
    assert coordinator.refused["d"].startswith("stands on 3 samples")
    coordinator.take(2, [("a", good, 50), ("b", good, 50), ("c", good, 50)])
    assert "c" in coordinator.refused  # who was refused once is not believed again
    with pytest.raises(InputError, match=r"1 clients may be averaged, two are the least.*c sent"):
        coordinator.take(3, [("a", good, 50), ("c", good, 50)])


def test_the_evaluation_names_every_way_with_its_interval() -> None:
    options = FederatedOptions(clients=3, rounds=4, folds=2, hidden=8, network=False)
    evaluation = evaluate_federated("toy.kinds", patients(10), options, quiet)
    figures = evaluation.figures
    for way in ("pooled", "federated", "own", "alone"):
        each = figures[f"balanced_accuracy_{way}"]
        assert each.value is not None
        assert each.low is not None
        assert each.low <= each.value
        assert each.n == 600
    assert figures["refused_clients"].value == 0
    json.dumps(evaluation.to_json())


@pytest.mark.parametrize("mix", ["fed", "0", "1.5", "nan", "-0.2"])
def test_a_mix_that_is_no_share_is_refused(mix: str) -> None:
    with pytest.raises(ValueError, match=r"neither fedavg|no share"):
        FederatedOptions(mix=mix)


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    model = in_process(divided(patients(4), 2, 0), Plan(rounds=1, hidden=3), 2).common
    save_model(model, tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, again.weights, strict=True))


@needs_flower
def test_an_update_without_the_token_or_without_arrays_is_not_averaged() -> None:
    federated.flower_or_explain()
    from flwr.common import Parameters, ndarrays_to_parameters

    from edgeai_core.learning.flower import strategy_of

    plan = Plan(hidden=4)
    coordinator = Coordinator(plan, 5, 2)
    good = fresh_weights(5, 4, 2, 1)
    sent = ndarrays_to_parameters(list(good))
    answers = [
        ("a", "secret", sent),
        ("b", "secret", sent),
        ("stranger", "guess", ndarrays_to_parameters([each + 9 for each in good])),
        ("broken", "secret", Parameters(["no array"], "numpy.ndarray")),
    ]
    answers[3][2].tensors[0] = b"no array"
    results = [
        (
            SimpleNamespace(cid=name),
            SimpleNamespace(metrics={"token": token, "name": name}, parameters=arrays, num_examples=50),
        )
        for name, token, arrays in answers
    ]
    strategy = strategy_of(coordinator, "secret", 4, quiet, 1.0)
    strategy.aggregate_fit(2, results, [])
    assert strategy.failed is None
    assert all(np.allclose(got, each) for got, each in zip(coordinator.model.weights, good, strict=True))
    assert coordinator.refused["stranger"] == "does not know the token"
    assert coordinator.refused["broken"].startswith("sent what is no arrays")
    strategy.aggregate_fit(3, results[2:], [TimeoutError()])
    assert "two are the least" in str(strategy.failed)
    assert "1 clients failed or fell silent" in str(strategy.failed)


@needs_flower
def test_beyond_this_machine_nothing_is_served_without_tls() -> None:
    with pytest.raises(ConfigError, match="encrypted only"):
        serve(Coordinator(Plan(), 5, 2), "0.0.0.0:9092", "t", 2, quiet)


def test_without_flower_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)
    with pytest.raises(MissingExtraError, match=r"edgeai\[federated\]"):
        federated.flower_or_explain()


PROGRAM = """
import sys
import numpy as np
sys.path[:0] = [{tests!r}]
from test_federated import divided, patients, quiet
from edgeai_core.learning.federated import Plan, in_process, over_loopback

parts, plan = divided(patients(4), 2, 0), Plan(rounds=2, hidden=4, mix=0.2)
there, here = over_loopback(parts, plan, 2, quiet), in_process(parts, plan, 2)
assert there.refused == () and len(there.own) == 2, there
for one, other in ((there.common, here.common), *zip(there.own, here.own)):
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights))
print("the same")
"""


@needs_flower
@pytest.mark.system
def test_two_client_processes_and_a_server_on_loopback_learn_the_same_bit_by_bit() -> None:
    # In a process of its own: Flower takes over signal handlers, and its imports warn.
    program = PROGRAM.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("the same")
