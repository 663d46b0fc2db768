"""What everybody must be able to read, reach and hear on the live page (WCAG 2.2, level AA)."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.timeout(120)]

CONTRAST = Path(__file__).with_name("contrast.js").read_text()


class Desk:
    """Answers as the device does, out of memory: what these tests look at needs no loop."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/v1/session": {"name": "ward", "role": "operator", "via": "cookie"},
            "/v1/apps": {"apps": []},
            "/v1/loops": {"loops": [loop("ecg", alive=True), loop("vitals", alive=False)]},
            "/v1/alerts": {"alerts": [], "next_cursor": None},
        }
        self.silent = threading.Event()
        handler = functools.partial(Handler, self)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self.silent.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the page's own files and the answers; a stream is opened and ends when the desk falls silent."""

    def __init__(self, desk: Desk, *arguments: Any) -> None:
        self.desk = desk
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/stream"):
            self._send("text/event-stream", b": still here\n\n")
            self.desk.silent.wait()
        elif path in self.desk.answers:
            answer = self.desk.answers[path]
            if path == "/v1/alerts":
                states = parse_qs(urlsplit(self.path).query)["state"]
                answer = {**answer, "alerts": [a for a in answer["alerts"] if a["state"] in states]}
            self._send("application/json", json.dumps(answer).encode())
        else:
            file = files("edgeai_core.http") / "page" / (path.strip("/") or "index.html")
            kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
            kind = kinds.get(file.name.rpartition(".")[2])
            if kind is None:
                self.send_error(404)
            else:
                self._send(kind, file.read_bytes())

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""

    def _send(self, media_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.end_headers()
        self.wfile.write(body)


def loop(name: str, *, alive: bool) -> dict[str, Any]:
    spread = {"p50": 84.0, "p99": 310.0, "p999": 700.0, "max": 900.0}
    return {
        "app": "healthcare",
        "loop": name,
        "alive": alive,
        "reason": None if alive else "it has not moved",
        "cycles": 10,
        "level": 0,
        "rate_hz": 10.0,
        "target_rate_hz": 10.0,
        "deadline_s": 0.1,
        "lateness_us": spread,
        "duration_us": spread,
        "age_us": spread,
    }


def alert(number: int, priority: str, state: str, cleared_at: str | None = None) -> dict[str, Any]:
    acknowledged = state == "acknowledged"
    return {
        "id": f"a{number}",
        "device": "box",
        "app": "healthcare",
        "loop": "ecg",
        "code": "ASYSTOLE",
        "subject": f"bed-{number}",
        "priority": priority,
        "title": "Asystole",
        "state": state,
        "active": state in ("raised", "acknowledged"),
        "raised_at": "2026-11-24T03:15:00.250Z",
        "updated_at": "2026-11-24T03:15:00.250Z",
        "acknowledged_at": "2026-11-24T03:15:09.000Z" if acknowledged else None,
        "acknowledged_by": "ward" if acknowledged else None,
        "cleared_at": cleared_at,
        "evidence": {"confidence": 0.9},
    }


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    priorities, states = ("high", "medium", "low"), ("raised", "latched", "acknowledged", "cleared")
    pairs = [(priority, state) for priority in priorities for state in states]
    made.answers["/v1/alerts"]["alerts"] = [alert(n, *pair) for n, pair in enumerate(pairs)]
    yield made
    made.close()


@pytest.fixture
def screen(desk: Desk, page: Any) -> Any:
    page.open(desk.address)
    page.until("document.querySelectorAll('.alert').length === 12 && document.querySelector('.tile')")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    return page


@pytest.mark.parametrize("connection", ["live", "lost"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks(
    desk: Desk, screen: Any, scheme: str, connection: str
) -> None:
    screen.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    if connection == "lost":
        desk.silent.set()
    screen.until(f"document.documentElement.dataset.connection === '{connection}'")
    assert screen.evaluate(CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sign_in_form_has_the_contrast_that_wcag_asks(desk: Desk, page: Any, scheme: str) -> None:
    desk.answers["/v1/session"] = {"name": None, "role": None, "via": "nobody"}
    page.prefer(prefers_color_scheme=scheme)
    page.open(desk.address)
    page.until("document.querySelector('#sign-in').checkVisibility()")
    assert page.evaluate(CONTRAST) == []


def test_everything_that_can_be_worked_has_a_name_a_role_and_room_for_a_finger(screen: Any) -> None:
    tree = screen.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "combobox", "link", "DisclosureTriangle", "article", "region", "image"}
    named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree if not n["ignored"]]
    assert [role for role, name in named if role in roles and not name] == []
    buttons = [name for role, name in named if role == "button"]
    assert "Acknowledge: Asystole, bed-0" in buttons
    assert len(buttons) == len(set(buttons)), "no two buttons sound the same"
    small = (
        "[...document.querySelectorAll('button, select, input, summary')].filter(e => e.checkVisibility())"
        ".map(e => [e.textContent, e.getBoundingClientRect()]).filter(([, r]) => r.width < 24 || r.height < 24)"
        ".map(([text]) => text)"
    )
    assert screen.evaluate(small) == []
    assert screen.evaluate("document.documentElement.lang") == "en"
    ids = screen.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert screen.evaluate("document.querySelectorAll('[tabindex]:not([tabindex=\"-1\"])').length") == 0


def test_priority_is_told_by_colour_and_by_shape_and_by_word(screen: Any) -> None:
    told = screen.evaluate(
        "[...document.querySelectorAll('#open-alerts .alert.unanswered')].map(row => ["
        " row.dataset.priority, getComputedStyle(row.querySelector('path')).fill,"
        " row.querySelector('path').getAttribute('d'), row.querySelector('.priority span').textContent])"
    )
    by_priority = {priority: (colour, shape, word) for priority, colour, shape, word in told}
    assert [word for _, _, word in by_priority.values()] == ["High", "Medium", "Low"]
    assert len({colour for colour, _, _ in by_priority.values()}) == 3
    assert len({shape for _, shape, _ in by_priority.values()}) == 3


def test_whoever_goes_by_tab_reaches_every_control_and_sees_where_they_are(screen: Any) -> None:
    reached = set()
    for _ in range(60):
        screen.press("Tab")
        at = screen.evaluate(
            "(() => { const e = document.activeElement, { outlineStyle, outlineWidth } = getComputedStyle(e);"
            " return e === document.body ? null : [e.getAttribute('aria-label') ?? e.textContent,"
            " outlineStyle !== 'none' && parseFloat(outlineWidth)]; })()"
        )
        if at is None:
            break
        assert at[1] >= 2, f"{at[0]} shows no focus"
        reached.add(at[0])
    wanted = {
        "Skip to the alerts",
        "Sound off",
        "Sign out",
        *(f"Acknowledge: Asystole, bed-{n}" for n in (0, 1, 4, 5)),
    }
    assert wanted <= reached


def test_a_chosen_theme_wins_over_the_systems_and_outlives_the_page(desk: Desk, screen: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    screen.prefer(prefers_color_scheme="light")
    light = screen.evaluate(ground)
    for _ in range(2):
        screen.evaluate("document.querySelector('#theme').click()")
    dark = screen.evaluate(ground)
    assert dark != light
    screen.open(desk.address)
    screen.until("document.querySelector('#theme').textContent === 'Dark'")
    assert screen.evaluate(ground) == dark


def test_the_page_holds_a_bounded_number_of_alerts_and_says_when_there_are_more(
    desk: Desk, page: Any
) -> None:
    many = [alert(n, "low", "cleared", cleared_at="2026-11-24T03:16:00.000Z") for n in range(40)]
    desk.answers["/v1/alerts"] = {"alerts": [alert(99, "high", "raised"), *many], "next_cursor": "7"}
    page.open(desk.address)
    page.until("document.querySelector('#open-alerts .alert')")
    assert page.evaluate("document.querySelectorAll('#cleared-alerts .alert').length") == 30
    assert "more open alerts" in page.text("#more-alerts")
    held = page.evaluate(
        "import('/alerts.js').then(({ Alerts }) => { const alerts = new Alerts({});"
        f" const one = {json.dumps(alert(0, 'low', 'raised'))};"
        " for (let n = 0; n < 1000; n += 1) alerts.take(JSON.stringify("
        "   { sequence: n + 1, kind: 'raised', alert: { ...one, id: String(n) } }));"
        " return [alerts.open.length, alerts.more]; })"
    )
    assert held == [400, True]


def test_an_event_split_anywhere_on_the_wire_is_read_as_the_same_event(desk: Desk, page: Any) -> None:
    wire = (
        ': hello\r\n\r\nid: 7\nevent: alert\ndata: {"a":1,\ndata: "é"}\n\nevent: live\rdata:x\r\rdata: y\n\n'
    )
    expected = [["alert", '{"a":1,\n"é"}', "7"], ["live", "x", "7"], ["message", "y", "7"]]
    page.open(desk.address)
    read = page.evaluate(
        f"import('/stream.js').then(({{ Parser }}) => {{ const wire = {json.dumps(wire)}, read = new Set();"
        " for (let a = 0; a <= wire.length; a += 1) for (let b = a; b <= wire.length; b += 1) {"
        "   const events = [], parser = new Parser(e => events.push([e.type, e.data, e.id]));"
        "   for (const part of [wire.slice(0, a), wire.slice(a, b), wire.slice(b)]) parser.feed(part);"
        "   read.add(JSON.stringify(events)); } return [...read]; })"
    )
    assert [json.loads(events) for events in read] == [expected]
