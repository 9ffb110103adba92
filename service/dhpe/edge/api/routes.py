"""The paths under /v1."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response

from dhpe.edge.api import models
from dhpe.edge.api.answers import Answers
from dhpe.edge.api.limits import counted_as
from dhpe.edge.api.problems import RETRY_AFTER_S, Problem, documented
from dhpe.edge.api.stream import EventStream
from dhpe.edge.explain import Explanation
from dhpe.edge.log import LogError
from dhpe.edge.metrics import Metrics
from dhpe.edge.view import Latest, StreamFull, View
from dhpe.settings import Settings, variable

ALERTS_DEFAULT: Final = 100
ALERTS_MAX: Final = 1_000
INT64_MAX: Final = 2**63 - 1

Underlying = Annotated[str, Path(min_length=1, max_length=64, description="Name of the underlying", examples=["SIM"])]
SinceNs = Annotated[int, Query(alias="since", ge=0, le=INT64_MAX, description="Only later events, UTC nanoseconds")]
Limit = Annotated[int, Query(ge=1, le=ALERTS_MAX, description="At most so many, newest first")]

_STREAM_DESCRIPTION: Final = """\
Server-sent events. `pressure` carries the body of `/v1/{underlying}/status`; each underlying comes at most once per
`stream_interval_ms`, always in its newest state, and once at the start. `alert` carries an alert and its id: a reader
who comes back with `Last-Event-ID` gets the alerts that he missed. `field` tells that a new field is there, with the
head that its four answers share. Comments keep an idle connection open. While the service restores, the stream is open
and waits."""

_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events until either side ends",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


Explain = Callable[[str], Awaitable[Explanation | None]]
"""Compute the alert of an id anew; None where the log has none, a ``LogError`` where it cannot be done now."""


class Health(Protocol):
    """What the service knows of itself; the composition root answers."""

    def alive(self) -> bool:
        """Whether the loop makes progress. Never: whether a broker can be reached."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Whether assigned, restored and near the end of the input; and if not, why, in one sentence."""
        ...


def explain_route(explain: Explain) -> APIRouter:
    """The path that computes an alert anew."""
    router = APIRouter(prefix="/v1", tags=["market"])

    @router.get("/explain/{alert_id}", response_model=models.ExplanationRecord, responses=documented(404, 422, 503))
    async def explained(
        alert_id: Annotated[str, Path(min_length=1, max_length=64, description="Id of an alert in the log")],
    ) -> Response:
        """Why an alert was published: computed anew from the log, its evidence beside what was published."""
        try:
            explanation = await explain(alert_id)
        except LogError as error:
            headers = {"retry-after": str(RETRY_AFTER_S)}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers) from error
        if explanation is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"No alert in the log has the id {alert_id!r}")
        return _json(msgspec.json.encode(explanation))

    return router


