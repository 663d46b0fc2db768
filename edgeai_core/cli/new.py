"""``edgeai new``: a vertical of your own, complete and tested, to change from there."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from edgeai_core.app import app_names
from edgeai_core.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")


def new(
    name: Annotated[str, typer.Argument(help="The app's name: lower-case letters, digits, underscores.")],
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where to write it. Else ./NAME.")
    ] = None,
) -> None:
    """Write a vertical with one loop, one source, an alert and its test, ready to install."""
    folder = directory or Path(name)
    write_vertical(name, folder)
    typer.echo(f"{folder}: written. Next:")
    typer.echo(f"  pip install -e {folder}")
    typer.echo(f"  python -m pytest {folder}")
    typer.echo(f"  edgeai run {name} --serve 127.0.0.1:8080")


def write_vertical(name: str, folder: Path) -> None:
    """Write the template under ``folder``. Raises ConfigError for a bad or taken name, or a folder in use."""
    if not _NAME.match(name) or keyword.iskeyword(name):
        raise ConfigError(f"{name!r} cannot name an app: use lower-case letters, digits and underscores")
    if name in app_names():
        raise ConfigError(f"an app named {name!r} is installed already; choose another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already and not empty; name another with --dir")
    try:
        _copy(files("edgeai_core.cli").joinpath("template"), folder, name)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error


def _copy(source: Traversable, target: Path, name: str) -> None:
    """Copy a tree; ``NAME`` in paths and ``{{name}}`` in texts become the app's name."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        destination = target / entry.name.replace("NAME", name).removesuffix(".template")
        if entry.is_dir():
            _copy(entry, destination, name)
        elif entry.name.endswith(".template"):
            title = name.replace("_", " ").capitalize()
            text = entry.read_text(encoding="utf-8").replace("{{name}}", name).replace("{{title}}", title)
            destination.write_text(text, encoding="utf-8")
