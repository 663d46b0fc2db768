"""Problem documents (RFC 9457): what every refusal and failure looks like."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from edgeai_core.errors import InputError, JournalError

MEDIA_TYPE = "application/problem+json"

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["there is no alert with this id"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

_log = logging.getLogger("edgeai.http")
_MAX_ERRORS = 20
_MAX_POINTER = 200


def problem(
    status: int,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """Return a problem document; its title is the status' own phrase, for its type is ``about:blank``."""
    return Response(problem_bytes(status, detail, errors), status, headers=headers, media_type=MEDIA_TYPE)


def problem_bytes(
    status: int, detail: str | None = None, errors: list[dict[str, str]] | None = None
) -> bytes:
    """Return the body of a problem document."""
    document: dict[str, object] = {"type": "about:blank", "title": _phrase(status), "status": status}
    if detail:
        document["detail"] = detail
    if errors:
        document["errors"] = errors
    return json.dumps(document).encode()


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's description of the problems a route may answer with."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": _phrase(status), "content": {MEDIA_TYPE: schema}} for status in statuses}


def install(app: FastAPI) -> None:
    """Make every refusal of the framework, of a route and of the journal a problem document."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(JournalError, _journal)
    app.add_exception_handler(InputError, _input)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if error.detail != _phrase(error.status_code) else None
    return problem(error.status_code, detail, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [
        # What was sent is not repeated: it may hold a token.
        {
            "pointer": "/" + "/".join(str(part) for part in each["loc"])[:_MAX_POINTER],
            "detail": str(each["msg"])[:_MAX_POINTER],
        }
        for each in found[:_MAX_ERRORS]
    ]
    first = f"{errors[0]['pointer']}: {errors[0]['detail']}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return problem(422, first + more, errors=errors)


async def _journal(request: Request, error: Exception) -> Response:
    _log.error("the alert journal failed: %s", error)
    return problem(503, str(error), headers={"Retry-After": "5"})


async def _input(request: Request, error: Exception) -> Response:
    return problem(422, str(error))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