def build_routes(view: View, health: Health, settings: Settings, metrics: Metrics, answers: Answers) -> APIRouter:
    """The router of /v1."""
    router = APIRouter(prefix="/v1", tags=["market"])

    def must_be_ready() -> None:
        """Say 503 while the service cannot know yet; what is known already is served with its age."""
        ready, reason = health.ready()
        if not ready:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"retry-after": str(RETRY_AFTER_S)})

    def latest_of(underlying: str) -> Latest:
        latest = view.latest(underlying)
        if latest is None:
            must_be_ready()
            detail = f"No record has named the underlying {underlying!r}; /v1/underlyings lists those that are known"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        return latest

    @router.get("/underlyings", response_model=models.UnderlyingList, responses=documented(503))
    async def underlyings() -> Response:
        """All underlyings, each with its headline."""
        if not view.underlyings():
            must_be_ready()
        return _json(answers.underlyings())

    @router.get("/alerts", response_model=models.AlertList, responses=documented(422, 503))
    async def all_alerts(since: SinceNs = 0, limit: Limit = ALERTS_DEFAULT) -> Response:
        """Recent alerts of all underlyings, newest first."""
        if not view.underlyings():
            must_be_ready()
        return _json(answers.alerts(view.alerts(None, since, limit)))

    @router.get(
        "/stream",
        response_class=Response,
        responses=documented(404, 422, 503) | _EVENTS,
        description=_STREAM_DESCRIPTION,
    )
    async def stream(
        request: Request,
        underlying: Annotated[str | None, Query(min_length=1, max_length=64, description="None: all")] = None,
        last_event_id: Annotated[str | None, Header(max_length=256, description="Id of the last alert seen")] = None,
    ) -> Response:
        if underlying is not None and health.ready()[0]:
            latest_of(underlying)  # while not ready the stream waits for it instead
        address = counted_as(request.client.host if request.client is not None else "")
        try:
            subscription = view.subscribe(underlying, last_event_id, address)
        except StreamFull as full:
            raise _no_place(settings, full) from None
        return EventStream(view, subscription, answers, metrics, settings)

    @router.get("/{underlying}/amplification", response_model=models.Amplification, responses=documented(404, 422, 503))
    async def amplification(underlying: Underlying) -> Response:
        """The one number: what hedging makes of a shock of 1, with its interval, age and books."""
        return _json(answers.amplification(latest_of(underlying)))

    @router.get("/{underlying}/status", response_model=models.Status, responses=documented(404, 422, 503))
    async def status(underlying: Underlying) -> Response:
        """Everything that is published of one underlying."""
        return _json(answers.status(latest_of(underlying)))

    @router.get("/{underlying}/alerts", response_model=models.AlertList, responses=documented(404, 422, 503))
    async def alerts(underlying: Underlying, since: SinceNs = 0, limit: Limit = ALERTS_DEFAULT) -> Response:
        """Recent alerts of one underlying, newest first."""
        latest_of(underlying)
        return _json(answers.alerts(view.alerts(underlying, since, limit)))

    @router.get("/{underlying}/history", response_model=models.History, responses=documented(404, 422, 503))
    async def history(underlying: Underlying) -> Response:
        """The headline of the last minutes, one array per number."""
        latest_of(underlying)
        return _json(answers.history(underlying, settings.history_interval_ms))

    return _with_field_routes(router, view, answers, latest_of)


def _with_field_routes(
    router: APIRouter, view: View, answers: Answers, latest_of: Callable[[str], Latest]
) -> APIRouter:
    """The four parts of the field, which are computed beside the main line and a few seconds older."""

    def answer(underlying: str, part: str) -> Response:
        latest_of(underlying)
        kept = view.field(underlying)
        if kept is None:
            detail = (
                f"There is no field of {underlying!r} yet; a worker makes one every "
                f"{variable('field_interval_s')} (0: none)"
            )
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"retry-after": str(RETRY_AFTER_S)})
        return _json(answers.field(kept, part))

    @router.get("/{underlying}/field", response_model=models.AtSpot, responses=documented(404, 422, 503))
    async def field(underlying: Underlying) -> Response:
        """The fields at the spot, by strike, by expiry and by term."""
        return answer(underlying, "at_spot")

    @router.get("/{underlying}/landscape", response_model=models.Landscape, responses=documented(404, 422, 503))
    async def landscape(underlying: Underlying) -> Response:
        """The fields re-priced over prices, and over time to the next settlement; flips and walls."""
        return answer(underlying, "landscape")

    @router.get("/{underlying}/potential", response_model=models.Potential, responses=documented(404, 422, 503))
    async def potential(underlying: Underlying) -> Response:
        """The hedging potential over prices: where hedging pins, and how hard it pulls."""
        return answer(underlying, "potential")

    @router.get("/{underlying}/surface", response_model=models.Surface, responses=documented(404, 422, 503))
    async def surface(underlying: Underlying) -> Response:
        """The vol surface, expiry by expiry, and how well it meets the quotes."""
        return answer(underlying, "surface")

    return router


def _no_place(settings: Settings, full: StreamFull) -> Problem:
    headers = {"retry-after": str(RETRY_AFTER_S)}
    if full.of_address:
        limit = f"{settings.stream_clients_of_address_max} streams (DHPE_STREAM_CLIENTS_OF_ADDRESS_MAX)"
        return Problem(HTTPStatus.TOO_MANY_REQUESTS, f"Your address has {limit} open already", headers)
    detail = f"All {settings.stream_clients_max} places of the stream are taken (DHPE_STREAM_CLIENTS_MAX)"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
