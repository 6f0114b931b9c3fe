"""A hub on 127.0.0.1 that speaks the part of the protocol which huggingface_hub uses, and misbehaves when asked to."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

REPO = "ByteDance/Q-Insight"
LFS_FROM_BYTES = 2_000


@dataclass
class Faults:
    """What goes wrong, by the file's name; all of it can be changed while the server runs.

    Attributes:
        cut_after: close the connection after so many bytes of an answer.
        cuts: how often, over all files.
        other_content: send this instead, under the announced size and hash.
        missing: listed, but answered with 404.
        wait_s: before each answer with a file's content.
        ignore_range: answer a range with the whole file.
    """

    cut_after: dict[str, int] = field(default_factory=dict)
    cuts: int = 1_000_000
    other_content: dict[str, bytes] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    wait_s: float = 0.0
    ignore_range: bool = False


class HubServer:
    """Serves one folder as a commit of one repository. ``with HubServer(...) as hub: ... hub.url``.

    Attributes:
        requests: (method, path, Range header) of each.
        sent: bytes of content sent, by the file's name.
    """

    def __init__(self, folder: Path, *, commit: str = "a" * 40, licence: str | None = "apache-2.0") -> None:
        self.folder, self.commit, self.licence = folder, commit, licence
        self.faults = Faults()
        self.requests: list[tuple[str, str, str | None]] = []
        self.sent: dict[str, int] = {}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def files(self) -> dict[str, bytes]:
        paths = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}

    def downloads(self, name: str) -> list[str | None]:
        """Return the Range headers of the requests for a file's content."""
        return [wanted for method, path, wanted in self.requests if method == "GET" and path.endswith("/" + name)]

    def listing(self) -> dict[str, Any]:
        siblings = []
        for name, content in self.files().items():
            sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
            if len(content) >= LFS_FROM_BYTES:
                sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        answer = {"_id": "0" * 24, "id": REPO, "modelId": REPO, "sha": self.commit, "private": False, "tags": []}
        card = {"cardData": {"license": self.licence}} if self.licence else {}
        return answer | card | {"downloads": 1, "likes": 1, "siblings": siblings}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a client that was killed is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if found := re.fullmatch(rf"/api/models/{REPO}(?:/revision/(.+))?", path):
            if self._known(found[1]):
                self._send(200, json.dumps(self.hub.listing()).encode(), {"Content-Type": "application/json"})
        elif found := re.fullmatch(rf"/{REPO}/resolve/([^/]+)/(.+)", path):
            if self._known(found[1]):
                self._resolve(found[2])
        elif path.startswith("/cdn/"):
            self._content(path.removeprefix("/cdn/"))
        else:
            self._refuse(404, "RepoNotFound")

    def _known(self, revision: str | None) -> bool:
        known = revision in (None, "main", self.hub.commit)
        if not known:
            self._refuse(404, "RevisionNotFound")
        return known

    def _resolve(self, name: str) -> None:
        content = self.hub.files().get(name)
        if content is None or any(name.endswith(missing) for missing in self.hub.faults.missing):
            self._refuse(404, "EntryNotFound")
            return
        headers = {"X-Repo-Commit": self.hub.commit}
        if len(content) < LFS_FROM_BYTES:
            self._content(name, headers | {"ETag": f'"{git_sha1(content)}"'})
            return
        # As the hub does with large files: off to another address.
        headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{sha256(content)}"'}
        self._send(302, b"", headers | {"Location": f"{self.hub.url}/cdn/{name}", "ETag": f'"{git_sha1(content)}"'})

    def _content(self, name: str, headers: dict[str, str] | None = None) -> None:
        faults, short = self.hub.faults, name.split("/", 1)[1]
        content = faults.other_content.get(short, self.hub.files()[name])
        time.sleep(faults.wait_s)
        status, start, sent = 200, 0, dict(headers or {"ETag": f'"{sha256(content)}"'})
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and not faults.ignore_range:
            status, start = 206, int(wanted[1])
            sent["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = faults.cut_after.get(short) if faults.cuts > 0 else None
        if cut is not None and cut < len(content) - start and self.command == "GET":
            faults.cuts -= 1
        else:
            cut = None
        self._send(status, content[start:], sent | {"Accept-Ranges": "bytes"}, name=short, cut=cut)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, name: str = "", cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(body[:cut])
            self.wfile.flush()
        except ConnectionError:  # the client was killed
            self.close_connection = True
            return
        if name:
            self.hub.sent[name] = self.hub.sent.get(name, 0) + len(body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
