"""`POST /v1/healthcare/observations`: vital signs that people and other devices chart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request, Response

from apps.healthcare.vitals.fhir import observation_from_json
from apps.healthcare.vitals.observations import ObservationStore, observations_file
from edgeai_core.errors import InputError, SensorError
from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import services_of
from edgeai_core.http.tokens import Role
from edgeai_core.state import State

_EXAMPLE = {
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
    "code": {"coding": [{"system": "http://loinc.org", "code": "9279-1"}]},
    "subject": {"reference": "Patient/patient-1"},
    "effectiveDateTime": "2026-11-24T03:15:00+01:00",
    "valueQuantity": {"value": 22, "system": "http://unitsofmeasure.org", "code": "/min"},
}


def observations_router(patient: str) -> APIRouter:
    """Return the routes, for the patient that this device watches."""
    router = APIRouter(tags=["healthcare"])

    @router.post(
        "/observations",
        summary="Chart a vital sign (FHIR R4 Observation)",
        status_code=201,
        dependencies=[allow(Role.OPERATOR)],
        responses=responses(401, 403, 409, 413, 422, 503),
    )
    async def take(request: Request, body: Annotated[dict[str, Any], Body(examples=[_EXAMPLE])]) -> Response:
        """Keep a FHIR R4 Observation of the vital-signs profile; 201 says that it is on the disk.

        The same one again changes nothing and answers 200. It counts from `effectiveDateTime` on, for as long as its
        kind does.
        """
        try:
            found = observation_from_json(body, time.time())
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        if found.patient != patient:
            raise HTTPException(409, f"this device watches {patient!r}, not {found.patient[:60]!r}")

        def keep() -> bool:
            with _store(services_of(request).state) as store:
                return store.put(found.id, found.patient, found.taken_s, time.time(), found.measurements)

        try:
            fresh = await asyncio.to_thread(keep)
        except SensorError as error:
            raise HTTPException(503, str(error)) from None
        return Response(f'{{"id":"{found.id}"}}', 201 if fresh else 200, media_type="application/json")

    return router


@contextlib.contextmanager
def _store(state: State) -> Iterator[ObservationStore]:
    store = ObservationStore(observations_file(state))
    try:
        yield store
    finally:
        store.close()
