"""Errors as RFC 9457 problem documents: what went wrong, and what to do about it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2


class Problem(Exception):  # noqa: N818 - the standard's own word
    """An answer that is an error."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


class ProblemDetails(BaseModel):
    """RFC 9457 problem document."""

    type: str = Field(description="URI of the kind of problem; about:blank where the status says it all")
    title: str = Field(description="The HTTP status in words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What went wrong here, and how to mend it")
    instance: str = Field(description="The path that was asked for")


def answer(path: str, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The problem document as a response."""
    return Response(body_of(path, status, detail), status, headers=dict(headers or {}), media_type=CONTENT_TYPE)


def body_of(path: str, status: int, detail: str) -> bytes:
    """The problem document."""
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "instance": path,
        }
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a path for OpenAPI: each of ``statuses`` answers with a problem document."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {CONTENT_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install(application: FastAPI) -> None:
    """Let every error of ``application`` be answered with a problem document."""

    async def on_problem(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, Problem)  # noqa: S101 - starlette calls by type
        return answer(request.url.path, problem.status, problem.detail, problem.headers)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - starlette calls by type
        return answer(request.url.path, error.status_code, str(error.detail), error.headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - starlette calls by type
        faults = (f"{' '.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors())
        return answer(request.url.path, HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(faults))

    async def on_failure(request: Request, error: Exception) -> Response:
        del error  # the server logs it: starlette raises it again after this answer
        detail = "The service failed on this request; its log says where"
        return answer(request.url.path, HTTPStatus.INTERNAL_SERVER_ERROR, detail)

    application.add_exception_handler(Problem, on_problem)
    application.add_exception_handler(HTTPException, on_http)
    application.add_exception_handler(RequestValidationError, on_invalid)
    application.add_exception_handler(Exception, on_failure)
