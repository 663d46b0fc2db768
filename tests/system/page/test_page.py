"""The live page in a real browser, before a real server, with a real loop behind it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.alerts.journal import Journal
from edgeai_core.http.tokens import Role, create_token, revoke_token
from edgeai_core.state import State

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.timeout(120)]

VF = {
    "code": "VENTRICULAR_FIBRILLATION",
    "subject": "bed-7",
    "priority": "high",
    "title": "Ventricular fibrillation",
    "evidence": {"confidence": 0.97, "simulated": True},
}
LOST = {**VF, "code": "SIGNAL_LOST", "subject": "bed-9", "priority": "medium", "title": "ECG signal lost"}
WARM = {**VF, "code": "DEVICE_WARM", "subject": "box-1", "priority": "low", "title": "The device is warm"}
ROW = "[...document.querySelectorAll('.alert')].find(row => row.textContent.includes('{}'))"
LIVE = "document.documentElement.dataset.connection === 'live'"


class Device:
    """A state folder with a server and, where it was asked for, a bed: both processes of their own."""

    def __init__(self, folder: Path, *, needs_token: bool = False) -> None:
        self.state = State(folder).create()
        self._options = [] if needs_token else ["--loopback-without-token"]
        self._port = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._bed: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    def serve(self) -> None:
        """Start the server; the second time on the port it had."""
        said = self.state.run / "serve.json"
        said.unlink(missing_ok=True)
        self._server = subprocess.Popen(
            [
                *(sys.executable, "-m", "edgeai_core.cli.main", "serve", "healthcare"),
                *("--bind", f"127.0.0.1:{self._port}", "--state", str(self.state.root), *self._options),
            ]
        )
        wait_for(said.exists, self._server)
        self._port = json.loads(said.read_text())["port"]
        wait_for(lambda: answers(f"{self.address}healthz"), self._server)

    def stop_serving(self) -> None:
        end(self._server)
        self._server = None

    def find(self, *conditions: dict[str, Any]) -> None:
        """Let the loop find that these hold, from now on and no others; the first time it starts the loop."""
        if self._bed is None:
            program = Path(__file__).with_name("bed.py")
            self._bed = subprocess.Popen([sys.executable, program, self.state.root], stdin=subprocess.PIPE)
        assert self._bed.stdin is not None
        self._bed.stdin.write(json.dumps(conditions).encode() + b"\n")
        self._bed.stdin.flush()

    def freeze(self) -> None:
        """Stop the loop in its tracks, as a hung driver would."""
        assert self._bed is not None
        self._bed.send_signal(signal.SIGSTOP)

    def alert(self, subject: str) -> Any:
        """Return the newest alert about a subject, from the journal."""
        journal = Journal(self.state.journal, device="test", read_only=True)
        try:
            found = journal.alerts(subject=subject, limit=1)
            return found[0][1] if found else None
        finally:
            journal.close()

    def close(self) -> None:
        if self._bed is not None:
            self._bed.send_signal(signal.SIGCONT)
            assert self._bed.stdin is not None
            self._bed.stdin.close()
        end(self._bed)
        end(self._server)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Device]:
    """A device for all tests that leave it as they found it."""
    device = Device(tmp_path_factory.mktemp("ward"))
    try:
        device.serve()
        device.find()
        yield device
    finally:
        device.close()


@pytest.fixture
def own(tmp_path: Path, browser: Any) -> Iterator[Callable[..., Device]]:
    """Devices of a test's own."""
    made: list[Device] = []

    def make(**options: Any) -> Device:
        made.append(Device(tmp_path / f"device-{len(made)}", **options))
        made[-1].serve()
        return made[-1]

    yield make
    for device in made:
        device.close()


@pytest.fixture
def screen(ward: Device, page: Any) -> Iterator[Any]:
    """The ward's page, live; afterwards nothing holds, its console is clean and it asked nobody but the device."""
    page.open(ward.address)
    page.until(LIVE)
    yield page
    ward.find()
    page.until("document.querySelectorAll('#open-alerts .alert:not([data-state=latched])').length === 0")
    assert page.errors == []
    assert {address for address in page.requests if not address.startswith(ward.address)} == set()


