"""What all tests share: nothing of the user's own catalog, settings or models is ever touched."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a catalog, a config file and a models folder of its own."""
    world = tmp_path_factory.mktemp("world")
    monkeypatch.setenv("RALI_DB", str(world / "catalog.db"))
    monkeypatch.setenv("RALI_CONFIG", str(world / "config.toml"))
    monkeypatch.setenv("RALI_MODELS", str(world / "models"))
    return world


@pytest.fixture
def shared() -> Path:
    """Return the folder of real photos beside the project, or skip."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared: more real photos")
    return SHARED
