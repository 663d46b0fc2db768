"""Studies over HTTP: what was taken is on the disk, the worklist is in order, and only the right may look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.healthcare.config import HealthcareConfig
from apps.healthcare.imaging.decide import ImagingOutput, Status, Triage
from apps.healthcare.imaging.inbox import MAX_STUDY_BYTES, Inbox, study_id
from apps.healthcare.imaging.loop import reports_folder
from apps.healthcare.imaging.report import write_report
from apps.healthcare.imaging.routes import studies_router
from edgeai_core.app import App
from edgeai_core.http.services import MountedApp
from tests.apps.healthcare.imaging.conftest import phantom, png
from tests.edgeai_core.http.conftest import Running

STUDIES = "/v1/healthcare/studies"
PICTURE = png(phantom())
AS_BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    app = App(
        "healthcare",
        "Studies",
        HealthcareConfig,
        lambda config: (),
        router=lambda config: studies_router(config.imaging),
        bodies={"/studies": MAX_STUDY_BYTES},
    )
    running = Running(tmp_path / "state", (MountedApp(app, HealthcareConfig()),), max_body_bytes=1024)
    yield running
    running.stop()


def answered(server: Running, study: str, triage: Triage, probability: float | None, status: Status) -> None:
    output = ImagingOutput(study, f"{study[:4]}.png", status, "xray", "", probability, triage)
    live = {"picture": {"media_type": "image/jpeg", "bytes": b"jpeg bytes"}}
    write_report(reports_folder(server.state), output, live)


def test_what_is_handed_in_waits_on_the_disk_and_sent_twice_it_is_one_study(server: Running) -> None:
    with server.client("device") as client:
        path = f"{STUDIES}?modality=xray&reference=acc%204711"
        first = client.post(path, content=PICTURE, headers=AS_BYTES)
        again = client.post(path, content=PICTURE, headers=AS_BYTES)
    assert first.status_code == 202
    assert first.json() == again.json()
    assert first.json()["study"] == study_id(PICTURE)
    (queued,) = Inbox(server.state.root / "inbox" / "imaging").waiting()
    assert queued.path.read_bytes() == PICTURE
    assert (queued.modality, queued.reference) == ("xray", "acc_4711")


def test_a_picture_may_be_larger_than_other_bodies_and_no_larger_than_its_own_limit(server: Running) -> None:
    large = PICTURE + bytes(200_000)
    with server.client("device") as client:
        assert client.post(STUDIES, content=large, headers=AS_BYTES).status_code == 202
        assert client.post("/v1/alerts", content=large, headers=AS_BYTES).status_code == 413
        huge = client.post(STUDIES, content=bytes(MAX_STUDY_BYTES + 1), headers=AS_BYTES)
    assert huge.status_code == 413
    assert huge.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "content", "headers", "status"),
    [
        (STUDIES, b"", AS_BYTES, 422),
        (STUDIES, b"x", {"content-type": "multipart/form-data; boundary=x"}, 415),
        (f"{STUDIES}?modality=cat", PICTURE, AS_BYTES, 422),
        (f"{STUDIES}?reference=a%2Fb", PICTURE, AS_BYTES, 422),
    ],
)
def test_a_wrong_request_is_a_problem_document(
    server: Running, path: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    with server.client("device") as client:
        answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_only_devices_hand_in_and_only_people_look(server: Running) -> None:
    answered(server, "ab" * 16, Triage.NOW, 0.97, Status.FINDING)
    with server.client("viewer") as viewer, server.client("device") as device, server.client(None) as nobody:
        assert viewer.post(STUDIES, content=PICTURE, headers=AS_BYTES).status_code == 403
        assert device.get(STUDIES).status_code == 403
        for path in (STUDIES, f"{STUDIES}/{'ab' * 16}", f"{STUDIES}/{'ab' * 16}/picture.jpg"):
            assert nobody.get(path).status_code == 401
            assert viewer.get(path).status_code == 200


def test_the_worklist_begins_with_the_most_urgent_and_ends_with_what_waits(server: Running) -> None:
    answered(server, "a0" * 16, Triage.ROUTINE, 0.02, Status.NO_FINDING)
    answered(server, "b0" * 16, Triage.UNCLEAR, None, Status.REFUSED)
    answered(server, "c0" * 16, Triage.NOW, 0.98, Status.FINDING)
    answered(server, "d0" * 16, Triage.SOON, 0.8, Status.FINDING)
    Inbox(server.state.root / "inbox" / "imaging").put(PICTURE, "waits.png", None)
    with server.client("viewer") as client:
        studies = client.get(STUDIES).json()["studies"]
    assert [each["study"][:2] for each in studies] == ["c0", "d0", "b0", "a0", study_id(PICTURE)[:2]]
    assert studies[-1]["status"] == "WAITING"


def test_a_study_has_its_facts_its_pictures_and_its_page_and_an_unknown_one_none(server: Running) -> None:
    answered(server, "ab" * 16, Triage.NOW, 0.97, Status.FINDING)
    with server.client("viewer") as client:
        assert client.get(f"{STUDIES}/{'ab' * 16}").json()["probability"] == 0.97
        picture = client.get(f"{STUDIES}/{'ab' * 16}/picture.jpg")
        page = client.get(f"{STUDIES}/{'ab' * 16}/page.html")
        missing = [
            client.get(f"{STUDIES}/{path}").status_code for path in ("cd" * 16, f"{'ab' * 16}/map.jpg")
        ]
        wrong = client.get(f"{STUDIES}/..%2f..%2ftokens.toml").status_code
    assert (picture.headers["content-type"], picture.content) == ("image/jpeg", b"jpeg bytes")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert missing == [404, 404]
    assert wrong in (404, 422)


def test_a_study_that_was_answered_is_not_queued_again(server: Running) -> None:
    answered(server, study_id(PICTURE), Triage.NOW, 0.97, Status.FINDING)
    with server.client("device") as client:
        answer = client.post(STUDIES, content=PICTURE, headers=AS_BYTES)
    assert answer.json()["status"] == "FINDING"
    assert Inbox(server.state.root / "inbox" / "imaging").waiting() == []
