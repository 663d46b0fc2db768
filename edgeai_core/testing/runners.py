"""The contract of runners, as a check: it raises ContractError that says what is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeai_core.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    from edgeai_core.runners.runner import Runner

from edgeai_core.testing.contract import broken, kind_of


def check_runner(runner: Runner, inputs: Mapping[str, np.ndarray]) -> None:
    """Check that a runner gives what its card says for ``inputs``, the same twice, and refuses what is wrong."""
    import numpy as np

    before = {name: array.copy() for name, array in inputs.items()}
    outputs = runner.run(inputs)
    for name, array in before.items():
        if not np.array_equal(array, inputs[name], equal_nan=array.dtype.kind == "f"):
            broken(f"{kind_of(runner)}.run changed its input {name!r}")
    promised = {spec.name: spec for spec in runner.card.outputs}
    if set(outputs) != set(promised):
        broken(f"{kind_of(runner)}.run gave {sorted(outputs)}; its card says {sorted(promised)}")
    for name, spec in promised.items():
        array = outputs[name]
        fits = len(array.shape) == len(spec.shape) and all(
            isinstance(size, str) or size == actual
            for size, actual in zip(spec.shape, array.shape, strict=True)
        )
        if str(array.dtype) != spec.dtype or not fits:
            broken(f"{kind_of(runner)}: output is {array.dtype}{list(array.shape)}; its card says {spec}")
    for name, array in runner.run(inputs).items():
        if not np.array_equal(array, outputs[name], equal_nan=array.dtype.kind == "f"):
            broken(f"{kind_of(runner)}: the same input gave another {name!r} the second time")
    some = next(iter(inputs))
    wrong: dict[str, dict[str, Any]] = {
        "a missing input": {name: array for name, array in inputs.items() if name != some},
        "an unknown input": {**inputs, "no_such_input": inputs[some]},
        "another dtype": {**inputs, some: inputs[some].astype("complex128")},
        "another number of dimensions": {**inputs, some: inputs[some][None]},
    }
    for what, given in wrong.items():
        try:
            runner.run(given)
        except ModelError:
            continue
        except Exception as error:
            broken(f"{kind_of(runner)} raised {kind_of(error)} for {what}; it raises ModelError")
        broken(f"{kind_of(runner)} took {what}; it raises ModelError")