def test_an_alert_raised_in_a_loop_appears_without_reload_and_is_acknowledged_by_keyboard(
    ward: Device, screen: Any
) -> None:
    screen.evaluate("window.sameDocument = true")
    ward.find(VF)
    screen.until(ROW.format("Ventricular fibrillation"))
    assert "High" in screen.text(".alert.unanswered .priority")
    assert screen.evaluate("document.querySelector('.alert.unanswered .symbol text').textContent") == "!!!"
    assert "High priority: Ventricular fibrillation, bed-7, raised" in screen.evaluate(
        "document.querySelector('[aria-live=assertive]').textContent"
    )
    assert "Ventricular fibrillation" in screen.evaluate("document.title")
    screen.press("F2")
    assert screen.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "Acknowledge: Ventric"
    )
    screen.press("Enter")
    screen.until(f"{ROW.format('Ventricular fibrillation')}?.dataset.state === 'acknowledged'")
    assert "Acknowledged" in screen.text(".alert .story")
    assert "by local" in screen.text(".alert .story")
    assert screen.evaluate("window.sameDocument") is True
    assert ward.alert("bed-7").acknowledged_by == "local"


def test_the_most_urgent_unanswered_alert_stands_first_and_the_focus_goes_on_to_the_next(
    ward: Device, screen: Any
) -> None:
    ward.find(WARM, LOST, {**VF, "subject": "bed-3"})
    screen.until("document.querySelectorAll('.alert.unanswered').length === 3")
    order = "[...document.querySelectorAll('#open-alerts .alert')].map(row => row.dataset.priority).join()"
    assert screen.evaluate(order) == "high,medium,low"
    assert screen.text("#summary").split() == ["!!!", "1", "high", "!!", "1", "medium", "!", "1", "low"]
    screen.press("F2")
    screen.press("a")
    screen.until("document.querySelectorAll('.alert.unanswered').length === 2")
    assert screen.evaluate(order) == "medium,low,high"
    screen.until("document.activeElement.closest('.alert')?.dataset.priority === 'medium'")
    screen.press("ArrowDown")
    assert screen.evaluate("document.activeElement.closest('.alert').dataset.priority") == "low"


def test_an_alert_that_is_over_leaves_the_open_list_and_stays_readable(ward: Device, screen: Any) -> None:
    ward.find({**VF, "subject": "bed-4"})
    screen.until(ROW.format("bed-4"))
    ward.find()
    screen.until(f"{ROW.format('bed-4')}?.closest('#cleared-alerts')")
    screen.evaluate("document.querySelector('#past').open = true")
    assert "Not acknowledged" in screen.text("#cleared-alerts .alert")


def test_the_recording_of_the_time_around_an_alert_is_linked_from_its_evidence(
    ward: Device, screen: Any
) -> None:
    ward.find({**VF, "subject": "bed-20"})
    row = ROW.format("bed-20")
    screen.until(row)
    alert = ward.alert("bed-20")
    (ward.state.evidence / f"{alert.id}.mcap").write_bytes(b"\x89MCAP0")
    screen.evaluate(f"{row}.querySelector('details').open = true")
    screen.until(
        f"{row}.querySelector('.recording a')?.getAttribute('href') === '/v1/alerts/{alert.id}/recording'"
    )


def test_text_from_outside_is_shown_as_text_and_never_runs(ward: Device, screen: Any) -> None:
    evil = '<img src=x onerror="window.ran = 1"><script>window.ran = 1</script>'
    ward.find({**VF, "subject": evil, "title": evil, "evidence": {evil: evil}})
    screen.until(ROW.format("onerror"))
    assert evil in screen.text(".alert h3")
    assert screen.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert screen.evaluate("window.ran") is None


def test_the_strip_is_drawn_labelled_as_simulated_and_told_in_words(ward: Device, screen: Any) -> None:
    screen.until("document.querySelector('.ecg canvas').getAttribute('aria-label').includes('75 a minute')")
    told = screen.evaluate("document.querySelector('.ecg canvas').getAttribute('aria-label')")
    assert told.startswith("Simulated ECG of bed-7")
    assert screen.text(".ecg-made").lower() == "simulated"
    assert screen.text(".ecg-rate") == "75"
    drawn = (
        "(() => { const c = document.querySelector('.ecg canvas');"
        " const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        " let inked = 0; for (let i = 3; i < data.length; i += 4) inked += data[i] > 128; return inked; })()"
    )
    screen.until(f"{drawn} > 1000")


