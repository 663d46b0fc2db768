"""`/v1/apps`: which verticals are served, with their loops and panels."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import MountedApp, Parts
from edgeai_core.http.tokens import Role

router = APIRouter(prefix="/v1/apps", tags=["apps"])


class PanelView(BaseModel):
    """A part of the live page; ``module`` is the address of its ES module."""

    name: str = Field(examples=["ecg"])
    title: str = Field(examples=["Electrocardiogram"])
    module: str = Field(examples=["/panels/healthcare/ecg.js"])
    topics: list[str] = Field(examples=[["healthcare.ecg/ecg"]])


class AppView(BaseModel):
    """A vertical."""

    name: str = Field(examples=["healthcare"])
    summary: str
    loops: list[str] = Field(examples=[["ecg"]])
    panels: list[PanelView]
    topics: list[str] = Field(examples=[["healthcare.ecg/cycle", "healthcare.ecg/ecg"]])
    tasks: list[str] = Field(examples=[["healthcare.ecg"]])


class AppList(BaseModel):
    """The verticals that this server serves."""

    apps: list[AppView]


@router.get(
    "", summary="Which apps are served", dependencies=[allow(Role.VIEWER)], responses=responses(401, 403)
)
async def list_apps(parts: Parts) -> AppList:
    """Return the apps that are served."""
    return AppList(apps=[_view(mounted) for mounted in parts.mounted])


def panel_address(app: str, module: str) -> str:
    """Return the address of a file in an app's folder of panels."""
    return f"/panels/{app}/{module}"


def _view(mounted: MountedApp) -> AppView:
    app = mounted.app
    tiles = {f"{app.name}.{loop}/cycle" for loop in mounted.loops}
    return AppView(
        name=app.name,
        summary=app.summary,
        loops=mounted.loops,
        panels=[
            PanelView(
                name=panel.name,
                title=panel.title,
                module=panel_address(app.name, panel.module.name),
                topics=list(panel.topics),
            )
            for panel in app.panels
        ],
        topics=sorted(tiles | {topic for panel in app.panels for topic in panel.topics}),
        tasks=[f"{app.name}.{task.name}" for task in app.tasks],
    )
