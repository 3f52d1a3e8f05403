"""Access to the dashboard: only for browsers that name this machine and send its token.

- The printed address holds the token; the first response stores it in a cookie (HttpOnly, SameSite=Strict).
- The Host header must name the loopback address, with any port, as a tunnel changes the port. This refuses a page of
  another site whose name resolves to 127.0.0.1 (DNS rebinding).
- A request that changes something must come from the dashboard's own page; the Origin header shows this.
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
    """Answers 403 to a request without the token, or with a wrong Host or Origin; adds security headers to the others.

    `host`: the address that the server is bound to. If it is not the loopback address, requests may also name that
    address or the machine. If it is every address, requests may name any IP address, since only a name can be rebound.
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
        token = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        refusal = self._refusal(scope, headers, token)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                added.update(_HEADERS)
                if token and not refusal:
                    added.append("Set-Cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        app = PlainTextResponse(refusal, status_code=403) if refusal else self.app
        await app(scope, receive, send_safely)

    def _refusal(self, scope: Scope, headers: Headers, token: str) -> str | None:
        """Why a request is refused; None for an accepted request."""
        if scope["type"] != "http":
            return "this server accepts only HTTP"
        host = headers.get("host", "")
        if not self._named(host):
            return "this dashboard accepts only the hosts localhost, 127.0.0.1 and [::1]"
        tokens = (token, self._cookie_token(headers))
        if not any(secrets.compare_digest(t.encode(), self.token.encode()) for t in tokens):
            return "this request has no valid token: open the address that `sanpose dashboard` printed"
        if scope["method"] not in ("GET", "HEAD") and urlsplit(headers.get("origin", "")).netloc != host:
            return "this request was not made by the dashboard's own page"
        return None

    def _cookie_token(self, headers: Headers) -> str:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return cookie.value if cookie else ""

    def _named(self, header: str) -> bool:
        """Whether a Host header, without its port, names the loopback address or the address the server is bound to."""
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
