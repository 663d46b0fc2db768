"""Who may do what: every route, every role, and nobody."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, WebSocket
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from edgeai_core.app import App, Panel
from edgeai_core.errors import ConfigError
from edgeai_core.http.auth import allow
from edgeai_core.http.server import create_app
from edgeai_core.http.services import MountedApp
from edgeai_core.http.settings import ServeSettings
from edgeai_core.http.tokens import Role

EVERYBODY = {None, "viewer", "operator", "admin", "device"}
VIEWERS = {"viewer", "operator", "admin"}
OPERATORS = {"operator", "admin"}
DEVICES = {"device", "admin"}
ADMINS = {"admin"}

ROUTES: dict[tuple[str, str], set[Any]] = {
    ("GET", "/healthz"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/v1/session"): EVERYBODY,
    ("POST", "/v1/session"): EVERYBODY,
    ("DELETE", "/v1/session"): EVERYBODY,
    ("GET", "/v1/alerts"): VIEWERS,
    ("POST", "/v1/alerts"): DEVICES,
    ("GET", "/v1/alerts/stream"): VIEWERS,
    ("GET", "/v1/alerts/{id}"): VIEWERS,
    ("GET", "/v1/alerts/statistics"): VIEWERS,
    ("POST", "/v1/alerts/{id}/acknowledge"): OPERATORS,
    ("POST", "/v1/alerts/{id}/silence"): OPERATORS,
    ("DELETE", "/v1/alerts/{id}/silence"): OPERATORS,
    ("GET", "/v1/webhooks"): ADMINS,
    ("GET", "/v1/webhooks/{name}/dead-letters"): ADMINS,
    ("POST", "/v1/webhooks/{name}/dead-letters/{sequence}/retry"): ADMINS,
    ("DELETE", "/v1/webhooks/{name}/dead-letters/{sequence}"): ADMINS,
    ("GET", "/v1/loops"): VIEWERS,
    ("GET", "/v1/apps"): VIEWERS,
    ("GET", "/v1/models"): VIEWERS,
    ("GET", "/v1/live"): VIEWERS,
    ("GET", "/v1/live/stream"): VIEWERS,
    ("GET", "/v1/live/{topic:path}"): VIEWERS,
    ("GET", "/metrics"): VIEWERS,
    ("GET", "/openapi.json"): VIEWERS,
    ("GET", "/panels/toy/toy.js"): VIEWERS,
    ("GET", "/v1/toy/open"): VIEWERS,
    ("POST", "/v1/toy/operate"): OPERATORS,
    ("GET", "/v1/toy/forgotten"): set(),
}


class Nothing(BaseModel):
    """A configuration without a field."""


def toy_router(config: Nothing) -> APIRouter:
    router = APIRouter()

    @router.get("/open", dependencies=[allow(Role.VIEWER)])
    async def open_() -> dict[str, bool]:
        return {"open": True}

    @router.get("/forgotten")
    async def forgotten() -> dict[str, str]:
        return {"secret": "nobody said who may read this"}

    guarded = APIRouter(dependencies=[allow(Role.OPERATOR)])

    @guarded.post("/operate", dependencies=[allow(Role.VIEWER)])
    async def operate() -> dict[str, bool]:
        return {"done": True}

    router.include_router(guarded)
    return router


@pytest.fixture
def toy(tmp_path: Path) -> MountedApp:
    page = tmp_path / "page"
    page.mkdir()
    (page / "toy.js").write_text("export function mount() {}")
    (page / "notes.txt").write_text("not for the page")
    panel = Panel("toy", "Toy", page / "toy.js", ("toy.loop/value",))
    return MountedApp(
        App("toy", "A toy.", Nothing, lambda config: (), router=toy_router, panels=(panel,)), Nothing()
    )


def test_every_route_is_open_to_the_roles_it_names_and_closed_to_all_others(
    start: Any, toy: MountedApp, problem: Any
) -> None:
    server = start([toy])
    found = {
        (method, str(context.path))
        for context in iter_route_contexts(server.app.routes)
        for method in context.methods or ()
    }
    files = {("GET", "/" if f.name == "index.html" else f"/{f.name}") for f in _page_files()}
    assert found == set(ROUTES) | files
    expected = ROUTES | dict.fromkeys(files, EVERYBODY)
    for role in (None, "viewer", "operator", "admin", "device"):
        with server.client(role) as client:
            for (method, path), roles in expected.items():
                address = path.replace("{id}", "no-such-alert").replace("{topic:path}", "no/topic")
                address = address.replace("{name}", "no-such-webhook").replace("{sequence}", "1")
                with client.stream(method, address) as answer:
                    if role in roles:
                        assert answer.status_code not in (401, 403), (role, method, path)
                        continue
                    answer.read()
                    problem(answer, 401 if role is None else 403)


def test_somebody_unknown_learns_nothing_of_what_paths_there_are(shared: Any, problem: Any) -> None:
    with shared.client(None) as client:
        for path in ("/v1/nothing", "/v2", "/docs", "/redoc", "/..%2f..%2fetc/passwd", "/panels/x/y.js"):
            answer = client.get(path)
            assert "WWW-Authenticate" in answer.headers
            problem(answer, 401)
    with shared.client("viewer") as client:
        problem(client.get("/v1/nothing"), 404)


def test_an_apps_route_that_declares_no_role_is_closed_even_to_an_admin(
    start: Any, toy: MountedApp, problem: Any
) -> None:
    with start([toy]).client("admin") as client:
        assert "declares no role" in problem(client.get("/v1/toy/forgotten"), 403)["detail"]


def test_of_a_panels_folder_only_files_of_the_page_are_served(
    start: Any, toy: MountedApp, problem: Any
) -> None:
    with start([toy]).client("viewer") as client:
        served = client.get("/panels/toy/toy.js")
        assert served.headers["content-type"] == "text/javascript; charset=utf-8"
        assert (
            client.get("/panels/toy/toy.js", headers={"If-None-Match": served.headers["etag"]}).status_code
            == 304
        )
        problem(client.get("/panels/toy/notes.txt"), 404)
        [app] = client.get("/v1/apps").json()["apps"]
        assert app["panels"][0]["module"] == "/panels/toy/toy.js"


def test_an_app_whose_routes_cannot_be_guarded_is_refused(tmp_path: Path) -> None:
    def router(config: Nothing) -> APIRouter:
        result = APIRouter()

        @result.websocket("/socket")
        async def socket(socket: WebSocket) -> None:
            await socket.accept()

        result.mount("/mounted", lambda scope, receive, send: None)
        return result

    mounted = MountedApp(App("toy", "", Nothing, lambda config: (), router=router), Nothing())
    with pytest.raises(ConfigError, match="/mounted"):
        create_app(ServeSettings(state=tmp_path), [mounted])


def test_a_wrong_token_is_refused_and_never_repeated(shared: Any, problem: Any, caplog: Any) -> None:
    good = shared.token("viewer")
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    for header in (f"Bearer {wrong}", "Bearer", f"Basic {good}", f"Bearer {good} x", "Bearer \xff"):
        with httpx.Client(base_url=shared.url) as client:
            answer = client.get("/v1/loops", headers={"Authorization": header.encode("latin-1")})
        problem(answer, 401)
        assert wrong not in answer.text
    assert wrong not in caplog.text
    assert good not in caplog.text


def test_a_token_is_taken_in_a_header_alone(shared: Any, problem: Any) -> None:
    token = shared.token("admin")
    with shared.client(None) as client:
        problem(client.get("/v1/loops", params={"token": token, "access_token": token}), 401)
        # A token is no session: as a cookie it counts for nothing.
        problem(client.get("/v1/loops", headers={"Cookie": f"edgeai_session={token}"}), 401)


def test_a_revoked_token_is_out_at_once(shared: Any, problem: Any) -> None:
    from edgeai_core.http.tokens import revoke_token

    with shared.client("viewer", "screen") as client:
        assert client.get("/v1/loops").status_code == 200
        revoke_token(shared.state, "screen")
        problem(client.get("/v1/loops"), 401)


@pytest.mark.parametrize(
    ("peer", "headers", "admitted"),
    [
        ("127.0.0.1", {"Host": "127.0.0.1:8080"}, True),
        ("127.0.0.1", {"Host": "localhost"}, True),
        ("::1", {"Host": "[::1]:8080"}, True),
        ("::ffff:127.0.0.1", {"Host": "127.0.0.1"}, True),
        ("192.0.2.7", {"Host": "127.0.0.1"}, False),
        ("127.0.0.1", {"Host": "evil.example"}, False),  # DNS rebinding
        ("127.0.0.1", {"Host": "127.0.0.1.evil.example"}, False),
        ("127.0.0.1", {"Host": "localhost@evil.example"}, False),
        ("127.0.0.1", {"Host": ""}, False),
        (
            "127.0.0.1",
            {"Host": "localhost", "X-Forwarded-For": "192.0.2.7"},
            False,
        ),  # a proxy on this machine
        ("127.0.0.1", {"Host": "localhost", "Forwarded": "for=192.0.2.7"}, False),
        ("127.0.0.1", {"Host": "localhost", "Authorization": "Bearer wrong"}, False),
        ("127.0.0.1", {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, False),
        ("127.0.0.1", {"Host": "localhost", "Sec-Fetch-Site": "same-origin"}, True),
        ("127.0.0.1", {"Host": "localhost", "Cookie": "edgeai_session=old"}, True),
    ],
)
def test_without_a_token_only_programs_of_this_machine_that_mean_this_machine_are_let_in(
    tmp_path: Path, peer: str, headers: dict[str, str], admitted: bool
) -> None:
    settings = ServeSettings(state=tmp_path, allow_loopback_without_token=True, wrong_token_delay_s=0)
    assert _ask(create_app(settings, ()), peer, headers) == (200 if admitted else headers_refusal(headers))


def headers_refusal(headers: dict[str, str]) -> int:
    return 403 if "Sec-Fetch-Site" in headers else 401


def test_loopback_needs_a_token_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    app = create_app(ServeSettings(state=tmp_path), ())
    assert _ask(app, "127.0.0.1", {"Host": "127.0.0.1"}) == 401


def test_loopback_without_a_token_may_acknowledge_but_not_post_alerts(start: Any, problem: Any) -> None:
    server = start(allow_loopback_without_token=True)
    alert = server.change().alert
    with server.client(None) as client:
        problem(client.post("/v1/alerts", json={}), 403)
        done = client.post(f"/v1/alerts/{alert.id}/acknowledge").json()
        assert done["alert"]["acknowledged_by"] == "local"


def test_another_sites_page_cannot_make_a_browser_act_on_loopback(start: Any, problem: Any) -> None:
    server = start(allow_loopback_without_token=True)
    alert = server.change().alert
    path = f"/v1/alerts/{alert.id}/acknowledge"
    with server.client(None) as client:
        for origin in (
            "https://evil.example",
            "null",
            f"http://127.0.0.1:{server.port + 1}",
            "http://localhost",
        ):
            problem(client.post(path, headers={"Origin": origin}), 403)
        assert server.journal.alert(alert.id).acknowledged_at is None
        assert client.post(path, headers={"Origin": server.url}).status_code == 200


def _ask(app: Any, peer: str, headers: dict[str, str]) -> int:
    async def ask() -> int:
        transport = httpx.ASGITransport(app, client=(peer, 50000))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            return (await client.get("/v1/apps", headers=headers)).status_code

    return asyncio.run(ask())


def _page_files() -> list[Path]:
    folder = Path(str(files("edgeai_core.http") / "page"))
    return [path for path in folder.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]


def test_the_documentation_names_every_route_with_its_role() -> None:
    rows = (Path(__file__).parents[3] / "docs" / "http.md").read_text().splitlines()
    told = {
        tuple(route.split(" ", 1)): cells[2].strip()
        for cells in (row.split("|") for row in rows if row.startswith("| `"))
        for route in cells[1].split("`")[1::2]
    }
    names = {
        frozenset(EVERYBODY): "everybody",
        frozenset(VIEWERS): "viewer",
        frozenset(OPERATORS): "operator",
    }
    names[frozenset(DEVICES)] = "device"
    names[frozenset(ADMINS)] = "admin"
    for (method, path), roles in ROUTES.items():
        if "/toy/" not in path:
            assert told[(method, path.replace(":path", ""))] == names[frozenset(roles)]
