"""The dashboard's web server: the page, the changes since a version, a run's curves and log, and the tools.

    GET  /                        the page; with ?token=, the response sets the cookie
    GET  /static/...              the page's files
    GET  /api/changes             items newer than ?started=&version= (see `Feed.since`), and the machine's load
    GET  /api/curves?runs=A,B     {id: {"loss", "delta", "mpjpe_mm": [[epoch, value], ...]}}
    GET  /api/run/{id}            the end of the run's log, its configuration, its folder
    POST /tools/{name}?sweep=S    starts "optuna", "tensorboard" or "ray": {"port"}

Every address in the page is relative, so a tunnel or another port changes nothing.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sanpose.dashboard.curves import LiveCurves, Point, detail
from sanpose.dashboard.feed import Feed
from sanpose.dashboard.guard import Guard
from sanpose.dashboard.machine import Machine
from sanpose.dashboard.tools import Tools
from sanpose.errors import UserError
from sanpose.status.watch import Watcher
from sweeps.files import json_ready

STATIC = Path(__file__).parent / "static"
_CURVES_AT_ONCE = 12
_GRACE_SECONDS = 2


class Json(JSONResponse):
    """Sends any value of a record: characters without a UTF-8 code as escapes, numbers that are not finite as null."""

    def render(self, content: object) -> bytes:
        try:
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(json_ready(content), allow_nan=False, separators=(",", ":"))
        return text.encode()


class Dashboard:
    """The responses to the pages of one folder of runs. The methods run in threads of the server's pool."""

    def __init__(self, runs: Path):
        self.runs = runs
        self.feed, self.machine, self.tools = Feed(Watcher(runs)), Machine(runs), Tools(runs.absolute())
        self._curves, self._curves_lock = LiveCurves(), threading.Lock()

    def page(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    def changes(self, request: Request) -> Response:
        query = request.query_params
        version = query.get("version", "0")
        changes = self.feed.since(query.get("started", ""), int(version) if version.isdecimal() else 0)
        return Json(changes | {"runs": str(self.runs.absolute()), "machine": self.machine.usage()})

    def curves(self, request: Request) -> Response:
        names = [name for name in request.query_params.get("runs", "").split(",") if name][:_CURVES_AT_ONCE]
        with self._curves_lock:
            return Json({name: self._curves_of(self._folder(name)) for name in names})

    def run(self, request: Request) -> Response:
        return Json(detail(self._folder(request.path_params["run"])))

    def tool(self, request: Request) -> Response:
        sweep = request.query_params.get("sweep", "")
        if sweep and not self.feed.sweep(sweep):
            raise HTTPException(404, "there is no such sweep")
        return Json({"port": self.tools.port(request.path_params["name"], sweep)})

    def _folder(self, name: str) -> Path:
        """The folder of a run in the feed. No other name from a request becomes a path."""
        run = self.feed.run(name)
        if run is None:
            raise HTTPException(404, "there is no such run")
        return self.runs / (run.id or name)

    def _curves_of(self, folder: Path) -> dict[str, list[Point]]:
        """Empty for a run with an unreadable journal, so that the other runs have theirs; its state names the error."""
        try:
            return self._curves.of(folder)
        except OSError:
            return {}


def app(runs: Path, token: str, host: str = "127.0.0.1") -> Starlette:
    """The web application. Raises UserError when there is no such folder of runs."""
    dashboard = Dashboard(runs)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(dashboard.tools.stop)

    return Starlette(
        routes=[
            Route("/", dashboard.page),
            Route("/api/changes", dashboard.changes),
            Route("/api/curves", dashboard.curves),
            Route("/api/run/{run}", dashboard.run),
            Route("/tools/{name}", dashboard.tool, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, token=token, host=host), Middleware(GZipMiddleware)],
        exception_handlers={UserError: _refused, OSError: _unreadable},
        lifespan=lifespan,
    )


def serve(application: Starlette, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, which raises KeyboardInterrupt after the shutdown."""
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _refused(_: Request, error: Exception) -> Response:
    return Json({"error": str(error)}, status_code=400)


def _unreadable(_: Request, error: Exception) -> Response:
    return Json({"error": f"the records cannot be read: {error}"}, status_code=503)
