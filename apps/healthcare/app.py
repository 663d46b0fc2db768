"""The healthcare app: bedside monitoring and imaging triage. Its loops, configuration, tasks and panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from apps.healthcare.config import HealthcareConfig
from apps.healthcare.ecg.loop import BEAT_MODEL, MODEL, ecg_loop, ecg_source, simulated_heart
from apps.healthcare.ecg.options import ContinualOptions, EvaluateOptions, FederatedOptions, TrainOptions
from apps.healthcare.imaging import options as imaging_options
from apps.healthcare.imaging.inbox import MAX_STUDY_BYTES
from apps.healthcare.imaging.loop import GATE, NETWORKS, imaging_loop, study_source
from apps.healthcare.vitals.loop import vitals_loop, vitals_source
from apps.healthcare.vitals.options import EvaluateOptions as EvaluateVitalsOptions
from edgeai_core.app import App, Panel, Progress, Task
from edgeai_core.errors import ConfigError
from edgeai_core.loop.spec import LoopSpec

_PAGE = Path(__file__).parent / "page"


def loops(config: HealthcareConfig) -> Sequence[LoopSpec[Any]]:
    """Return the app's loops."""
    return (
        ecg_loop(config.ecg),
        vitals_loop(
            config.vitals, partial(simulated_heart, config.ecg.simulation) if _one_heart(config) else None
        ),
        imaging_loop(config.imaging),
    )


def _one_heart(config: HealthcareConfig) -> bool:
    """Whether the simulated ECG and the simulated vital signs are of one patient."""
    return config.ecg.recording is None and config.ecg.patient == config.vitals.patient


def inputs(config: HealthcareConfig, paths: Mapping[str, str]) -> HealthcareConfig:
    """Return the configuration with recordings in place of the simulation, by the name of the loop.

    Raises ConfigError for a loop that the app does not have, InputError for a path that holds no recording.
    """
    unknown = sorted(set(paths) - {"ecg", "vitals", "imaging"})
    if unknown:
        raise ConfigError(
            f"healthcare has no recordings for {', '.join(unknown)}; it has them for ecg, vitals, imaging"
        )
    if "ecg" in paths:
        ecg = config.ecg.model_copy(update={"recording": Path(paths["ecg"])})
        ecg_source(ecg).check()
        config = config.model_copy(update={"ecg": ecg})
    if "vitals" in paths:
        vitals = config.vitals.model_copy(update={"recording": Path(paths["vitals"])})
        vitals_source(vitals).check()
        config = config.model_copy(update={"vitals": vitals})
    if "imaging" in paths:
        imaging = config.imaging.model_copy(update={"recording": Path(paths["imaging"])})
        study_source(imaging)
        config = config.model_copy(update={"imaging": imaging})
    return config


def router(config: HealthcareConfig) -> object:
    """Return the app's own routes; FastAPI is imported only now."""
    from fastapi import APIRouter

    from apps.healthcare.ecg.routes import strips_router
    from apps.healthcare.imaging.routes import studies_router
    from apps.healthcare.vitals.routes import observations_router

    joined = APIRouter()
    joined.include_router(observations_router(config.vitals.patient))
    joined.include_router(studies_router(config.imaging))
    joined.include_router(strips_router())
    return joined


def evaluate_ecg(options: EvaluateOptions, progress: Progress) -> object:
    """Measure the ECG loop on WFDB records; its libraries are imported only now."""
    from apps.healthcare.ecg.evaluate import evaluate

    return evaluate(options, progress)


def evaluate_vitals(options: EvaluateVitalsOptions, progress: Progress) -> object:
    """Measure the vitals loop on simulated patients; its libraries are imported only now."""
    from apps.healthcare.vitals.evaluate import evaluate

    return evaluate(options, progress)


def train_ecg(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Train the ECG loop's models (extra ``train``); its libraries are imported only now."""
    from apps.healthcare.ecg.train import train

    return train(options, progress)


def learn_ecg(options: ContinualOptions, progress: Progress) -> object:
    """Learn a new patient on this device; its libraries are imported only now."""
    from apps.healthcare.ecg.adapt import continual

    return continual(options, progress)


def federate_ecg(options: FederatedOptions, progress: Progress) -> object:
    """Return windows of records by patient, for clients to learn from; its libraries are imported only now."""
    from apps.healthcare.ecg.spectra import federated

    return federated(options, progress)


def evaluate_imaging(options: imaging_options.EvaluateOptions, progress: Progress) -> object:
    """Measure a network of the imaging loop on labelled pictures; its libraries are imported only now."""
    from apps.healthcare.imaging.evaluate import evaluate

    return evaluate(options, progress)


def train_imaging(options: imaging_options.TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Train a network of the imaging loop (extra ``train``); its libraries are imported only now."""
    from apps.healthcare.imaging.train import train

    return train(options, progress)


app = App(
    name="healthcare",
    summary="Bedside monitoring: rhythms that need a person at once, vital signs and NEWS2; triage of images",
    config=HealthcareConfig,
    loops=loops,
    inputs=inputs,
    tasks=(
        Task(
            "ecg",
            "beats, rhythms and alerts on WFDB records",
            evaluate_ecg,
            EvaluateOptions,
            train_ecg,
            TrainOptions,
            continual=learn_ecg,
            continual_options=ContinualOptions,
            federated=federate_ecg,
            federated_options=FederatedOptions,
        ),
        Task("vitals", "alarms on simulated patients", evaluate_vitals, EvaluateVitalsOptions),
        Task(
            "imaging",
            "findings on chest films, chest CT and brain MR slices, from a folder of labelled pictures",
            evaluate_imaging,
            imaging_options.EvaluateOptions,
            train_imaging,
            imaging_options.TrainOptions,
        ),
    ),
    router=router,
    panels=(
        Panel("ecg", "ECG", _PAGE / "ecg.js", ("healthcare.ecg/ecg",)),
        Panel("vitals", "Vital signs", _PAGE / "vitals.js", ("healthcare.vitals/vitals",)),
        Panel("imaging", "Imaging worklist", _PAGE / "imaging.js", ("healthcare.imaging/study",)),
    ),
    demo={"ecg.repeat": "true", "vitals.repeat": "true"},
    models=(
        MODEL.with_suffix(".card.toml"),
        BEAT_MODEL.with_suffix(".card.toml"),
        *(path.with_suffix(".card.toml") for path in (GATE, *NETWORKS.values())),
    ),
    bodies={"/studies": MAX_STUDY_BYTES},
)
