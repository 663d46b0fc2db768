"""`/v1/models`: the cards of the models that apps ship and of those taught on this device."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from edgeai_core.errors import ModelError
from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts, Services
from edgeai_core.http.tokens import Role
from edgeai_core.runners.card import ModelCard, read_card

router = APIRouter(prefix="/v1/models", tags=["models"])

_log = logging.getLogger("edgeai.http")
_MAX_TAUGHT = 500


class ModelView(BaseModel):
    """What a model's card says; ``origin`` is ``shipped`` with an app or ``taught`` on this device."""

    name: str
    version: str
    task: str = Field(examples=["healthcare.ecg"])
    digest: str = Field(description="SHA-256 of the file")
    file: str = Field(examples=["rhythm.onnx"])
    origin: str = Field(examples=["shipped"])
    licence: str
    intended_use: str
    limits: list[str]
    inputs: list[str] = Field(examples=[["signal float32[n, 1, 500]"]])
    outputs: list[str]
    classes: list[str]
    figures: dict[str, dict[str, Any]]


class ModelList(BaseModel):
    """The models, and the cards that could not be read, each with the reason."""

    models: list[ModelView]
    unreadable: list[str]


@router.get(
    "", summary="Which models there are", dependencies=[allow(Role.VIEWER)], responses=responses(401, 403)
)
async def list_models(parts: Parts) -> ModelList:
    """Return what the cards say of every model."""
    return await asyncio.to_thread(_models, parts)


def _models(parts: Services) -> ModelList:
    shipped = [path for mounted in parts.mounted for path in mounted.app.models]
    taught = sorted(parts.state.models.glob("*/*/*.card.toml"))[:_MAX_TAUGHT]
    result = ModelList(models=[], unreadable=[])
    for origin, paths in (("shipped", shipped), ("taught", taught)):
        for path in paths:
            try:
                result.models.append(_view(read_card(path), origin))
            except ModelError as error:
                _log.warning("a model's card cannot be read: %s", error)
                result.unreadable.append(_without_folder(str(error), path))
    return result


def _view(card: ModelCard, origin: str) -> ModelView:
    return ModelView(
        name=card.name,
        version=card.version,
        task=card.task,
        digest=card.digest,
        file=card.file,
        origin=origin,
        licence=card.licence,
        intended_use=card.intended_use,
        limits=list(card.limits),
        inputs=[str(spec) for spec in card.inputs],
        outputs=[str(spec) for spec in card.outputs],
        classes=list(card.classes),
        figures={
            name: {
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "n": figure.n,
                "unit": figure.unit,
            }
            for name, figure in card.figures.items()
        },
    )


def _without_folder(message: str, path: Path) -> str:
    """Name the file alone: where things lie on this machine is nobody's business."""
    return message.replace(str(path), path.name)
