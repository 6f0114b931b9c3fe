"""Try rali on a shoot as a new user would, by keyboard alone: score, bursts, review, cull, stars, and all of it undone.

    pip install playwright
    python scripts/try_shoot.py --photos ../shared/iqa/images
    python scripts/try_shoot.py --photos ../shared/iqa/images --part 5 --pictures FOLDER

It ends at the first thing that is not as it should be, and prints what it counted and timed. Chromium is needed; where
exiftool, exiv2 and darktable-cli are, they read the stars, darktable into its own database. In the end every file must
be as it was, to the byte and the time stamp.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from make_shoot import make_shoot

RALI = [sys.executable, "-m", "rali_cli"]
RATING = re.compile(r'xmp:Rating="(-?\d)"')
DARKTABLE_READS = 12  # of RAWs, and of JPEGs: it develops each
CHROMIUM = os.environ.get("RALI_CHROMIUM", "/usr/bin/chromium")


def main() -> None:
    """Make the shoot in a temporary folder, and go through it."""
    arguments = argparse.ArgumentParser(description="Try rali on a shoot.")
    arguments.add_argument("--photos", type=Path, required=True, help="folder of photos, each a scene")
    arguments.add_argument("--part", type=int, default=1, help="a smaller shoot: one unit in so many")
    arguments.add_argument("--pictures", type=Path, help="put screenshots into this folder")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as place:
        try_it(Path(place), given.photos, part=given.part, pictures=given.pictures)


def try_it(place: Path, photos: Path, *, part: int, pictures: Path | None) -> None:
    """Go from the card to the stars and back."""
    names = {"RALI_DB": "catalog.db", "RALI_CACHE": "cache", "RALI_CONFIG": "config.toml", "HOME": "home"}
    os.environ.update({name: str(place / file) for name, file in names.items()})
    (place / "home").mkdir()
    os.chdir(place)
    shoot = place / "shoot"
    tell("shots", make_shoot(shoot, photos, part=part))
    truth = {shot["name"]: shot for shot in json.loads((place / "shoot.truth.json").read_text())}
    before = tree(shoot)
    tell("files", len(before))
    with timed("rali score"):
        rali("score", "shoot")
    with timed("rali bursts"):
        groups = json.loads(rali("bursts", "shoot", "--json", "-n", "1000"))["groups"]
    check_groups(groups, truth)
    with timed("rali report"):
        rali("report", "shoot", "-o", "report.html")
    tell("report, bytes", (place / "report.html").stat().st_size)

    with reviewing(pictures) as page:
        look_through(page, shoot, truth)
    assert tree(shoot) == before

    with timed("rali cull --per-burst"):
        culled = json.loads(rali("cull", "shoot", "--per-burst", "1", "--apply", "--yes", "--json"))
    check_culled(culled, truth)
    with timed("rali rate --apply"):
        rali("rate", "shoot", "--label", "5=Green", "--label", "1=Red", "--apply", "--yes")
    check_readers(shoot, before)

    undone = 0
    while subprocess.run([*RALI, "undo"], capture_output=True).returncode == 0:
        undone += 1
    tell("rali undo, times", undone)
    assert tree(shoot) == before, "not as it was"
    tell("as before, to the byte and the time stamp", len(before))


# --- what is found and moved -----------------------------------------------------------------------------------------


def check_groups(groups: list[dict[str, Any]], truth: dict[str, Any]) -> None:
    """Compare groups with what the shoot is made of; count how often a blurred frame is thought the best."""
    units: dict[int, set[str]] = {}
    for name, shot in truth.items():
        units.setdefault(shot["unit"], set()).add(name)
    right = blurred_best = with_blurred = 0
    for group in groups:
        names = [Path(photo["path"]).stem for photo in group["photos"]]
        right += set(names) == units[truth[names[0]]["unit"]] and group["kind"] == truth[names[0]]["kind"]
        if group["kind"] == "burst" and group["photos"][0]["chosen_by"] is None:
            with_blurred += any(truth[name]["blurred"] for name in names)
            blurred_best += truth[names[0]]["blurred"]
    tell(
        "groups as they were made",
        f"{right} of {sum(len(names) > 1 for names in units.values())} ({len(groups)} found)",
    )
    tell("bursts whose blurred frame is thought the best", f"{blurred_best} of {with_blurred}")


def check_culled(culled: dict[str, Any], truth: dict[str, Any]) -> None:
    """Check that a cull of bursts took frames of bursts alone, none with the user's work, RAW and JPEG together."""
    left = {name: {os.path.lexists(f"shoot/{file}") for file in shot["files"]} for name, shot in truth.items()}
    gone = {name for name, there in left.items() if there == {False}}
    halves = [name for name, there in left.items() if len(there) > 1]
    assert gone
    assert not halves, halves
    rejected = {Path(photo["path"]).stem for photo in culled["photos"] if photo["why"] == "marked reject"}
    assert {truth[name]["kind"] for name in gone - rejected} == {"burst"}
    assert not [name for name in gone - rejected if truth[name]["protected"]]
    tell("culled, of bursts", f"{len(gone)} shots, {len(rejected)} marked reject; held back {len(culled['held_back'])}")


