"""`edgeai serve`: the application put together, its socket, and its orderly end."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from edgeai_core.errors import ConfigError
from edgeai_core.http import (
    alerts,
    apps,
    health,
    live,
    loops,
    metrics,
    models,
    problems,
    session,
    stream,
    webhooks,
)
from edgeai_core.http.auth import Gate, allow, authorise, is_loopback_address, unguarded
from edgeai_core.http.envelope import Envelope
from edgeai_core.http.limits import BodyLimits, HeadLimits
from edgeai_core.http.protocol import Connection
from edgeai_core.http.services import MountedApp, Services, load_mounted
from edgeai_core.http.settings import ServeSettings
from edgeai_core.http.static import page_router, panel_router
from edgeai_core.http.tokens import Role
from edgeai_core.state import State

_ROUTERS = (stream, alerts, webhooks, loops, apps, models, live, session, health, metrics)
_log = logging.getLogger("edgeai.http")
_PORTS_TRIED = 100
_GRACE_S = 3


def create_app(settings: ServeSettings, mounted: Sequence[MountedApp] | None = None) -> FastAPI:
    """Return the application; it opens the journal when it starts.

    ``mounted`` are the apps it serves; None: those that the settings name. An app's routes appear under
    ``/v1/<app>`` and each must declare a role, else it is closed. Raises ConfigError for an app that cannot be
    mounted.
    """
    services = Services(settings, load_mounted(settings) if mounted is None else tuple(mounted))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with services.running():
            yield

    app = FastAPI(
        title="EdgeAI",
        summary="Alerts, loops and live values of a device.",
        version=_version(),
        lifespan=lifespan,
        dependencies=[Depends(authorise)],
        # Routes of ours alone: the documentation pages would load from a network.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    problems.install(app)
    for module in _ROUTERS:
        app.include_router(module.router)
    app.include_router(_description(app))
    app.include_router(page_router())
    for each in services.mounted:
        app.include_router(panel_router(each))
        _include(app, each)
    # The last added is the outermost.
    app.add_middleware(
        BodyLimits,
        max_body_bytes=settings.max_body_bytes,
        request_timeout_s=settings.request_timeout_s,
        larger={
            f"/v1/{each.app.name}{path}": most
            for each in services.mounted
            for path, most in each.app.bodies.items()
        },
    )
    app.add_middleware(
        Gate,
        tokens=services.tokens,
        slow_down=services.slow_down,
        allow_loopback=settings.allow_loopback_without_token,
        routes=app.router.routes,
    )
    app.add_middleware(HeadLimits, max_header_bytes=settings.max_header_bytes)
    app.add_middleware(Envelope, answers=services.answers)
    return app


def serve(settings: ServeSettings, listener: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then end every stream and return.

    ``listener`` is a bound socket (see ``bind``); None: one is bound as the settings say. While it serves, the
    state folder's ``run/serve.json`` says where. Raises ConfigError, JournalError.
    """
    state = State(settings.state).create()
    app = create_app(settings)
    listener = listener or bind(settings.host, settings.port)
    server = Server(settings, app)
    if settings.tls_certificate is None and not is_loopback_address(listener.getsockname()[0]):
        _log.warning(
            "tokens cross the network in the clear: serve TLS, or listen on 127.0.0.1 behind a proxy that does"
        )
    with contextlib.closing(listener), _address_file(state, settings, listener), _signals_to(server):
        server.run(sockets=[listener])


def bind(host: str, port: int, next_free: bool = False) -> socket.socket:
    """Return a listening socket. ``next_free``: where the port is taken, the next free one after it.

    Raises ConfigError that says what is wrong with the address.
    """
    for candidate in range(port, min(port + (_PORTS_TRIED if next_free and port else 1), 65536)):
        listener: socket.socket | None = None
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, candidate, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
            return listener
        except OSError as error:
            if listener is not None:
                listener.close()
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"cannot listen on {host}:{candidate}: {error.strerror}") from error
    ports = f"{port} to {port + _PORTS_TRIED - 1} are" if next_free else f"{port} is"
    raise ConfigError(f"cannot listen on {host}: port {ports} taken; name another")


class Server(uvicorn.Server):
    """uvicorn, told to end the event streams before it waits for open requests."""

    def __init__(self, settings: ServeSettings, app: FastAPI) -> None:
        self._app = app
        connection = partial(
            Connection,
            max_connections=settings.max_connections,
            request_timeout_s=settings.request_timeout_s,
            send_timeout_s=settings.send_timeout_s,
        )
        super().__init__(
            uvicorn.Config(
                app,
                http=connection,  # type: ignore[arg-type]  # uvicorn calls it, as it would the class
                ws="none",
                lifespan="off",  # `serve` enters it, so that what it raises arrives whole
                loop="asyncio",
                log_config=None,
                log_level="warning",
                access_log=False,
                # Whoever reaches this port could claim any address in a header.
                proxy_headers=False,
                server_header=False,
                h11_max_incomplete_event_size=settings.max_header_bytes,
                timeout_graceful_shutdown=_GRACE_S,
                **_tls(settings),
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Open what the application needs, serve until told to stop, close it."""
        async with self._app.router.lifespan_context(self._app):
            await super().serve(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then wait a little for what else is open."""
        services: Services = self._app.state.services
        services.end_streams()
        await super().shutdown(sockets)


def _include(app: FastAPI, mounted: MountedApp) -> None:
    """Mount an app's own routes."""
    if mounted.app.router is None:
        return
    router = mounted.app.router(mounted.config)
    if not isinstance(router, APIRouter):
        raise ConfigError(f"app {mounted.app.name!r}: router(config) returns no fastapi.APIRouter")
    if paths := unguarded(router.routes):
        raise ConfigError(
            f"app {mounted.app.name!r}: {', '.join(paths)} cannot be guarded: an app's routes are path operations, "
            "no mounts, no websockets"
        )
    app.include_router(router, prefix=f"/v1/{mounted.app.name}", tags=[mounted.app.name])


def _description(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json", dependencies=[allow(Role.VIEWER)])
    async def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            components = document.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = problems.PROBLEM_SCHEMA
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
            app.openapi_schema = document
        return app.openapi_schema

    return router


def _tls(settings: ServeSettings) -> dict[str, Any]:
    if settings.tls_certificate is None and settings.tls_key is None:
        return {}
    if settings.tls_certificate is None or settings.tls_key is None:
        raise ConfigError("TLS needs both a certificate and its key")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_certificate, settings.tls_key
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{settings.tls_certificate} and {settings.tls_key} make no TLS identity: {error.strerror or error}"
        ) from error
    return {"ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key}


@contextlib.contextmanager
def _address_file(state: State, settings: ServeSettings, listener: socket.socket) -> Iterator[None]:
    """Say in the state folder where the server is, as long as it is there."""
    host, port = listener.getsockname()[:2]
    path: Path = state.run / "serve.json"
    scheme = "https" if settings.tls_certificate else "http"
    name = f"[{host}]" if ":" in host else host
    address = {"host": host, "port": port, "pid": os.getpid(), "url": f"{scheme}://{name}:{port}/"}
    fresh = path.with_suffix(f".{os.getpid()}.new")
    try:
        fresh.write_text(json.dumps(address))
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(path.read_text()).get("pid") == os.getpid():
                path.unlink()


@contextlib.contextmanager
def _signals_to(server: Server) -> Iterator[None]:
    """Let signals end the server also before uvicorn listens for them, and when it raises them again at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _version() -> str:
    try:
        return version("edgeai")
    except PackageNotFoundError:
        return "0"