def test_a_panel_shows_a_live_camera(ward: Device, screen: Any) -> None:
    screen.evaluate(
        "(async () => {"
        " const { mountPicture } = await import('/picture.js');"
        " const live = new EventSource('/v1/live/stream?topics=healthcare.ecg/camera');"
        " const subscribe = (topic, callback) => {"
        "   live.addEventListener('live', ({ data }) => { const v = JSON.parse(data); callback(v.data, v.time_ns); });"
        "   return () => live.close(); };"
        " window.camera = mountPicture(document.body, subscribe, 'healthcare.ecg/camera', 'The bed');"
        " window.seen = new Map();"
        " camera.image.addEventListener('load', () => seen.set(camera.image.src, camera.image.naturalWidth)); })()"
    )
    screen.until("window.seen && [...seen.values()].filter((width) => width === 64).length >= 3")
    assert screen.evaluate("camera.image.alt") == "The bed"
    screen.evaluate("camera.end(); camera.image.remove()")


def test_a_tile_says_how_its_loop_runs_and_what_it_decided(ward: Device, screen: Any) -> None:
    screen.until("document.querySelector('.tile .decision')?.innerText.includes('NORMAL')")
    tile = screen.text(".tile")
    for word in ("healthcare.ecg", "Running", "Rate", "of 10.0 Hz", "Lateness", "Age of data", "Duration"):
        assert word in tile


def test_no_width_of_screen_needs_sideways_scrolling(ward: Device, screen: Any) -> None:
    ward.find({**VF, "title": "Atrioventricularblockversorgungsalarm" * 3, "subject": "bed-" + "7" * 60})
    screen.until("document.querySelector('.alert.unanswered') && document.querySelector('.ecg canvas')")
    for width_px in (380, 768, 1280, 1920):
        screen.size(width_px, 900)
        screen.until(f"innerWidth === {width_px}")
        assert screen.evaluate("document.documentElement.scrollWidth <= innerWidth"), width_px
        past_the_edge = (
            "[...document.querySelectorAll('main *')].filter(e => e.checkVisibility()"
            " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName)"
        )
        assert screen.evaluate(past_the_edge) == [], width_px


def test_whoever_asks_for_less_motion_sees_no_flashing_and_others_no_more_than_three_a_second(
    ward: Device, screen: Any
) -> None:
    ward.find(VF, LOST)
    screen.until("document.querySelectorAll('.alert.unanswered').length === 2")
    periods_ms = "document.getAnimations().map(a => a.effect.getTiming().duration)"
    assert all(period_ms >= 1000 / 3 for period_ms in screen.evaluate(periods_ms))
    assert len(screen.evaluate(periods_ms)) >= 2
    screen.prefer(prefers_reduced_motion="reduce")
    screen.until(f"{periods_ms}.length === 0")
    screen.until("document.querySelector('.ecg-rate').textContent === '75'")


def test_sound_is_off_until_asked_for_and_then_only_for_unanswered_high_alerts(
    ward: Device, screen: Any
) -> None:
    screen.evaluate(
        "window.tones = 0; window.OscillatorNode = class extends OscillatorNode {"
        " constructor(...given) { super(...given); window.tones += 1; } }; 0"
    )
    ward.find(LOST)
    screen.until(ROW.format("bed-9"))
    screen.evaluate("document.querySelector('#sound').click()")
    screen.until("document.querySelector('#sound').getAttribute('aria-pressed') === 'true'")
    assert screen.evaluate("window.tones") == 0
    ward.find(LOST, VF)
    screen.until("window.tones > 0")
    screen.evaluate("document.querySelector('#sound').click()")
    screen.until("document.querySelector('#sound').getAttribute('aria-pressed') === 'false'")


