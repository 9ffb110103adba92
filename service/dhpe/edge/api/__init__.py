"""The HTTP API: FastAPI over the view, with server-sent events, the page and the metrics."""

from dhpe.edge.api.application import build_api
from dhpe.edge.api.routes import Health
from dhpe.edge.api.server import build_server

__all__ = ["Health", "build_api", "build_server"]
