"""Which model a command means: by the name of one that an app names, or by its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_core.app import app_names, load_app
from edgeai_core.errors import ConfigError, EdgeAIError, ModelError
from edgeai_core.state import State

if TYPE_CHECKING:
    from edgeai_core.runners.card import ModelCard

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name that `edgeai model list` shows, or the path of an .onnx, .tflite or .xml file.",
    ),
]
_SUFFIXES = (".onnx", ".tflite", ".xml")

ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, help="Threads that one call may use, cut to the device's budget.")
]


@dataclass(frozen=True)
class Found:
    """A model's file, the file of its card, and the card."""

    path: Path
    card_path: Path
    card: ModelCard


@contextmanager
def find_model(name: str, state: State) -> Iterator[Found]:
    """Find a model by name or path. A file without a card gets a bare one, which lives as long as the context.

    Raises ConfigError for a name that nobody knows, and ModelError for a model that is not here or cannot be read.
    """
    path = Path(name)
    if path.suffix in _SUFFIXES or path.exists():
        with TemporaryDirectory(prefix="edgeai-") as folder:
            yield _by_path(path, Path(folder))
        return
    yield _by_name(name, state)


def models_of(name: str, state: State) -> Iterator[Found]:
    """Return the models of an app that are here, else the one model of that name or path."""
    if name not in app_names():
        with find_model(name, state) as found:
            yield found
        return
    for card_path, card in named_cards((name,)):
        place = _place(card_path, card, state)
        if place is not None and place.suffix in _SUFFIXES:
            yield Found(place, card_path, card)


def named_cards(names: tuple[str, ...] | None = None) -> list[tuple[Path, ModelCard]]:
    """Return the cards of the models that installed apps name, with where they lie."""
    from edgeai_core.runners.card import read_card

    found = []
    for app_name in app_names() if names is None else names:
        try:
            paths = load_app(app_name).models
        except EdgeAIError:
            if names is not None:
                raise
            continue  # `edgeai apps` says why
        found += [(path, read_card(path)) for path in paths]
    return found


def _by_path(path: Path, folder: Path) -> Found:
    from edgeai_core.runners.bare import bare_card
    from edgeai_core.runners.card import card_path, read_card, write_card

    beside = card_path(path)
    if beside.is_file():
        return Found(path, beside, read_card(beside))
    card = bare_card(path)
    written = folder / beside.name
    write_card(card, written)
    return Found(path, written, card)


def _by_name(name: str, state: State) -> Found:
    cards = named_cards()
    named = {card.name: (path, card) for path, card in cards}
    if name not in named:
        raise ConfigError(
            f"no installed app names a model {name!r}, and it is no .onnx, .tflite or .xml file "
            f"(there are: {', '.join(sorted(named)) or 'none'})"
        )
    card_path, card = named[name]
    place = _place(card_path, card, state)
    if place is None:
        raise ModelError(f"model {name} is not here; `edgeai model fetch {name}` gets it")
    if place.suffix not in _SUFFIXES:
        raise ModelError(f"model {name} is a {place.suffix} file, which its app runs itself; no engine does")
    return Found(place, card_path, card)


def _place(card_path: Path, card: ModelCard, state: State) -> Path | None:
    from edgeai_core.runners.fetch import fetched_path

    places = (card_path.with_name(card.file), fetched_path(state.models, card))
    return next((place for place in places if place.is_file()), None)
