"""Who may use the dashboard: browsers that name this machine and carry its token.

- The token is in the printed address; the first answer makes a cookie of it (HttpOnly, SameSite=Strict).
- The Host header must name the loopback, with any port: a tunnel changes the port, but a page of another site that
  has its own name resolve to 127.0.0.1 (DNS rebinding) is refused.
- A request that changes something must come from the dashboard's own page, which is told by its Origin.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_WILDCARDS = ("0.0.0.0", "::")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Answers 403 to every request that has no token, another Host, or another Origin; else adds the safe headers.

    `host`: what the server is bound to. Bound to another address than the loopback, it may also be named by that
    address or by the machine's name; bound to every address, by any IP address, since only a name can be rebound.
    """

    def __init__(self, app: ASGIApp, token: str, host: str = "127.0.0.1"):
        self.app, self.token, self.host = app, token, host.lower()
        named = () if self.host in (*LOOPBACK, "::1") else (self.host, socket.gethostname().lower())
        self.names = (*LOOPBACK, *named, *(f"[{name}]" for name in named if ":" in name))
        # Browsers share cookies among all ports of a host: the name keeps two dashboards apart.
        self.cookie = f"sanpose-{hashlib.sha256(token.encode()).hexdigest()[:10]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        refused = self._refused(scope, headers, given)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                added.update(_HEADERS)
                if given and not refused:
                    added.append("Set-Cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        app = PlainTextResponse(refused, status_code=403) if refused else self.app
        await app(scope, receive, send_safely)

    def _refused(self, scope: Scope, headers: Headers, given: str) -> str | None:
        """Why a request is refused; None for a good one."""
        if scope["type"] != "http":
            return "only HTTP is spoken here"
        host = headers.get("host", "")
        if not self._named(host):
            return "this dashboard answers only to localhost, 127.0.0.1 and [::1]"
        if not any(secrets.compare_digest(t.encode(), self.token.encode()) for t in (given, self._kept(headers))):
            return "open the address that `sanpose dashboard` printed: this request has not its token"
        if scope["method"] not in ("GET", "HEAD") and urlsplit(headers.get("origin", "")).netloc != host:
            return "this request was not made by the dashboard's own page"
        return None

    def _kept(self, headers: Headers) -> str:
        try:
            kept = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return kept.value if kept else ""

    def _named(self, header: str) -> bool:
        """Whether a Host header, its port aside, names the loopback or the address that was asked for."""
        name, colon, port = header.rpartition(":")
        if not colon or header.endswith("]"):
            name, port = header, ""
        if port and not port.isdigit():
            return False
        return name.lower() in self.names or (self.host in _WILDCARDS and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
