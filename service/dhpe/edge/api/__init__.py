"""The HTTP API: FastAPI over the view, with server-sent events, the page and the metrics."""

from dhpe.edge.api.application import build_api
from dhpe.edge.api.routes import Health

__all__ = ["Health", "build_api"]
