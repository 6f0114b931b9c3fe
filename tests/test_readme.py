"""README's examples are run, and their output is what README shows (numbers may differ from machine to machine).

``RALI_UPDATE_README=1 pytest tests/test_readme.py`` writes the present output into README.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```console( example)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the samples in it, as after a fresh clone."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "samples", folder / "samples")
    return folder


def run_commands(commands: list[str], folder: Path) -> str:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "RALI_DB": str(folder / "catalog.db"),
        "RALI_CONFIG": str(folder / "config.toml"),
        "RALI_CACHE": str(folder / "cache"),
    }
    shown = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        lines = [
            line.rstrip().replace(str(folder), "/home/ann").replace(str(ROOT), "/home/ann/src")
            for line in done.stdout.splitlines()
        ]
        shown.append("\n".join([f"$ {command}", *lines]))
    return "\n".join(shown) + "\n"


def without_numbers(text: str) -> list[str]:
    """Keep the words: scores move in their last digit from processor to processor, and bars with them."""
    return [" ".join(re.sub(r"[\d.,]+|█+|[0-9a-f]{16}", "", line).split()) for line in text.splitlines()]


@pytest.mark.timeout(300)  # a dozen commands, three of which load torch
def test_every_example_prints_what_readme_shows(folder: Path) -> None:
    text = README.read_text()
    blocks = BLOCK.findall(text)
    assert blocks
    for differs_by_machine, block in blocks:
        commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        output = run_commands(commands, folder)
        if os.environ.get("RALI_UPDATE_README"):
            text = text.replace(block, output)
        elif not differs_by_machine:
            assert without_numbers(output) == without_numbers(block)
    if os.environ.get("RALI_UPDATE_README"):
        README.write_text(text)


def test_readme_names_every_command_and_every_setting() -> None:
    from dataclasses import fields

    from rali.config import Settings
    from rali_cli.app import app

    text = README.read_text()
    for command in app.registered_commands:
        assert f"rali {command.name}" in text
    for setting in fields(Settings):
        assert f"RALI_{setting.name.upper()}" in text


def test_the_map_of_the_code_names_every_module() -> None:
    text = README.read_text()
    modules = [path.name for path in (ROOT / "rali").rglob("*.py") if path.name != "__init__.py"]
    missing = [name for name in modules if name not in text and not (ROOT / "rali/model/engines" / name).exists()]
    assert not missing
