"""Configuration of an app: flags, then the environment, then a TOML file, then defaults; unknown keys refused."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from edgeai_core.app import App, app_names
from edgeai_core.errors import ConfigError

_PREFIX = "EDGEAI_"
_MAX_FILE_BYTES = 1 << 20
_MAX_SHOWN = 100


def load_config(app: App, path: Path | None = None, flags: Mapping[str, str] | None = None) -> BaseModel:
    """Return the app's validated configuration.

    ``flags`` map dotted fields to text (``{"ecg.rate_hz": "20"}``), lists and tables as JSON; the environment
    spells the same field ``EDGEAI_<APP>__ECG__RATE_HZ``; the file holds a table per app.
    Raises ConfigError that names the file and line, variable or flag, the field and the reason.
    """
    tables = read_tables(path) if path is not None else {}
    flags = flags or {}
    settings = _settings(app, _nested(flags), tables.get(app.name, {}))
    try:
        loaded = settings()
    except ValidationError as error:
        raise ConfigError(_explain(app.name, error, path, flags)) from error
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; lists and tables are written as JSON") from error
    config: BaseModel = getattr(loaded, app.name)
    return config


def read_tables(path: Path) -> dict[str, dict[str, Any]]:
    """Return a configuration file's tables by app. Raises ConfigError for a file that is none of ours."""
    try:
        if path.exists() and not path.is_file():  # a pipe or a device might never end
            raise ConfigError(f"{path}: is not a file; a configuration is a TOML file")
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise ConfigError(f"{path}: is {size} bytes; a configuration has at most {_MAX_FILE_BYTES}")
        tables = tomllib.loads(_text(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text; a configuration is a TOML file") from error
    except (ValueError, RecursionError) as error:  # of a number too long, of brackets too deep
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error
    installed = app_names()
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{path}: {name!r} stands outside a table; every app has a table, as [healthcare]"
            )
        if name not in installed and name != "edgeai":  # the core's own: alerts/policy.py
            known = ", ".join(installed) or "none"
            raise ConfigError(f"{path}: [{name}] is no installed app (installed: {known})")
    return tables


def _settings(app: App, flags: Mapping[str, Any], table: Mapping[str, Any]) -> type[BaseSettings]:
    class Layered(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__", extra="ignore")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            by_flag, by_file = (
                InitSettingsSource(settings_cls, init_kwargs={app.name: dict(values)} if values else {})
                for values in (flags, table)
            )
            return by_flag, env_settings, by_file

    field: Any = (app.config, Field(default_factory=app.config))
    return create_model("Settings", __base__=Layered, **{app.name: field})


def _nested(flags: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, text in flags.items():
        *path, last = name.split(".")
        table = result
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {name}: another --set gives {part!r} a plain value")
        try:
            table[last] = json.loads(text) if text[:1] in "[{" else text
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"--set {name}={_shown(text)}: is not valid JSON: {error}") from error
    return result


def _explain(app: str, error: ValidationError, path: Path | None, flags: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    if place[:1] == [app]:
        place = place[1:]
    field = ".".join(place)
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "there is no such field"
    elif not isinstance(first["input"], dict):
        reason += f" (it is {_shown(repr(first['input']))})"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{_origin(app, place, path, flags)}: {app}.{field}: {reason}{more}"


def _origin(app: str, place: list[str], path: Path | None, flags: Mapping[str, str]) -> str:
    for length in range(len(place), 0, -1):
        dotted = ".".join(place[:length])
        if dotted in flags:
            return f"--set {app}.{dotted}"
        variable = (_PREFIX + "__".join([app, *place[:length]])).upper()
        if any(name.upper() == variable for name in os.environ):
            return variable
    if path is None:
        return "configuration"
    line = _line_of(path, [app, *place])
    return f"{path}:{line}" if line else str(path)


def _line_of(path: Path, place: list[str]) -> int | None:
    """Find the line of a key or its table: good enough for a message, not a TOML parser."""
    table: list[str] = []
    best: int | None = None
    for number, line in enumerate(_text(path).splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if header:
            table = _parts(header[1])
            if table == place:
                best = number
        elif key:
            here = table + _parts(key[1])
            if here == place:
                return number
            if here == place[: len(here)]:
                best = number
    return best


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")  # editors on Windows begin files with a byte order mark


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
