"""A visitor to a review server, as a browser or otherwise, and names that mean harm."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

from rali.review.server import Server
from rali.review.session import Review

HOSTILE = [
    b'"><script>document.title=1<',
    b"';alert(1);'",
    b"a\nb\tc",
    "\u202egpj.exe".encode(),
    b"</bdi><img src=x onerror=alert(1)>".replace(b"/", b"\\"),
    b"caf\xe9",
    b"&lt;b&gt;",
    b"..\\..\\etc",
    b"%2e%2e%2f",
]


@dataclass
class Visitor:
    """Somebody who talks to the server, as a browser or otherwise."""

    port: int
    url: str
    review: Review
    server: Server
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: object = None, *, without: tuple[str, ...] = (), **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request; return status, headers and body."""
        sent = {name: value for name, value in self.headers.items() if name not in without}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent = {"Content-Type": "application/json"} | sent
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def enter(self) -> None:
        """Open the link, and keep what it gives."""
        status, headers, _ = self.ask("GET", self.url.partition(str(self.port))[2])
        assert status == 303
        self.headers = {
            "Cookie": headers["set-cookie"].partition(";")[0],
            "X-Rali-Key": headers["location"].partition("#")[2],
            "Origin": f"http://127.0.0.1:{self.port}",
        }

    def get(self, path: str) -> Any:
        """Ask for JSON."""
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def tell(self, path: str, body: object) -> Any:
        """Decide something; it must be taken."""
        status, _, answer = self.ask("POST", path, body)
        assert status == 200, answer
        return json.loads(answer)

    def names(self) -> dict[str, int]:
        """Return the id of each photo by its name as it is shown."""
        photos = self.get("/api/photos")["photos"]
        return dict(zip(photos["name"], photos["id"], strict=True))
