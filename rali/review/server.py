"""The review server: on the loopback interface alone, until it is told to end."""

from __future__ import annotations

import socket
import sys
from types import FrameType

import uvicorn

from rali.errors import UsageError
from rali.review.app import make_app
from rali.review.guard import Guard
from rali.review.pictures import Pictures
from rali.review.session import Review

# What a page asks for at the end is not worth waiting for; a run that moves photos is waited for elsewhere.
_PATIENCE_S = 2


class Server(uvicorn.Server):
    """Serves one review.

    Args:
        port: to listen on; 0 for any that is free.

    Attributes:
        url: the link to the page; it works once.

    Raises:
        UsageError: the port is taken.
    """

    def __init__(self, review: Review, pictures: Pictures, *, port: int = 0) -> None:
        self._review = review
        self._socket = _listening(port)
        guard = Guard(make_app(review, pictures), port=self._socket.getsockname()[1])
        self.url = guard.url
        super().__init__(
            uvicorn.Config(
                guard,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE_S,
            )
        )

    def serve_until_stopped(self) -> None:
        """Serve until Ctrl-C or SIGTERM, or until ``should_exit`` is set."""
        try:
            self.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: a run that moves photos ends in good order, too."""
        self._review.stop()
        super().handle_exit(sig, frame)


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let another program take the port over
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(f"--port {port}: {error.strerror or error}; give another, or none") from error
    return listener
