"""The live page and the apps' panels: files that were there at start, each at an address of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request, Response, params

from edgeai_core.errors import ConfigError
from edgeai_core.http.apps import panel_address
from edgeai_core.http.auth import allow, public
from edgeai_core.http.services import MountedApp
from edgeai_core.http.tokens import Role

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
_MAX_FILE_BYTES = 4 << 20


@dataclass(frozen=True)
class StaticFile:
    """One file, held in memory."""

    body: bytes
    media_type: str
    etag: str


def page_router() -> APIRouter:
    """Return the routes of the live page. It is open to everybody: whoever has no token has to see the sign-in."""
    folder = Path(str(files("edgeai_core.http") / "page"))
    router = APIRouter(include_in_schema=False)
    for name, file in _folder(folder):
        _add(router, "/" if name == "index.html" else f"/{name}", file, public())
    return router


def panel_router(mounted: MountedApp) -> APIRouter:
    """Return the routes of an app's panels: every file of a known type in the folders of its modules.

    Raises ConfigError where a panel's module is not there.
    """
    router = APIRouter(include_in_schema=False)
    added: dict[str, Path] = {}
    for panel in mounted.app.panels:
        folder = panel.module.parent
        names = dict(_folder(folder))
        if panel.module.name not in names:
            raise ConfigError(
                f"app {mounted.app.name!r}: panel {panel.name!r} has no module {panel.module}: "
                "it must be a .js file beside the other files of the panel"
            )
        for name, file in names.items():
            address = panel_address(mounted.app.name, name)
            if address not in added:
                _add(router, address, file, allow(Role.VIEWER))
            elif added[address] != folder:
                raise ConfigError(f"app {mounted.app.name!r}: two folders of panels hold a {name}")
            added[address] = folder
    return router


def _folder(folder: Path) -> Iterator[tuple[str, StaticFile]]:
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        media_type = _MEDIA_TYPES.get(path.suffix)
        if media_type is None or path.is_symlink() or not path.is_file():
            continue
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {_MAX_FILE_BYTES} bytes; the page cannot serve it")
        body = path.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        yield path.relative_to(folder).as_posix(), StaticFile(body, media_type, etag)


def _add(router: APIRouter, address: str, file: StaticFile, access: params.Depends) -> None:
    async def serve(request: Request) -> Response:
        # It is asked for anew each time, so that after an update no old page meets a new server.
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers={**headers, "Content-Type": file.media_type})

    router.add_api_route(
        address, serve, methods=["GET"], dependencies=[access], response_class=Response, name=address
    )