def test_after_a_restart_of_the_server_the_page_says_so_and_catches_up_by_itself(
    own: Callable[..., Device], page: Any
) -> None:
    device = own()
    device.find(LOST)
    page.open(device.address)
    page.until(f"{LIVE} && {ROW.format('bed-9')}")
    page.evaluate("window.sameDocument = true")
    device.find(LOST, WARM)
    page.until(ROW.format("box-1"))
    device.stop_serving()
    page.until("document.querySelector('#lost').checkVisibility()")
    assert "Stream lost" in page.text("#lost")
    assert page.evaluate("getComputedStyle(document.querySelector('#lost .headline')).fontSize") >= "20px"
    device.find(LOST, WARM, VF)
    wait_for(lambda: device.alert("bed-7") is not None)
    device.serve()
    page.until(f"{LIVE} && {ROW.format('bed-7')}", within_s=40)
    assert not page.evaluate("document.querySelector('#lost').checkVisibility()")
    assert page.evaluate("window.sameDocument") is True
    assert "Ventricular fibrillation" in page.evaluate(
        "document.querySelector('[aria-live=assertive]').textContent"
    ), "what was missed is replayed by the stream, and so announced"


def test_when_a_loop_stops_its_tile_and_its_strip_say_that_they_are_old(
    own: Callable[..., Device], page: Any
) -> None:
    device = own()
    device.find()
    page.open(device.address)
    page.until("document.querySelector('.tile')?.dataset.state === 'running'")
    page.until("document.querySelector('.ecg-rate').textContent === '75'")
    device.freeze()
    page.until("document.querySelector('.ecg-silent').checkVisibility()")
    page.until("document.querySelector('.ecg-silent').textContent.startsWith('No data for')")
    assert page.text(".ecg-rate") != "75"
    page.until("document.querySelector('.tile').dataset.state === 'stopped'", within_s=40)
    assert "Stopped" in page.text(".tile")
    assert "old" in page.text(".tile .note")


def test_who_is_not_signed_in_sees_no_data_and_who_signs_out_leaves_none(
    own: Callable[..., Device], page: Any
) -> None:
    device = own(needs_token=True)
    device.find(VF)
    wait_for(lambda: device.alert("bed-7") is not None)
    viewer = create_token(device.state, "visitor", Role.VIEWER)
    page.open(device.address)
    page.until("document.querySelector('#sign-in').checkVisibility()")
    no_data = (
        "document.querySelectorAll('.alert, .tile, .panel').length === 0"
        " && !document.body.textContent.includes('Ventricular')"
    )
    assert page.evaluate(no_data)
    assert page.evaluate("document.activeElement.id") == "token"
    page.type("not a token")
    page.press("Enter")
    page.until("document.querySelector('#sign-in-failure').innerText.includes('not known')")
    assert page.evaluate(no_data)
    page.type(viewer)
    page.press("Enter")
    page.until(f"{LIVE} && {ROW.format('bed-7')}")
    assert page.text("#who") == "visitor, viewer"
    assert page.evaluate("document.querySelector('.acknowledge').disabled"), "a viewer may not acknowledge"
    assert page.evaluate("document.cookie") == "", "no script can read the cookie"
    page.evaluate("document.querySelector('#sign-out').click()")
    page.until("document.querySelector('#sign-in').checkVisibility()")
    page.until(no_data)
    assert page.evaluate("document.title") == "EdgeAI"


def test_when_the_device_ends_a_session_the_page_says_so_and_shows_no_more(
    own: Callable[..., Device], page: Any
) -> None:
    device = own(needs_token=True)
    device.find(VF)
    token = create_token(device.state, "ward", Role.OPERATOR)
    page.open(device.address)
    page.until("document.querySelector('#sign-in').checkVisibility()")
    page.type(token)
    page.press("Enter")
    page.until(f"{LIVE} && {ROW.format('bed-7')}")
    revoke_token(device.state, "ward")
    page.until("document.querySelector('#session-ended').checkVisibility()", within_s=40)
    assert page.evaluate("document.querySelectorAll('.alert, .tile, .panel').length") == 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Look until a condition holds, 30 s at most; fails at once where the process that should bring it has ended."""
    deadline_s = time.monotonic() + 30
    pause = threading.Event()
    while not condition():
        assert process is None or process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline_s, "it did not happen"
        pause.wait(0.02)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
