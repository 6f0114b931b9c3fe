"""``rali review``: the link it prints, how it ends, what it refuses."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_it_prints_a_link_that_opens_the_page_and_ends_with_ctrl_c(wedding: Path) -> None:
    command = [sys.executable, "-m", "rali_cli", "review", os.fspath(wedding), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "Reviewing 12 scored photos. The link works once:\n"
        link = re.fullmatch(r"  http://127\.0\.0\.1:(\d+)(/open\?token=\S{40,})\n", running.stdout.readline())
        assert link
        connection = http.client.HTTPConnection("127.0.0.1", int(link[1]), timeout=20)
        connection.request("GET", link[2])
        assert connection.getresponse().status == 303
        connection.close()

        running.send_signal(signal.SIGINT)

        _, said = running.communicate(timeout=20)
        assert (running.returncode, said) == (130, "")


def test_a_port_that_is_taken_is_told(rali: Callable[..., Any], wedding: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = rali("review", wedding, "--no-browser", "--port", str(port))

    assert answer.code == 2
    assert re.fullmatch(rf"rali: --port {port}: .+; give another, or none\n", answer.err)


def test_without_photos_it_says_what_to_run(rali: Callable[..., Any], wedding: Path, tmp_path: Path) -> None:
    answer = rali("review", tmp_path / "nowhere", "--no-browser")

    assert (answer.code, answer.out) == (1, "")
    assert "run: rali score FOLDER" in answer.err


def test_other_commands_start_without_the_server() -> None:
    seen = "import sys, rali_cli.app; print([m for m in ('starlette', 'uvicorn') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, timeout=25, check=True)

    assert done.stdout == "[]\n"
