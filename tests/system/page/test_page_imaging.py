"""The imaging worklist in a real browser, before a real server: pictures, their maps, the order, and new studies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apps.healthcare.imaging.routes as routes
from apps.healthcare.config import HealthcareConfig
from apps.healthcare.imaging.decide import ImagingOutput, Status, Triage
from apps.healthcare.imaging.drawing import map_over, picture_of
from apps.healthcare.imaging.inbox import Inbox
from apps.healthcare.imaging.loop import reports_folder
from apps.healthcare.imaging.preprocess import Box
from apps.healthcare.imaging.report import write_report
from edgeai_core.app import App, Panel
from edgeai_core.http.services import MountedApp
from edgeai_core.topics.live import LivePublisher
from tests.apps.healthcare.imaging.conftest import phantom
from tests.edgeai_core.http.conftest import Running

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.timeout(120)]

PANEL = Path(routes.__file__).parents[1] / "page" / "imaging.js"
ROWS = "[...document.querySelectorAll('.study')]"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    app = App(
        "healthcare",
        "Studies",
        HealthcareConfig,
        lambda config: (),
        router=lambda config: routes.studies_router(config.imaging),
        panels=(Panel("imaging", "Imaging worklist", PANEL, ("healthcare.imaging/study",)),),
    )
    mounted = (MountedApp(app, HealthcareConfig()),)
    running = Running(tmp_path / "state", mounted, allow_loopback_without_token=True)
    yield running
    running.stop()


def answer(
    server: Running, letter: str, status: Status, triage: Triage, probability: float | None,
    *, pictured: bool = True, **more: Any,
) -> str:  # fmt: skip
    study = letter * 32
    grey = phantom(seed=ord(letter))
    relief = np.zeros((7, 7), np.float32)
    relief[3, 2] = 1.0
    live = {"picture": {"media_type": "image/jpeg", "bytes": picture_of(grey)}} if pictured else {}
    if status is not Status.REFUSED:
        laid = map_over(grey, Box(0, 0, grey.shape[1], grey.shape[0]), relief, probability or 0.0)
        live["map"] = {"media_type": "image/jpeg", "bytes": laid}
    model = (
        {} if status is Status.REFUSED else {"model": "imaging-xray", "version": "1.0.0", "digest": "ab" * 32}
    )
    output = ImagingOutput(
        study, f"film-{letter}.png", status, "xray", "", probability, triage, **more, **model
    )
    write_report(reports_folder(server.state), output, live)
    return study


def test_the_worklist_shows_pictures_their_maps_and_new_studies_by_themselves(
    server: Running, page: Any
) -> None:
    answer(server, "a", Status.NO_FINDING, Triage.ROUTINE, 0.03, message="Nothing found")
    urgent = answer(server, "b", Status.FINDING, Triage.NOW, 0.97, message="Pneumonia suspected")
    answer(server, "c", Status.REFUSED, Triage.UNCLEAR, None, reason="COLOUR", message="a colour picture")
    Inbox(server.state.root / "inbox" / "imaging").put(b"waits", "film-w.png", "xray")
    page.open(f"{server.url}/")
    page.until(
        f"{ROWS}.length === 4 && {ROWS}.slice(0, 3).every(row => row.querySelector('img').naturalWidth === 300)"
    )
    assert page.evaluate(f"{ROWS}.map(row => row.dataset.status)") == [
        "FINDING",
        "REFUSED",
        "NO_FINDING",
        "WAITING",
    ]
    first = page.text(".study")
    said = "film-b.png · xray · probability of a finding 97 % · now"
    for word in ("Pneumonia suspected", said, "imaging-xray 1.0.0", "abababababab"):
        assert word in first
    page.evaluate(f"{ROWS}[0].querySelector('button').click()")
    page.until(f"{ROWS}[0].querySelector('img').dataset.shows === 'map.jpg'")
    assert page.evaluate(f"{ROWS}[0].querySelector('button').getAttribute('aria-pressed')") == "true"
    assert page.evaluate(f"{ROWS}[0].querySelector('a').getAttribute('href')").endswith(
        f"/{urgent}/page.html"
    )

    answer(server, "d", Status.FINDING, Triage.NOW, 0.99, message="Pneumonia suspected")
    publisher = LivePublisher(server.state.run)
    publisher.publish("healthcare.imaging/study", {}, time.monotonic_ns())
    page.until(f"{ROWS}.length === 5 && {ROWS}[0].dataset.study === 'd'.repeat(32)", within_s=8.0)
    publisher.close()

    # What could not be read has no picture: nobody asks for one, and nothing is complained of.
    answer(server, "e", Status.REFUSED, Triage.UNCLEAR, None, pictured=False, message="the JPEG is cut off")
    page.open(f"{server.url}/")
    page.until(f"{ROWS}.length === 6 && {ROWS}.some(row => row.innerText.includes('the JPEG is cut off'))")
    assert page.evaluate(f"{ROWS}.some(row => row.innerText.includes('no picture'))")
    assert not any("e" * 32 + "/picture.jpg" in address for address in page.requests)

    page.size(380, 800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.open(f"{server.url}/v1/healthcare/studies/{urgent}/page.html")
    page.until(
        "[...document.images].length === 2 && [...document.images].every(image => image.naturalWidth > 0)"
    )
    assert "Not a medical device" in page.text("body")
    assert page.evaluate("getComputedStyle(document.querySelector('.note')).borderLeftWidth") == "4px"
    assert page.errors == []
