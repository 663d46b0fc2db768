"""FHIR R4 Observations of the vital-signs profile: what is read of them, and what is refused.

Codes are LOINC's as the profile has them (https://hl7.org/fhir/R4/observation-vitalsigns.html), units UCUM's;
consciousness is SNOMED CT's, as in implementations of NEWS2. What is not understood is refused with the place, so that
nothing that a sender believes to be charted is silently missing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from apps.healthcare.vitals.signs import PLAUSIBLE, UNITS, Measurement, Origin, Sign
from edgeai_core.errors import InputError

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"

CODES = {
    "8867-4": Sign.HEART_RATE,
    "9279-1": Sign.RESPIRATION,
    "2708-6": Sign.SPO2,
    "59408-5": Sign.SPO2,
    "8310-5": Sign.TEMPERATURE,
    "8480-6": Sign.SYSTOLIC,
    "8462-4": Sign.DIASTOLIC,
    "8478-0": Sign.MEAN_PRESSURE,
    "3151-8": Sign.OXYGEN,
    "80288-4": Sign.CONSCIOUSNESS,
    "67775-7": Sign.CONSCIOUSNESS,
}
BLOOD_PRESSURE = "85354-9"
PRESSURES = frozenset({Sign.SYSTOLIC, Sign.DIASTOLIC, Sign.MEAN_PRESSURE})

UCUM_UNITS = {
    Sign.HEART_RATE: ("/min",),
    Sign.RESPIRATION: ("/min",),
    Sign.SPO2: ("%",),
    Sign.TEMPERATURE: ("Cel", "[degF]"),
    Sign.SYSTOLIC: ("mm[Hg]",),
    Sign.DIASTOLIC: ("mm[Hg]",),
    Sign.MEAN_PRESSURE: ("mm[Hg]",),
    Sign.OXYGEN: ("L/min",),
}
ACVPU_CODES = {
    "248234008": 0.0,  # mentally alert
    "130987000": 1.0,  # acute confusion
    "300202002": 2.0,  # responds to voice
    "450847001": 3.0,  # responds to pain
    "422768004": 4.0,  # unresponsive
}

STATUSES = ("final", "amended", "corrected", "preliminary")
LARGEST_FUTURE_S = 300.0
OLDEST_S = 12 * 3600.0
MAX_COMPONENTS = 20


@dataclass(frozen=True)
class Observation:
    """What was read: ``id`` tells the same content again; ``taken_s`` is seconds since 1970."""

    id: str
    patient: str
    taken_s: float
    measurements: tuple[Measurement, ...]


def observation_from_json(body: Mapping[str, Any], now_s: float) -> Observation:
    """Return what a FHIR Observation says. ``now_s`` is the present, in seconds since 1970.

    Raises InputError that names the element and the reason.
    """
    if body.get("resourceType") != "Observation":
        _fail("resourceType", f"it is {_shown(body.get('resourceType'))}; only Observation is taken")
    if body.get("status") not in STATUSES:
        _fail("status", f"it is {_shown(body.get('status'))}; taken are {', '.join(STATUSES)}")
    _check_category(body)
    taken_s = _taken_s(body, now_s)
    measurements = tuple(_measurements(body))
    whole = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Observation(hashlib.sha256(whole.encode()).hexdigest()[:32], _patient(body), taken_s, measurements)


def _check_category(body: Mapping[str, Any]) -> None:
    for place, category in enumerate(_list(body, "category", 10)):
        for coding in _list(_object(category, f"category[{place}]"), "coding", 20):
            if isinstance(coding, dict) and (coding.get("system"), coding.get("code")) == (
                CATEGORY,
                "vital-signs",
            ):
                return
    _fail("category", f"it must hold the code vital-signs of {CATEGORY}")


def _patient(body: Mapping[str, Any]) -> str:
    reference = _object(body.get("subject"), "subject").get("reference")
    if (
        not isinstance(reference, str)
        or not reference.rpartition("Patient/")[2]
        or "Patient/" not in reference
    ):
        _fail("subject.reference", f"it is {_shown(reference)}; it must be Patient/<id>")
    patient = reference.rpartition("Patient/")[2]
    if len(patient) > 100 or not patient.isprintable():
        _fail("subject.reference", "the id of a patient has at most 100 printable characters")
    return patient


def _taken_s(body: Mapping[str, Any], now_s: float) -> float:
    text = body.get("effectiveDateTime")
    if not isinstance(text, str):
        _fail("effectiveDateTime", "it is missing: when it was measured decides how long it counts")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _fail("effectiveDateTime", f"{_shown(text)} is no time")
    if "T" not in text or moment.tzinfo is None:
        _fail(
            "effectiveDateTime",
            f"{_shown(text)} has no time of day or no offset, as 2026-11-24T03:15:00+01:00",
        )
    age_s = now_s - moment.timestamp()
    if age_s < -LARGEST_FUTURE_S:
        _fail("effectiveDateTime", f"it lies {-age_s:.0f} s in the future by this device's clock")
    if age_s > OLDEST_S:
        _fail("effectiveDateTime", f"it is {age_s / 3600:.1f} h old; taken is up to {OLDEST_S / 3600:g} h")
    return moment.timestamp()


def _measurements(body: Mapping[str, Any]) -> list[Measurement]:
    if _code(body, "code", BLOOD_PRESSURE):
        components = _list(body, "component", MAX_COMPONENTS)
        if not components:
            _fail("component", "a blood pressure panel holds its systolic and diastolic pressure here")
        found = [
            _measurement(_object(each, f"component[{place}]"), f"component[{place}].", Origin.CUFF)
            for place, each in enumerate(components)
        ]
        if wrong := [each.sign for each in found if each.sign not in PRESSURES]:
            _fail("component", f"{wrong[0].value} is no part of a blood pressure panel")
        return found
    return [_measurement(body, "", Origin.CHARTED)]


def _measurement(element: Mapping[str, Any], at: str, origin: Origin) -> Measurement:
    sign = next((sign for code, sign in CODES.items() if _code(element, f"{at}code", code)), None)
    if sign is None:
        _fail(
            f"{at}code", f"no LOINC code of a sign that is taken here ({', '.join([BLOOD_PRESSURE, *CODES])})"
        )
    origin = Origin.CUFF if sign in PRESSURES else origin
    if sign is Sign.CONSCIOUSNESS:
        codings = _list(
            _object(element.get("valueCodeableConcept"), f"{at}valueCodeableConcept"), "coding", 20
        )
        for coding in codings:
            if (
                isinstance(coding, dict)
                and coding.get("system") == SNOMED
                and coding.get("code") in ACVPU_CODES
            ):
                return Measurement(sign, ACVPU_CODES[coding["code"]], origin)
        _fail(f"{at}valueCodeableConcept", f"no SNOMED CT code of ACVPU ({', '.join(ACVPU_CODES)})")
    return Measurement(sign, _quantity(element, at, sign), origin)


def _quantity(element: Mapping[str, Any], at: str, sign: Sign) -> float:
    quantity = _object(element.get("valueQuantity"), f"{at}valueQuantity")
    unit, system = quantity.get("code"), quantity.get("system")
    if unit not in UCUM_UNITS[sign] or system != UCUM:
        given = "it has no coded unit" if unit is None else f"unit {_shown(unit)} of {_shown(system)}"
        _fail(
            f"{at}valueQuantity",
            f"{given}; {sign.value} is taken in {' or '.join(UCUM_UNITS[sign])} of {UCUM}",
        )
    value = quantity.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        _fail(f"{at}valueQuantity.value", f"it is {_shown(value)}; it must be a number")
    if quantity.get("comparator"):
        _fail(f"{at}valueQuantity.comparator", "a bound is no value")
    if unit == "[degF]":
        value = (value - 32.0) / 1.8
    low, high = PLAUSIBLE[sign]
    if not low <= value <= high:
        _fail(f"{at}valueQuantity.value", f"{value:g} {UNITS[sign]}: a patient has {low:g} to {high:g}")
    return float(value)


def _code(element: Mapping[str, Any], at: str, wanted: str) -> bool:
    return any(
        isinstance(coding, dict) and coding.get("system") == LOINC and coding.get("code") == wanted
        for coding in _list(_object(element.get("code"), at), "coding", 20)
    )


def _object(value: object, at: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _fail(at, "it is missing" if value is None else "it must be an object")
    return value


def _list(body: Mapping[str, Any], name: str, most: int) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        _fail(name, f"it must be a list of up to {most}")
    return value


def _shown(value: object) -> str:
    return repr(value)[:60]


def _fail(at: str, reason: str) -> NoReturn:
    raise InputError(f"Observation.{at}: {reason}")
