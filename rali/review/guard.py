"""Who may talk to the review server: the one browser that was given the link, and no other page in it.

The server listens on the loopback interface alone, but every page that the browser shows can send requests there, and
every program on the machine. So a request must name this very server (``Host``: a name that another site has pointed
at 127.0.0.1 is refused), must come from its own page (``Origin``, ``Sec-Fetch-Site``), and must carry the cookie that
the link's token was exchanged for, once. Browsers send a cookie to every port of a host, so another server on this
machine could see it; what asks or changes anything must also carry a key that only the page's own scripts know.
"""

from __future__ import annotations

import secrets
import threading

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY_HEADER = "X-Rali-Key"
_ENTRANCE = "/open"
_LARGEST_BODY_BYTES = 1_000_000
_READS = ("GET", "HEAD")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets requests through to ``app`` that may ask it; everything that goes out carries headers that keep it here.

    Args:
        port: that the server listens on.
    """

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._port = port
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._cookie_name = f"rali-review-{port}"
        self._session = secrets.token_urlsafe(32)
        self._key = secrets.token_urlsafe(32)
        self._token: str | None = secrets.token_urlsafe(32)
        self._exchange = threading.Lock()

    @property
    def url(self) -> str:
        """The link to the page; it works once."""
        return f"http://127.0.0.1:{self._port}{_ENTRANCE}?token={self._token or ''}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # no WebSocket is served
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).update(_HEADERS)
            await send(message)

        answer = self._refuse(scope)
        if answer is None and scope["path"] == _ENTRANCE:
            answer = self._let_in(scope)
        await (answer or self._app)(scope, receive, send_on)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return why a request is not answered; None if it may go on."""
        headers = Headers(scope=scope)
        reads = scope["method"] in _READS
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return _no("This is not the name of this server.", status=421)
        origins = headers.getlist("origin")
        if origins not in [[], *([f"http://{host}"] for host in self._hosts)] or (not origins and not reads):
            return _no("Another page may not ask this.")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _no("Another page may not ask this.")
        if scope["path"] == _ENTRANCE:
            return None
        if not self._is_ours(headers):
            return _no("Open the link that rali review has printed. If it was opened before, start rali review again.")
        if scope["path"].startswith("/api/") and not _same(headers.get(KEY_HEADER, ""), self._key):
            return _no("The page's key is missing: open the link that rali review has printed.")
        if not reads and not 0 <= _length(headers) <= _LARGEST_BODY_BYTES:
            return _no("That is too much at once, or of no stated length.", status=413)
        return None

    def _is_ours(self, headers: Headers) -> bool:
        cookies = [cookie_parser(header) for header in headers.getlist("cookie")]
        return any(_same(cookie.get(self._cookie_name, ""), self._session) for cookie in cookies)

    def _let_in(self, scope: Scope) -> Response:
        """Exchange the token, once, for the cookie, and for the key in a part of the address that is sent nowhere."""
        if scope["method"] != "GET":
            return _no("Open this link in a browser.", status=405)
        given = scope["query_string"].decode("latin-1").removeprefix("token=")
        with self._exchange:
            if self._token is None or not _same(given, self._token):
                return _no("This link is wrong, or was opened before: end rali review with Ctrl-C, and start it again.")
            self._token = None
        answer = RedirectResponse(f"/#{self._key}", status_code=303)
        answer.set_cookie(self._cookie_name, self._session, httponly=True, samesite="strict", path="/")
        return answer


def _same(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _no(text: str, *, status: int = 403) -> Response:
    return PlainTextResponse(text + "\n", status_code=status)
