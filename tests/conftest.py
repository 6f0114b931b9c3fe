"""What all tests share: nothing of the user's own catalog, settings or models is ever touched."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# As the command line has it, see rali_cli/app.py: tests call main() where torch has been imported long ago. On two busy
# cores tests that train took minutes: their threads spent them spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a catalog, a config file and a models folder of its own."""
    world = tmp_path_factory.mktemp("world")
    monkeypatch.setenv("RALI_DB", str(world / "catalog.db"))
    monkeypatch.setenv("RALI_CONFIG", str(world / "config.toml"))
    monkeypatch.setenv("RALI_MODELS", str(world / "models"))
    monkeypatch.setenv("RALI_CACHE", str(world / "cache"))
    return world


@pytest.fixture
def shared() -> Path:
    """Return the folder of real photos beside the project, or skip."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared: more real photos")
    return SHARED


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole model of a few kilobytes, which scores in a millisecond."""
    from fakes import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny.safetensors").path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a headless Chromium, driven by Playwright, or skip."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass(frozen=True)
class Answer:
    """What a run of the command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def rali(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Callable[..., Answer]]:
    """Return a function that runs the command line in this process: all of ``main``, signals and exit code too."""
    from rali_cli.app import main

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | os.PathLike[str]) -> Answer:
        monkeypatch.setattr(sys, "argv", ["rali", *map(os.fspath, arguments)])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        out, err = (part.decode("utf-8", "surrogateescape") for part in captured)
        return Answer(int(ended.value.code or 0), out, err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def rali_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command line as a user does, in a process of its own."""

    def run(*arguments: str | os.PathLike[str], **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rali_cli", *map(os.fspath, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=25, **options)

    return run


@pytest.fixture
def rows(own_world: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a function that asks the catalog a question through a second, plain connection."""

    def ask(sql: str, *values: object, db: Path = own_world / "catalog.db") -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            return connection.execute(sql, values).fetchall()

    return ask


@pytest.fixture
def collection(own_world: Path, tiny_bundle: Path) -> list[str]:
    """Fill the catalog with nine scored photos (10 to 90, worst first) and a failed one; return the paths."""
    from fakes import failed, scored

    from rali.catalog.catalog import Catalog
    from rali.model.bundle import read_info

    paths = [f"/photos/{'spain' if number > 5 else 'home'}/{number}.jpg" for number in range(1, 10)]
    with Catalog(own_world / "catalog.db") as catalog:
        scoring = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
        outcomes = [
            scored(path, number * 10.0, captured_at=f"2026-0{number}-01T10:00:00")
            for number, path in enumerate(paths, start=1)
        ]
        catalog.store([*outcomes, failed("/photos/home/bad.jpg")], scoring)
    return paths
