"""What comes from outside: CSV files, FHIR Observations, and the store that keeps them."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from apps.healthcare.app import app
from apps.healthcare.config import HealthcareConfig
from apps.healthcare.vitals.csvfile import open_csv, write_csv
from apps.healthcare.vitals.fhir import LARGEST_FUTURE_S, OLDEST_S, observation_from_json
from apps.healthcare.vitals.observations import ObservationStore, observations_file
from apps.healthcare.vitals.signs import Measurement, Origin, Sign
from apps.healthcare.vitals.sources import ObservationSource, csv_bedside
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import InputError, SensorError
from edgeai_core.http.server import Server, bind, create_app
from edgeai_core.http.services import MountedApp
from edgeai_core.http.settings import ServeSettings
from edgeai_core.http.tokens import create_token
from edgeai_core.state import State

NOW_S = 1_795_000_000.0


def observation(code: str = "9279-1", value: float = 22, unit: str = "/min", **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "vital-signs",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/patient-1"},
        "effectiveDateTime": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW_S - 60)),
        "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": unit},
    }
    return body | fields


def quantity(value: float) -> dict[str, Any]:
    return {"value": value, "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}


def pressure() -> dict[str, Any]:
    body = observation("85354-9")
    del body["valueQuantity"]
    body["component"] = [
        {"code": {"coding": [{"system": "http://loinc.org", "code": code}]}, "valueQuantity": quantity(value)}
        for code, value in (("8480-6", 118), ("8462-4", 76))
    ]
    return body


@pytest.mark.parametrize(
    ("code", "value", "unit", "sign", "expected"),
    [
        ("8867-4", 72, "/min", Sign.HEART_RATE, 72),
        ("9279-1", 22, "/min", Sign.RESPIRATION, 22),
        ("2708-6", 95, "%", Sign.SPO2, 95),
        ("59408-5", 95, "%", Sign.SPO2, 95),
        ("8310-5", 38.2, "Cel", Sign.TEMPERATURE, 38.2),
        ("8310-5", 100.4, "[degF]", Sign.TEMPERATURE, 38.0),
        ("3151-8", 2, "L/min", Sign.OXYGEN, 2),
    ],
)
def test_every_sign_is_read_in_its_unit(
    code: str, value: float, unit: str, sign: Sign, expected: float
) -> None:
    found = observation_from_json(observation(code, value, unit), NOW_S)
    (measured,) = found.measurements
    assert (measured.sign, measured.origin) == (sign, Origin.CHARTED)
    assert measured.value == pytest.approx(expected)
    assert (found.patient, found.taken_s) == ("patient-1", pytest.approx(NOW_S - 60, abs=1))


def test_a_blood_pressure_panel_is_a_cuff() -> None:
    found = observation_from_json(pressure(), NOW_S)
    assert found.measurements == (
        Measurement(Sign.SYSTOLIC, 118, Origin.CUFF),
        Measurement(Sign.DIASTOLIC, 76, Origin.CUFF),
    )


@pytest.mark.parametrize(
    ("code", "place"),
    [("248234008", 0), ("130987000", 1), ("300202002", 2), ("450847001", 3), ("422768004", 4)],
)
def test_consciousness_is_read_from_snomed(code: str, place: int) -> None:
    body = observation(
        "80288-4", valueCodeableConcept={"coding": [{"system": "http://snomed.info/sct", "code": code}]}
    )
    assert observation_from_json(body, NOW_S).measurements[0].value == place


WRONG: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("type", lambda b: b.update(resourceType="Patient"), "resourceType"),
    ("status", lambda b: b.update(status="entered-in-error"), "status"),
    ("category", lambda b: b.update(category=[]), "category"),
    ("code", lambda b: b["code"]["coding"][0].update(code="1-8"), "code: no LOINC code"),
    ("system", lambda b: b["code"]["coding"][0].update(system="urn:x"), "code: no LOINC code"),
    ("unit", lambda b: b["valueQuantity"].update(code="mm[Hg]"), "unit 'mm\\[Hg\\]'"),
    ("no unit", lambda b: b["valueQuantity"].pop("code"), "no coded unit"),
    ("unit system", lambda b: b["valueQuantity"].update(system="urn:x"), "of 'urn:x'"),
    ("value", lambda b: b["valueQuantity"].update(value="22"), "must be a number"),
    ("bool", lambda b: b["valueQuantity"].update(value=True), "must be a number"),
    ("huge", lambda b: b["valueQuantity"].update(value=220), "a patient has 0 to 80"),
    ("bound", lambda b: b["valueQuantity"].update(comparator="<"), "a bound is no value"),
    ("no value", lambda b: b.pop("valueQuantity"), "valueQuantity: it is missing"),
    ("no subject", lambda b: b.pop("subject"), "subject: it is missing"),
    ("subject", lambda b: b.update(subject={"reference": "Device/1"}), "must be Patient/<id>"),
    ("no time", lambda b: b.pop("effectiveDateTime"), "effectiveDateTime: it is missing"),
    ("date", lambda b: b.update(effectiveDateTime="2026-11-24"), "no time of day"),
    ("no offset", lambda b: b.update(effectiveDateTime="2026-11-24T03:15:00"), "no offset"),
    ("nonsense", lambda b: b.update(effectiveDateTime="yesterday"), "is no time"),
    ("list", lambda b: b.update(category="vital-signs"), "must be a list"),
]


@pytest.mark.parametrize(("change", "reason"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_what_is_wrong_is_refused_with_its_place(
    change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    body = copy.deepcopy(observation())
    change(body)
    with pytest.raises(InputError, match=reason):
        observation_from_json(body, NOW_S)


def test_what_is_too_old_or_of_the_future_is_refused() -> None:
    body = observation()
    observation_from_json(body, NOW_S - 60 - LARGEST_FUTURE_S + 2)
    observation_from_json(body, NOW_S - 60 + OLDEST_S - 2)
    for now_s in (NOW_S - 60 - LARGEST_FUTURE_S - 2, NOW_S - 60 + OLDEST_S + 2):
        with pytest.raises(InputError, match="effectiveDateTime"):
            observation_from_json(body, now_s)


def test_a_panel_takes_nothing_but_pressures() -> None:
    body = pressure()
    body["component"][0] = observation("8867-4", 70)
    with pytest.raises(InputError, match="no part of a blood pressure panel"):
        observation_from_json(body, NOW_S)
    with pytest.raises(InputError, match="component"):
        observation_from_json(body | {"component": []}, NOW_S)


def test_an_observation_is_kept_once_and_read_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "observations.sqlite3"
    found = observation_from_json(observation(), NOW_S)
    store = ObservationStore(path)
    assert store.put(found.id, found.patient, found.taken_s, NOW_S, found.measurements)
    assert not store.put(found.id, found.patient, found.taken_s, NOW_S, found.measurements)
    other = observation_from_json(observation(subject={"reference": "Patient/other"}), NOW_S)
    store.put(other.id, other.patient, other.taken_s, NOW_S, other.measurements)
    for _ in range(2):  # a loop that starts, and one that starts again
        clock = VirtualClock(5_000_000_000_000)
        source = ObservationSource(path, "patient-1", lambda: NOW_S)
        source.open(clock)
        reading = source.read(0.1)
        assert reading is not None
        assert reading.data.measurements == found.measurements
        assert reading.time_ns == pytest.approx(clock.now_ns() - 60e9, abs=2e9)
        assert source.read(0.1) is None
        source.close()
    late = ObservationSource(path, "patient-1", lambda: NOW_S + 13 * 3600)
    late.open(VirtualClock())
    assert late.read(0.1) is None
    late.close()
    store.close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_store_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    path = tmp_path / "observations.sqlite3"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(SensorError, match="observations cannot be kept"):
        ObservationStore(path)


def test_values_in_a_csv_come_when_they_were_taken(tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    path.write_text(
        "# simulated: yes\ntime_s,heart_rate_bpm,cuff_systolic_mmhg,consciousness\n10,72,120,A\n11,,,\n70,75,,v\n"
    )
    chunks = list(open_csv(path))
    assert [each[0] for each in chunks] == [0.5, 60.5]
    assert chunks[0][1] == (
        Measurement(Sign.HEART_RATE, 72),
        Measurement(Sign.SYSTOLIC, 120, Origin.CUFF),
        Measurement(Sign.CONSCIOUSNESS, 0, Origin.CHARTED),
    )
    assert chunks[1][1][1] == Measurement(Sign.CONSCIOUSNESS, 2, Origin.CHARTED)
    assert all(each[3] for each in chunks)


def test_waveforms_in_a_csv_come_at_the_rate_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "waves.csv"
    rows = "\n".join(f"{n / 50:.2f},{n % 7},{'98' if n == 60 else ''}" for n in range(100))
    path.write_text(f"time_s,ppg,spo2_percent\n{rows}\n")
    chunks = list(open_csv(path))
    assert [len(each[2][0].samples) for each in chunks] == [25, 25, 25, 25]
    assert chunks[0][2][0].rate_hz == 50
    assert [len(each[1]) for each in chunks] == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("time_s,heart_rate_bpm\n", "holds no row"),
        ("time_s,pulse\n1,2\n", "unknown: pulse"),
        ("heart_rate_bpm\n1\n", "expected time_s"),
        ("time_s,heart_rate_bpm\n1\n", ":2: 1 cells where the head names 2"),
        ("time_s,heart_rate_bpm\n1,x\n", ":2: heart_rate_bpm is 'x'"),
        ("time_s,consciousness\n1,Q\n", "one of A, C, V, P, U"),
        ("time_s,heart_rate_bpm\n2,70\n1,70\n", ":3: time_s is '1'"),
        ("time_s,heart_rate_bpm\n,70\n", ":2: time_s is ''"),
        ("time_s,ppg\n1,70\n2,70\n", "10 Hz or more"),
        ("time_s,heart_rate_bpm\n1,70\n100000,70\n", "more than a day"),
        ("time_s,heart_rate_bpm\n1," + "7" * 5000 + "\n", "longer than"),
    ],
)
def test_a_csv_that_makes_no_sense_is_refused_by_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=reason.replace("[", "\\[")):
        list(open_csv(path))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        list(open_csv(path))
    with pytest.raises(InputError, match="No such file"):
        list(open_csv(tmp_path / "missing.csv"))


# Over HTTP

PATH = "/v1/healthcare/observations"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state").create()


@pytest.fixture
def ward(state: State) -> Iterator[Callable[[str], httpx.Client]]:
    """Return a function that gives a client with a token of a role."""
    settings = ServeSettings(state=state.root, device="bed-1")
    server = Server(settings, create_app(settings, [MountedApp(app, HealthcareConfig())]))
    with contextlib.closing(bind("127.0.0.1", 0)) as listener, contextlib.ExitStack() as clients:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()

        def client(role: str) -> httpx.Client:
            headers = {"Authorization": f"Bearer {create_token(state, role, role)}"}
            return clients.enter_context(httpx.Client(base_url=url, headers=headers, timeout=20))

        yield client
        server.should_exit = True
        thread.join()


def today(**fields: Any) -> dict[str, Any]:
    return observation(effectiveDateTime=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()), **fields)


def test_what_is_answered_with_201_is_on_the_disk_and_the_same_again_changes_nothing(
    state: State, ward: Callable[[str], httpx.Client]
) -> None:
    nurse = ward("operator")
    first = nurse.post(PATH, json=today())
    assert first.status_code == 201, first.text
    body = today(value=24)
    answers = [nurse.post(PATH, json=body).status_code for _ in range(2)]
    assert answers == [201, 200]
    store = ObservationStore(observations_file(state))
    kept = store.after(0, "patient-1", 0.0)
    store.close()
    assert [each[2][0].value for each in kept] == [22, 24]


def test_wrong_units_other_patients_and_viewers_are_refused(ward: Callable[[str], httpx.Client]) -> None:
    nurse = ward("operator")
    wrong = nurse.post(PATH, json=today(unit="kPa"))
    assert wrong.status_code == 422
    assert "unit 'kPa'" in wrong.json()["detail"]
    other = nurse.post(PATH, json=today(subject={"reference": "Patient/other"}))
    assert other.status_code == 409
    assert nurse.post(PATH, content=b"{").status_code in (400, 422)
    assert nurse.post(PATH, json=[]).status_code == 422
    assert ward("viewer").post(PATH, json=today()).status_code == 403
    assert ward("device").post(PATH, json=today()).status_code == 403


def test_a_folder_of_recordings_is_played_one_after_the_other(tmp_path: Path) -> None:
    for name, value in (("2_late.csv", 90), ("1_early.csv", 97)):
        (tmp_path / name).write_text(f"time_s,spo2_percent\n0,{value}\n1,{value}\n")
    played = [(end_s, chunk.recording) for end_s, chunk in csv_bedside(tmp_path)(0)]
    assert played == [(0.5, "1_early"), (1.5, "1_early"), (2.0, "2_late"), (3.0, "2_late")]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no recording in this folder"):
        csv_bedside(tmp_path / "none")


def test_what_is_written_is_read_again_with_its_gaps(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    rows = [{"ppg": n / 100, "spo2_percent": 98.0} if n % 50 == 0 else {"ppg": n / 100} for n in range(100)]
    write_csv(path, rows, 50.0, simulated=True)
    chunks = list(open_csv(path))
    assert [end_s for end_s, *_ in chunks] == [0.5, 1.0, 1.5, 2.0]
    assert all(simulated for *_, simulated in chunks)
    assert [len(measured) for _, measured, _, _ in chunks] == [1, 0, 1, 0]
    assert np.concatenate([wave.samples for _, _, (wave,), _ in chunks]) == pytest.approx(
        np.arange(100) / 100
    )
