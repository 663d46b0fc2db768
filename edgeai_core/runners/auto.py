"""The fastest engine for a model on this machine: measured once, remembered, and never worse than ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.errors import EdgeAIError, ModelError
from edgeai_core.runners.card import ModelCard, pack_card, unpack_card, write_whole
from edgeai_core.runners.machine import this_machine
from edgeai_core.runners.model_file import ModelFile, read_model_file
from edgeai_core.runners.open import Options, backends_for, engine_versions, open_on
from edgeai_core.runners.parity import differences
from edgeai_core.runners.preparing import preparing
from edgeai_core.runners.runner import EngineRunner
from edgeai_core.runners.timing import interleaved, ratios

TIE = 0.02
"""What is not faster by more than this is no faster: then ONNX Runtime as it comes is kept."""

SECONDS = 1.0
"""How long each candidate is measured; the best and the default are measured again for ``_AGAIN`` times that."""

_AGAIN = 3.0

_ATOL, _RTOL = 1e-3, 1e-3
"""How near engines must come on noise, of a model without golden vectors; ``atol`` in units of the largest output."""

_PATIENCE_S = 1800.0
_TRIES = 8

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Candidate:
    """An engine with its options."""

    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.backend} with memory arena" if self.options.get("memory_arena") else self.backend


@dataclass(frozen=True)
class Trial:
    """How a candidate fared: the median of its calls and its time by that of the first, or why it is out."""

    candidate: str
    p50_ms: float | None = None
    ratio: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class Answer:
    """Which engine is fastest for a model here, and what was measured."""

    choice: Candidate
    trials: tuple[Trial, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Answer:
        """Take it back. Raises ValueError, KeyError or TypeError for values that are no answer."""
        choice = Candidate(str(value["choice"]["backend"]), dict(value["choice"]["options"]))
        if choice.options.keys() - {"memory_arena", "memory_pattern"} or not all(
            isinstance(on, bool) for on in choice.options.values()
        ):
            raise ValueError("options that no answer has")
        return cls(choice, tuple(Trial(**trial) for trial in value["trials"]))


def open_fastest(
    model: Path,
    card: ModelCard | Path | None,
    threads: int,
    cache: Path | None,
    options: Options,
    *,
    measure: bool,
) -> EngineRunner:
    """Open a model on the engine that was found fastest here; until one was, ``measure`` or take ONNX Runtime.

    ``options`` go to the engine where it is ONNX Runtime. An engine that was found and now fails (a driver that
    is gone, say) gives way to ONNX Runtime.
    """
    folder = cache_folder(cache)
    file = read_model_file(model, card, **{k: v for k, v in options.items() if k == "max_bytes"})
    default = candidates(model)[0]
    answer = recall(file, threads, folder)
    if answer is None and measure:
        answer = find_fastest(model, card, threads, cache)
    choice = default if answer is None else answer.choice
    compiled = folder / "compiled" if (folder / "compiled").is_dir() else None
    if choice.backend != default.backend:
        try:
            kept = {name: value for name, value in options.items() if name in ("warm_up", "max_bytes")}
            return open_on(choice.backend, model, card, threads, compiled, {**kept, **choice.options})
        except EdgeAIError:
            choice = default
    return open_on(choice.backend, model, card, threads, None, {**choice.options, **options})


def find_fastest(
    model: Path,
    card: ModelCard | Path | None = None,
    threads: int = 1,
    cache: Path | None = None,
    report: Report = lambda what, done, total: None,
    seconds: float = SECONDS,
) -> Answer:
    """Measure every candidate for ``seconds`` in a process apart, remember the answer, and return it.

    An engine that kills that process (for an instruction this processor lacks, say) is out, and the rest are
    measured without it. Raises ModelError where the model runs on no engine.
    """
    file = read_model_file(model, card)
    folder = cache_folder(cache)
    dead: dict[str, str] = {}
    with preparing(folder, f"{file.card.name} {file.card.version}"):
        for _ in range(_TRIES):
            answer, died = _measure_apart(file, card, threads, seconds, dead, report)
            if answer is not None:
                write_whole(_place(file, threads, folder), json.dumps(answer.to_json(), indent=1).encode())
                return answer
            dead.update(died)
    raise ModelError(f"{model}: no engine of this machine survives it: {'; '.join(dead.values())}")


def compile_for(
    answer: Answer, model: Path, card: ModelCard | Path | None, threads: int, cache: Path | None
) -> None:
    """Let the chosen engine compile the model now, into the cache, where it is one that compiles."""
    if answer.choice.backend in ("openvino", "tensorrt", "onnx-openvino"):
        folder = cache_folder(cache)
        (folder / "compiled").mkdir(mode=0o700, parents=True, exist_ok=True)
        with preparing(folder, f"{model.name} for {answer.choice}"):
            open_on(answer.choice.backend, model, card, threads, folder / "compiled", answer.choice.options)


def recall(file: ModelFile, threads: int, folder: Path) -> Answer | None:
    """Return what was found for this very model, machine, engines and threads; None where nothing was."""
    try:
        return Answer.from_json(json.loads(_place(file, threads, folder).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never measured, or no longer readable: it can be measured again


def candidates(model: Path) -> list[Candidate]:
    """Return what is measured for a model, the default first. Raises ModelError where nothing runs it."""
    found = [Candidate(name) for name in backends_for(model)]
    if not found:
        raise ModelError(
            f"{model}: no engine that is installed runs {model.suffix or 'such'} files; for .tflite: "
            f"pip install 'edgeai[litert]'"
        )
    if found[0].backend == "onnx":
        found.insert(1, Candidate("onnx", {"memory_arena": True, "memory_pattern": True}))
    return found


def cache_folder(cache: Path | None) -> Path:
    """Return where answers and compiled models are kept: in the state's cache unless told otherwise."""
    if cache is None:
        from edgeai_core.state import find_state

        cache = find_state().cache
    return cache / "engines"


