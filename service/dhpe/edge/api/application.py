"""The HTTP application: the paths of /v1, the page, the documents, and what an operator asks."""

import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI, Response
from pydantic import BaseModel, Field
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from dhpe import __version__
from dhpe.edge.api import problems
from dhpe.edge.api.answers import Answers
from dhpe.edge.api.guards import key_check
from dhpe.edge.api.limits import RequestLimit, SizeLimit
from dhpe.edge.api.problems import RETRY_AFTER_S, Problem, ProblemDetails, documented
from dhpe.edge.api.routes import Explain, Health, build_routes, explain_route
from dhpe.edge.metrics import CONTENT_TYPE, Metrics
from dhpe.edge.view import View
from dhpe.settings import Settings

WEB: Final = Path(__file__).parent.parent / "web"

DESCRIPTION: Final = """\
What option dealers' hedging does to the market, at every tick, with an error bar.

Money is in the underlying's currency, vol a fraction, time UTC nanoseconds of the event. A number that cannot be known
is `null` with a reason in `quality`, never 0 and never the last one: data older than `stale_after_s` is answered with
nulls and `stale`. Errors are problem documents (RFC 9457)."""


class State(BaseModel):
    """A plain yes."""

    status: str = Field(description="alive or ready")


def build_api(
    view: View,
    health: Health,
    settings: Settings,
    metrics: Metrics,
    explain: Explain,
    *,
    simulated: bool = False,
    now_s: Callable[[], float] = time.time,
) -> FastAPI:
    """The application, ready for a server.

    ``simulated`` marks every underlying as simulated (those named SIM… are in any case); ``now_s`` is the wall
    clock, seconds since 1970. Call ``view.close()`` before the server stops, or open streams keep it alive.
    """
    answers = Answers(view, now_s, settings.stale_after_s, simulated=simulated)
    metrics.watch(answers.samples)
    application = FastAPI(
        title="DHPE",
        summary="Dealer Hedge-Pressure Engine",
        description=DESCRIPTION,
        version=__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
    )
    key = settings.http_api_key
    guards = [] if key is None else [Depends(key_check(key, metrics))]
    sizes = documented(400, 413)
    refusals = sizes | documented(408, 429) | (documented(401) if guards else {})
    market = build_routes(view, health, settings, metrics, answers)
    application.include_router(market, dependencies=guards, responses=refusals)
    application.include_router(explain_route(explain), dependencies=guards, responses=refusals)
    application.include_router(_operation(health), responses=sizes)
    application.include_router(_metrics(metrics), dependencies=guards, responses=refusals)
    application.include_router(_pages())
    application.mount("/web", StaticFiles(directory=WEB), name="web")
    problems.install(application)
    _describe_problems(application)
    application.add_middleware(SizeLimit, settings=settings, metrics=metrics)
    application.add_middleware(RequestLimit, per_minute=settings.http_requests_per_minute, metrics=metrics, now_s=now_s)
    return application


def _operation(health: Health) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", responses=documented(503))
    async def healthz() -> State:
        """Liveness: the loop makes progress."""
        if not health.alive():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The loop makes no progress")
        return State(status="alive")

    @router.get("/readyz", responses=documented(503))
    async def readyz() -> State:
        """Readiness: assigned, restored, and near the end of the input."""
        ready, reason = health.ready()
        if not ready:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"retry-after": str(RETRY_AFTER_S)})
        return State(status="ready")

    return router


def _metrics(metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def scrape() -> Response:
        """Prometheus metrics, in base units."""
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    return router


def _pages() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    def serve(path: str, file: str) -> None:
        @router.api_route(path, methods=["GET", "HEAD"], name=file)
        async def page() -> FileResponse:
            return FileResponse(WEB / file)

    serve("/", "index.html")
    serve("/docs", "docs.html")
    serve("/favicon.ico", "favicon.ico")
    return router


def _describe_problems(application: FastAPI) -> None:
    """Put the one problem schema into the document; the paths point at it."""
    made: Callable[[], dict[str, Any]] = application.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
        return document

    application.openapi = openapi  # type: ignore[method-assign]
