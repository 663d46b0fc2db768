"""A headless Chromium, driven by the DevTools protocol over a pipe: no driver, no package, no open port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.state import State

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--metrics-recording-only",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
_LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_TIMEOUT_S = 30.0


class Browser:
    """One Chromium process; ``page()`` opens a page with cookies and storage of its own."""

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        command = [sys.executable, "-c", _LAUNCH, str(to_read), str(to_write), program, *_FLAGS]
        self._log = (profile.parent / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}"],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._last_id = 0
        self._pages: dict[str, Page] = {}

    def page(self, width_px: int = 1280, height_px: int = 900) -> Page:
        """Open an empty page in a context of its own."""
        context = self.call("Target.createBrowserContext", {"disposeOnDetach": True})["browserContextId"]
        created = {"url": "about:blank", "browserContextId": context, "width": width_px, "height": height_px}
        target = self.call("Target.createTarget", created)["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            page.call(f"{domain}.enable")
        page.size(width_px, height_px)
        return page

    def call(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> Any:
        """Send one command and return its result; events that come meanwhile go to their pages."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            answer = self._receive(deadline_s)
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            page = self._pages.get(answer.get("sessionId", ""))
            if page is not None and "method" in answer:
                page.hear(answer["method"], answer["params"])

    def close(self) -> None:
        """End the browser and wait for it."""
        try:
            self.call("Browser.close")
        finally:
            os.close(self._to)
            os.close(self._from)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, 9)
                self._process.wait()
            self._log.close()

    def _receive(self, deadline_s: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self._from], [], [], left_s)[0]:
                raise TimeoutError(f"Chromium did not answer in {_TIMEOUT_S:.0f} s")
            chunk = os.read(self._from, 1 << 16)
            if not chunk:
                raise RuntimeError(f"Chromium ended, see {self._log.name}")
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


class Page:
    """One page. ``errors`` are what its console or its code complained of, ``requests`` the addresses it asked for."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target
        self.errors: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **params: Any) -> Any:
        """Send one command to this page."""
        return self._browser.call(method, params, self._session)

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Take an event."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def size(self, width_px: int, height_px: int) -> None:
        """Give the page a screen of this size, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=height_px,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, **features: str) -> None:
        """Set media features, as ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=named)

    def open(self, address: str) -> None:
        """Go to an address and wait until its modules have run."""
        self.call("Page.navigate", url=address)
        self.until(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited where it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    def until(self, condition: str, within_s: float = 15.0) -> None:
        """Wait in the page until a JavaScript condition holds; AssertionError with what the page shows otherwise."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            left_ms = max(1, int((deadline_s - time.monotonic()) * 1000))
            look = (
                f"new Promise(done => {{ const end = performance.now() + {left_ms};"
                f" const look = () => {{ let holds = false; try {{ holds = Boolean({condition}); }} catch {{}}"
                " if (holds || performance.now() > end) done(holds); else setTimeout(look, 20); }; look(); })"
            )
            try:
                if self.evaluate(look):
                    return
            except (RuntimeError, AssertionError) as error:
                if "context" not in str(error) and "navigat" not in str(error):
                    raise  # else the page is on its way to another address: look again there
        shown = self.evaluate("document.body?.innerText?.slice(0, 1500)")
        raise AssertionError(
            f"within {within_s} s never true: {condition}\nshown: {shown}\nerrors: {self.errors}"
        )

    def text(self, selector: str) -> str:
        """Return the visible text of the first element that matches."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def press(self, key: str) -> None:
        """Press and release a key, by its name in the DOM."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = _KEY_CODES.get(key, ord(key[0].upper()))
        what: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **what)
        self.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def type(self, text: str) -> None:
        """Put text where the focus is."""
        self.call("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """Save what the screen shows as a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", {"targetId": self._target})


_KEY_CODES = {"Tab": 9, "Enter": 13, "ArrowDown": 40, "F2": 113}


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all tests of the page; skips where this machine has none."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser here: none of {', '.join(_NAMES)} is installed")
    chromium = Browser(program, tmp_path_factory.mktemp("chromium") / "profile")
    yield chromium
    chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own."""
    opened = browser.page()
    yield opened
    opened.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[State, str]]:
    """The state folder and the address of ``edgeai serve healthcare``."""
    state = State(tmp_path / "state").create()
    options = ["--bind", "127.0.0.1:0", "--state", str(state.root), "--loopback-without-token"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeai_core.cli.main", "serve", "healthcare", *options]
    )
    said = state.run / "serve.json"
    deadline_s = time.monotonic() + 60
    while not said.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    yield state, json.loads(said.read_text())["url"]
    process.terminate()
    process.wait()