def _place(file: ModelFile, threads: int, folder: Path) -> Path:
    known = {
        "model": file.card.digest, "threads": threads, "engines": engine_versions(), "machine": this_machine().key()
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return folder / f"{key[:32]}.json"


def _measure_apart(
    file: ModelFile,
    card: ModelCard | Path | None,
    threads: int,
    seconds: float,
    dead: Mapping[str, str],
    report: Report,
) -> tuple[Answer | None, dict[str, str]]:
    """Return the answer of a child process, or which candidate it died of."""
    asked = {
        "model": str(file.path), "card": pack_card(card), "threads": threads, "seconds": seconds, "dead": dict(dead)
    }  # fmt: skip
    command = [sys.executable, "-m", "edgeai_core.runners.auto", json.dumps(asked)]
    trying, last = "", ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            word, _, rest = line.partition(" ")
            if word == "trying":
                trying = rest.strip()
            elif word == "share":
                report(f"measuring {file.card.name}", round(float(rest)), 100)
            elif word == "answer":
                last = rest
    if last:
        told = json.loads(last)
        if "error" in told:
            raise ModelError(told["error"])
        return Answer.from_json(told), {}
    code = child.returncode
    why = f"signal {-code}" if code < 0 else f"exit code {code}"
    if not trying or trying in dead:
        raise ModelError(f"{file.path}: the process that measures engines ended with {why}")
    return None, {trying: f"{trying} ends its process with {why}"}


def _tell(word: str, rest: object) -> None:
    sys.stdout.write(f"{word} {rest}\n")
    sys.stdout.flush()


def _compare(asked: Mapping[str, Any]) -> Answer:
    """Open every candidate, hold its answers against the first's, and let all take turns."""
    model, card, threads = Path(asked["model"]), unpack_card(asked["card"]), int(asked["threads"])
    file = read_model_file(model, card)
    inputs = file.example()
    runners: dict[str, EngineRunner] = {}
    refused: dict[str, str] = dict(asked["dead"])
    known = {str(each): each for each in candidates(model)}
    wanted: dict[str, np.ndarray] | None = None
    for name, each in known.items():
        if name in refused:
            continue
        _tell("trying", name)
        try:
            runner = open_on(each.backend, model, card, threads, None, each.options)
            if runner.description.fallback:
                raise ModelError(runner.description.fallback)
            outputs = runner.run(inputs)
            if wanted is None:
                wanted = outputs
            _check_agreement(name, outputs, wanted)
        except EdgeAIError as error:
            refused[name] = str(error).removeprefix(f"{model}: ")
        else:
            runners[name] = runner
    if not runners:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise ModelError(f"{model}: no engine runs it: {reasons}")
    return _race(known, runners, refused, inputs, float(asked["seconds"]))


def _race(
    known: Mapping[str, Candidate],
    runners: Mapping[str, EngineRunner],
    refused: Mapping[str, str],
    inputs: Mapping[str, np.ndarray],
    seconds: float,
) -> Answer:
    calls = {name: lambda r=runner: r.run(inputs) for name, runner in runners.items()}
    first = next(iter(calls))
    begun = time.monotonic()
    total_s = seconds * (len(calls) + 2 * _AGAIN * (len(calls) > 1))

    def share(_: float) -> None:
        _tell("share", min(99.0, 100 * (time.monotonic() - begun) / total_s))

    times = interleaved(calls, seconds * len(calls), report=share)
    found = ratios(times, first)
    if len(calls) > 1:  # the best against the default once more, for the best of many is partly luck
        best = min((name for name in found if name != first), key=lambda name: found[name])
        times |= interleaved(
            {name: calls[name] for name in (first, best)}, 2 * _AGAIN * seconds, report=share
        )
        found |= ratios({name: times[name] for name in (first, best)}, first)
        choice = best if found[best] < 1 - TIE else first
    else:
        choice = first
    trials = [Trial(n, float(np.median(times[n])) / 1e6, found[n]) for n in runners]
    trials += [Trial(name, refused=reason) for name, reason in refused.items()]
    return Answer(known[choice], tuple(trials))


def _check_agreement(name: str, outputs: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    scale = max(
        (float(np.nanmax(np.abs(each.astype(float)))) for each in wanted.values() if each.size), default=1.0
    )
    atol = _ATOL * (scale if np.isfinite(scale) and scale > 0 else 1.0)
    for worst in differences(outputs, wanted, atol, _RTOL, name):
        if worst.tolerances > 1:
            raise ModelError(f"{name} disagrees with the default engine: {worst}")


if __name__ == "__main__":
    try:
        _tell("answer", json.dumps(_compare(json.loads(sys.argv[1])).to_json()))
    except EdgeAIError as error:
        _tell("answer", json.dumps({"error": str(error)}))
