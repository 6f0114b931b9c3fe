"""Settings and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rali.config import Settings, load_settings
from rali.errors import UsageError


@pytest.fixture
def config(own_world: Path) -> Path:
    return own_world / "config.toml"


def test_without_any_source_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RALI_DB")
    monkeypatch.delenv("RALI_CACHE")

    settings = load_settings()

    assert settings == Settings()
    assert (settings.model, settings.recipe, settings.device, settings.limit_px) == (
        "mini",
        "fast",
        "auto",
        500_000_000,
    )


def test_the_config_file_wins_over_the_default(config: Path) -> None:
    config.write_text('recipe = "exact"\nworkers = 3\n')

    assert (load_settings().recipe, load_settings().workers) == ("exact", 3)


def test_a_variable_wins_over_the_config_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("workers = 3\n")
    monkeypatch.setenv("RALI_WORKERS", "5")

    assert load_settings().workers == 5


def test_an_option_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALI_WORKERS", "5")

    assert load_settings({"workers": 7}).workers == 7


def test_an_option_that_was_not_given_changes_nothing() -> None:
    assert load_settings({"workers": None, "model": None}).model == "mini"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALI_RECIPE", "")

    assert load_settings().recipe == "fast"


def test_a_path_is_made_absolute_and_its_home_filled_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert load_settings({"db": "~/a.db"}).db == tmp_path / "a.db"
    assert load_settings({"db": "b.db"}).db == tmp_path / "b.db"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipe", "slow"),
        ("device", "tpu"),
        ("pairs", "maybe"),
        ("workers", "-1"),
        ("workers", "many"),
        ("workers", "2.5"),
        ("limit_px", "0"),
        ("timeout_s", "nan"),
        ("timeout_s", "inf"),
        ("db", "~no-such-user-of-this-machine/catalog.db"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_source(
    key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"RALI_{key.upper()}", value)

    with pytest.raises(UsageError, match=rf"^RALI_{key.upper()}: .*{key}"):
        load_settings()


@pytest.mark.parametrize("line", ["workers = true", "workers = 2.5", "db = 3", "model = ''", "recipe = ['fast']"])
def test_a_value_of_the_wrong_type_in_the_config_file_is_refused_with_its_path(config: Path, line: str) -> None:
    config.write_text(line + "\n")

    with pytest.raises(UsageError) as caught:
        load_settings()

    assert str(config) in str(caught.value)


def test_an_unknown_setting_in_the_config_file_is_refused_with_the_known_ones(config: Path) -> None:
    config.write_text('modle = "mini"\n')

    with pytest.raises(UsageError, match=r"no setting 'modle'.*model"):
        load_settings()


@pytest.mark.parametrize("content", [b"recipe = ", b"\xff\xfe\x00", b"recipe fast"])
def test_a_config_file_that_is_no_toml_is_refused_with_its_path(config: Path, content: bytes) -> None:
    config.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        load_settings()

    assert str(config) in str(caught.value)


def test_settings_cannot_be_changed_after_loading() -> None:
    with pytest.raises(AttributeError):
        load_settings().workers = 3  # type: ignore[misc]
