"""Training: a folder of labelled pictures -> a network with its card, calibrated on pictures that it had not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from apps.healthcare.imaging.options import TrainOptions
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.state import find_state

TASK = "healthcare.imaging"

INTENDED_USE = {
    "xray": "Frontal chest films: pneumonia or normal, to order a worklist. Not a medical device; not cleared by any "
    "authority.",
    "ct": "Axial chest CT slices in the lung window: COVID-19 or not, to order a worklist. Not a medical device; not "
    "cleared by any authority.",
    "mri": "Brain MR slices: glioma, meningioma, pituitary tumour or none, to order a worklist. Not a medical device; "
    "not cleared by any authority.",
}

LIMITS = {
    "xray": (
        "Measured: with the lungs blanked and only the outer seventh of the film left it still tells the classes apart "
        "(see benchmarks.imaging_confounders). It reads the source of a film as well as the lungs; its figures say "
        "little about other hospitals, and its map often peaks at shoulders and markers.",
        "Resolution: 224 x 224 pixels, squeezed to a square whatever the film's shape.",
        "Collection: films of children of 1 to 5 years from one hospital (Guangzhou; Kermany et al., 2018), one film a "
        "patient. It is untried on adults and on films of other hospitals, where models of these films were at chance.",
        "Confounders: films with pneumonia are wider, smaller, more tightly cut and carry other letters than normal "
        "ones; all of it was varied in training, but the two classes still come from different years and habits. "
        "Normal films of other years look more like pneumonia than those of training do.",
        "Pneumonia by bacteria and by virus are one class. COVID-19 was never in the films.",
        "Frontal films only; lateral ones are refused only where the file says that they are.",
    ),
    "ct": (
        "Resolution: 224 x 224 pixels; the slices are figures cut from publications, at most 224 pixels wide.",
        "Collection: COVID-CT (Yang et al., 2020), few hundred slices from many publications and one teaching archive.",
        "Confounders: slices with COVID-19 and without come from different publications, windows and crops, and some "
        "carry arrows and letters; these were varied in training, but origin and disease stay entangled.",
        "Method: support vector machines on what a network for photographs sees; nothing of it was learned from CT. Of "
        "slices of other publications it calls about one in five wrong: an order for a worklist at most.",
        "One slice is judged, not a study; what lies in other slices is not seen.",
    ),
    "mri": (
        "Resolution: 224 x 224 pixels, from slices of at most 192; the head alone, brought to one size.",
        "Collection: two public folders of slices without patient numbers. Tumours are contrast-enhanced T1 of one "
        "source; slices without a tumour are of many sources and weightings.",
        "Confounders: size, margins, captions and weighting go with the classes. Margins and captions are masked, size "
        "is evened out, grey levels were exchanged between classes in training; the weighting can still be read from "
        "the anatomy that it shows.",
        "One slice is judged, not a study. Tumours other than the three named are not known to it.",
    ),
}

PREPROCESSING = (
    "apps.healthcare.imaging.preprocess.prepare: frame cut off, grey levels stretched (percentiles 1 and 99; of MR the "
    "head's 99.5), squeezed to 224 x 224 (area)"
)


def train(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Train one network and write model and card.

    Temperature, threshold and the card's figures come from a network that had not seen what it was judged on: the
    split ``val`` where the folder has one, else folds by group. The final network is taught on everything, unless
    ``leave_val`` keeps the split val out of it.
    With a ``teacher`` a small network learns from it, and never from the split ``val``.
    Raises InputError where the data are too few or copies lie across splits.
    """
    if options.modality == "gate":
        from apps.healthcare.imaging.gate_training import train_gate

        return train_gate(options, progress)
    from apps.healthcare.imaging.crossfit import calibrate, calls, out_of_fold
    from apps.healthcare.imaging.datasets import CLASSES, check_apart, join_look_alikes, load
    from apps.healthcare.imaging.export import write_model
    from apps.healthcare.imaging.figures import Judgements, figures
    from apps.healthcare.imaging.methods import METHODS
    from apps.healthcare.imaging.student_training import taught_by
    from apps.healthcare.imaging.training import EPOCHS, Recipe, enough, rows_of
    from edgeai_core.metrics.calibration import softmax
    from edgeai_core.runners.card import CardFigure, TrainingData

    modality = options.modality
    dataset = load(options.data, modality, progress)
    check_apart(dataset)
    dataset = join_look_alikes(dataset)
    small = options.teacher is not None
    if small and not len(rows_of(dataset, ("val",))):
        raise InputError(
            f"{options.data}: a network that learns from another is judged on a split val that the other did not see; "
            "there is none"
        )
    method = METHODS[modality] if options.teacher is None else taught_by(options.teacher)
    recipe = Recipe(options.epochs or EPOCHS[modality], options.seed, options.threads)
    stem = f"{modality}-small" if small else modality
    path = (options.output or find_state().create().models / TASK / options.version) / f"{stem}.onnx"
    with work_folder(options.work) as work:
        kept = method.features(dataset, options.copies, options.seed, work, progress)
        if len(rows_of(dataset, ("test",))):
            raise InputError(
                f"{options.data}: a split test is for evaluation; take it out of the folder to train"
            )
        everything = np.arange(len(dataset.items))
        judged_on = rows_of(dataset, ("val",))
        if len(judged_on):
            how = "calibrated on split val by a network taught on the rest"
            rest = np.setdiff1d(everything, judged_on)
            network = method.teach(kept, dataset.labels, rest, modality, recipe, progress, "training")
            logits = method.predict(network, kept, judged_on)
        else:
            enough(dataset, options.folds)
            how = f"calibrated in {options.folds} folds by group"
            judged_on = everything
            logits = out_of_fold(dataset, kept, recipe, options.folds, progress, work=options.work).logits
        if (options.leave_val or small) and not how.endswith("group"):
            how += "; the final network too never saw val"
        else:
            how += "; the final network was taught on everything"
            network = method.teach(
                kept, dataset.labels, everything, modality, recipe, progress, "training on all"
            )
    labels = dataset.labels[judged_on]
    calibration = calibrate(logits, labels, modality)
    shares = softmax(logits, calibration.temperature)
    ill = 1 - shares[:, 0]
    judged = Judgements(
        labels,
        calls(shares, calibration.threshold),
        shares,
        (ill < calibration.grey_low) | (ill >= calibration.grey_high),
        [dataset.items[row].group for row in judged_on],
        CLASSES[modality],
    )
    measured = figures(judged)
    command = f"edgeai train {TASK} --modality {modality} --data {options.data.name}"
    command += (
        f" --epochs {recipe.epochs} --copies {options.copies} --folds {options.folds} --seed {options.seed}"
    )
    if options.teacher is not None:
        command += f" --teacher {options.teacher.name}"
    card = write_model(
        network,
        path,
        {"logits": (len(CLASSES[modality]),), "evidence": (len(CLASSES[modality]), 7, 7)},
        name=f"imaging-{stem}",
        version=options.version,
        intended_use=INTENDED_USE[modality],
        limits=(
            *(LIMITS[modality] if not small else _limits_of_small(modality)),
            "Not a medical device. A person qualified to do so reads every study.",
        ),
        classes=CLASSES[modality],
        parameters={
            "temperature": calibration.temperature,
            "threshold": calibration.threshold,
            "grey_low": calibration.grey_low,
            "grey_high": calibration.grey_high,
            **({} if options.teacher is None else _derived(options.teacher)),
        },
        data=[TrainingData(dataset.name, "a folder of labelled pictures", "none stated", split=how)],
        figures={name: CardFigure.of(f, command) for name, f in measured.items() if f.value is not None},
        preprocessing=PREPROCESSING,
    )
    return {
        "model": str(path),
        "card": str(card),
        "data": dataset.ref().to_json(),
        "figures": {name: figure.to_json() for name, figure in measured.items()},
    }


def _limits_of_small(modality: str) -> tuple[str, ...]:
    seen = "Resolution: 112 x 112 pixels, averaged from the 224 x 224 that the large network sees."
    learnt = "It learnt from the large network: what that one takes for a sign, this one does too."
    return (seen, learnt, *(each for each in LIMITS[modality] if not each.startswith("Resolution:")))


def _derived(teacher: Path) -> Mapping[str, str]:
    from edgeai_core.learning.distillation import ALPHA, TEMPERATURE
    from edgeai_core.runners.card import card_path, read_card

    return {
        "derived_from": read_card(card_path(teacher)).digest,
        "derived_method": f"distillation, temperature {TEMPERATURE:g}, alpha {ALPHA:g}",
    }


@contextmanager
def work_folder(kept: Path | None) -> Iterator[Path]:
    """Give a folder for what can be made again: the one that is kept, or one for this run."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with TemporaryDirectory(prefix="edgeai-imaging-") as folder:
        yield Path(folder)