# --- the review ------------------------------------------------------------------------------------------------------


@contextmanager
def reviewing(pictures: Path | None) -> Iterator[Page]:
    """Start ``rali review`` and open its link; whatever the browser complains of is an error."""
    said: list[str] = []
    server = subprocess.Popen([*RALI, "review", "shoot", "--no-browser"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    link = next(match[0] for line in server.stdout if (match := re.search(r"http://\S+", line)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.rali_pictures = pictures  # type: ignore[attr-defined]
        with timed("the link, until the first photo has the focus"):
            page.goto(link)
            page.wait_for_selector(".cell[tabindex='0']:focus")
        yield page
        browser.close()
    server.terminate()
    assert server.wait(10) == 130
    assert said == []


def look_through(page: Page, shoot: Path, truth: dict[str, Any]) -> None:
    """Decide on photos as one would: marks, stars, a burst, its pixels, the slider, the plan, and back."""
    key, before = page.keyboard.press, tree(shoot)
    look(page, "grid")
    first = focused(page)
    key("Shift+K")
    status(page, "marked keep")
    key("Shift+X")
    status(page, "marked reject")
    assert focused(page) != first

    for stars in "12345":
        key(stars)
        status(page, f": {stars} star")
    assert len(tree(shoot).items() - before.items()) == 1
    for _ in range(5):
        key("Control+z")
        page.wait_for_timeout(150)
    until(page, "!document.activeElement.ariaLabel.includes('star')")
    assert tree(shoot) == before

    tab_to(page, "order")
    page.keyboard.type("time")
    tab_to(page, "show")
    page.keyboard.type("in g")
    key("Escape")
    key("Home")
    order = page.evaluate("[...document.querySelectorAll('.cell .name bdi')].map((each) => each.textContent)")
    assert order == sorted(order), order
    look(page, "bursts")
    key("b")
    until(page, "document.querySelectorAll('#panes figure').length > 2")
    look(page, "burst")
    with timed("every pixel of a burst"):
        key("z")
        until(page, "document.querySelectorAll('#panes img.cropped').length > 2")
    key("Shift+ArrowRight")
    key("ArrowRight")
    key("x")
    look(page, "burst-full")
    key("Escape")

    tab_to(page, "show")
    page.keyboard.type("all")
    key("Escape")
    key("t")
    for _ in range(60):
        key("ArrowRight")
    look(page, "threshold")
    key("Escape")
    with timed("the plan"):
        key("Enter")
        page.wait_for_selector("#plan-buttons .main")
    look(page, "plan")
    assert focused(page) == "Cancel"
    key("Tab")
    with timed("moving"):
        key("Enter")
        until(page, "document.querySelector('#plan-title').textContent === 'Applied'")
    look(page, "applied")
    units: dict[int, set[bool]] = {}
    for shot in truth.values():
        if shot["kind"] == "bracket":
            units.setdefault(shot["unit"], set()).add(os.path.lexists(shoot / shot["files"][0]))
    apart = sum(len(there) > 1 for there in units.values())
    tell("brackets of which a part went", apart)
    key("Shift+Tab")
    assert focused(page) == "Undo now"
    key("Enter")
    until(page, "document.querySelector('#plan-title').textContent === 'Undone'")
    key("Enter")


def focused(page: Page) -> str:
    """Return what a screen reader would say of what has the focus."""
    return str(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))


def tab_to(page: Page, control: str) -> None:
    """Go to a control with the tabulator alone."""
    for _ in range(30):
        if page.evaluate("document.activeElement.id") == control:
            return
        page.keyboard.press("Shift+Tab")
    raise AssertionError(f"{control} cannot be reached by keyboard")


def status(page: Page, words: str) -> None:
    """Wait until the page says something."""
    until(page, f"document.getElementById('status').textContent.includes({json.dumps(words)})")


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {condition}; {page.locator('#status').text_content()}")


def look(page: Page, name: str) -> None:
    """Take pictures, light and dark, if wanted."""
    pictures = page.rali_pictures  # type: ignore[attr-defined]
    for scheme in ("light", "dark") if pictures else ():
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(900)
        page.screenshot(path=pictures / f"{name}-{scheme}.png")


# --- the stars -------------------------------------------------------------------------------------------------------


def check_readers(shoot: Path, before: dict[str, Any]) -> None:
    """Have other programs read what was written, where they are."""
    written = {shoot / name for name, state in tree(shoot).items() if before.get(name) != state}
    assert all(path.suffix == ".xmp" for path in written)
    stars = {path: int(found[1]) for path in sorted(written) if (found := RATING.search(path.read_text()))}
    tell("sidecars written, with stars", f"{len(written)}, {len(stars)}")
    if shutil.which("exiftool"):
        told = json.loads(run("exiftool", "-j", "-XMP-xmp:Rating", *map(str, stars)))
        compare("exiftool", stars, {Path(each["SourceFile"]): each.get("Rating") for each in told})
    if shutil.which("exiv2"):
        lines = run("exiv2", "-K", "Xmp.xmp.Rating", "-Pv", *map(str, stars)).splitlines()
        pairs = [line.rsplit(maxsplit=1) for line in lines]
        compare("exiv2", stars, {Path(path.strip()): int(value) for path, value in pairs})
    if shutil.which("darktable-cli"):
        ask_darktable(shoot.parent / "darktable", stars)


def compare(program: str, stars: dict[Any, int], read: dict[Any, int]) -> None:
    """Tell how many stars a program reads as they were written."""
    others = {one: (own, read.get(one)) for one, own in stars.items() if read.get(one) != own}
    tell(
        f"{program} reads the stars of", f"{len(stars) - len(others)} of {len(stars)}{f': {others}' if others else ''}"
    )


def ask_darktable(place: Path, stars: dict[Path, int]) -> None:
    """Import copies of some shots into a darktable of its own, and look into its database.

    Of sidecars named IMG.xmp, darktable 4.2.1 takes one star for none.
    """
    (place / "photos").mkdir(parents=True)
    (place / "out").mkdir()
    wanted: dict[str, int] = {}
    for sidecar, own in stars.items():
        stem = sidecar.with_suffix("")
        photo = stem if stem.suffix else stem.with_suffix(".DNG")
        if sum(name.endswith(photo.suffix) for name in wanted) < DARKTABLE_READS:
            wanted[photo.name] = own
            for file in (photo, sidecar):
                shutil.copy2(file, place / "photos")
    core = ["--core", "--library", str(place / "library.db"), "--configdir", str(place), "--cachedir", str(place)]
    run("darktable-cli", str(place / "photos"), str(place / "out"), "--width", "100", *core)
    with sqlite3.connect(place / "library.db") as library:
        read = dict(library.execute("SELECT filename, CASE WHEN flags & 8 THEN -1 ELSE flags & 7 END FROM images"))
    kinds = Counter(Path(name).suffix for name in wanted)
    tell("darktable imports", ", ".join(f"{count} {kind[1:]}" for kind, count in kinds.items()))
    compare(" ".join(run("darktable-cli", "--version").split()[2:4]), wanted, read)


# --- small things ----------------------------------------------------------------------------------------------------


def rali(*words: str) -> str:
    """Run rali; return what it prints."""
    return run(*RALI, *words)


def run(*words: str) -> str:
    """Run a program; return what it prints."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Return what every file below a folder holds, and its time."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Tell how long something takes."""
    start = time.perf_counter()
    yield
    tell(what, f"{time.perf_counter() - start:.1f} s")


def tell(what: str, value: object) -> None:
    """Print one line of what was found."""
    print(f"{what:<50} {value}", flush=True)


if __name__ == "__main__":
    main()
