"""The review page in headless Chromium: by keyboard alone, with hostile names, with fifty thousand photos."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import scored, write_jpeg
from faults import tree
from shooting import PLAIN, Shoot
from visiting import HOSTILE, Visitor

from rali.catalog.catalog import Catalog
from rali.model.bundle import read_info

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
PICTURES = os.environ.get("RALI_SCREENSHOTS")  # a folder to look at them


@pytest.fixture
def open_page(
    browser: Any, serve: Callable[..., Visitor]
) -> Iterator[Callable[..., Any]]:  # closed before the server is
    """Return a function that opens a review; fail if the browser has anything to complain of in the end."""
    said: list[str] = []
    pages: list[Any] = []

    def open_it(visitor: Visitor, *, pictures: bool = True, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": 1200, "height": 800}, **options)
        page = context.new_page()
        pages.append(context)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda sent: said.append(sent.url) if f":{visitor.port}/" not in sent.url else None)
        if pictures:
            page.on("console", lambda message: said.append(message.text))
        page.goto(visitor.url)
        page.wait_for_selector(".cell[tabindex='0']:focus")
        return page

    yield open_it
    for context in pages:
        context.close()
    assert said == []


def shoot(page: Any, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(600)
        page.screenshot(path=f"{PICTURES}/{name}.png")


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"))


def until(page: Any, condition: str) -> None:
    """Wait until an expression is true; Playwright's own way evaluates in the page, which its policy forbids."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {condition}")


def wait_for(page: Any, selector: str, text: str) -> None:
    until(page, f"document.querySelector({json.dumps(selector)}).textContent.includes({json.dumps(text)})")


@pytest.fixture
def new_visitor(wedding: Path, serve: Callable[..., Visitor], scoring_of: Callable[[], Any]) -> Visitor:
    """Return a server whose link nobody has opened yet."""
    return serve(scoring_of(), wedding)


def test_by_keyboard_alone_from_the_worst_photo_to_an_applied_plan_and_back(
    open_page: Callable[..., Any], new_visitor: Visitor, wedding: Path, rows: Callable[..., Any]
) -> None:
    before = tree(wedding)
    page = open_page(new_visitor)
    keys = page.keyboard

    assert focused(page).startswith("IMG_01.jpg, score 5.0")
    assert page.title() == "Review photos"
    assert "#" not in page.url
    keys.press("k")
    wait_for(page, "#status", "IMG_01.jpg: marked keep")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    keys.press("x")
    wait_for(page, "#status", "IMG_03.jpg: marked reject")
    assert focused(page) == "IMG_03.jpg, score 25.0, percentile 21, marked reject"
    keys.press("ArrowRight")
    keys.press("x")
    wait_for(page, "#status", "IMG_04.jpg: marked reject")
    keys.press("Control+z")
    wait_for(page, "#status", "IMG_04.jpg unmarked again")
    assert sorted(rows("SELECT mark FROM marks")) == [("keep",), ("reject",)]

    keys.press("Shift+Tab")
    while page.evaluate("document.activeElement.id") != "below":
        keys.press("Shift+Tab")
    for _ in range(40):
        keys.press("ArrowRight")
    assert page.locator("#below-shown").text_content() == "20.0"
    assert page.locator("#going").text_content() == "2 photos of 12 would go, if nothing else protects them"
    shoot(page, "grid")
    while page.evaluate("document.activeElement.getAttribute('role')") != "gridcell":
        keys.press("Tab")

    keys.press("Enter")
    page.wait_for_selector("#plan-buttons .main")
    text = page.locator("#plan-body").inner_text()
    assert "2 photos of 12 would go" in text
    assert ("marked reject" in text, "Held back: 1 photo" in text) == (True, True)
    assert "1 photo that would go too is held back" in text
    assert focused(page) == "Cancel"
    shoot(page, "plan")
    assert tree(wedding) == before
    keys.press("Tab")
    assert focused(page) == "Move 2 photos"
    keys.press("Enter")
    wait_for(page, "#plan-body", "Undo with: rali undo ")
    shoot(page, "applied")

    gone = {"IMG_02.jpg", "IMG_03.jpg"}
    assert {path.name for path in wedding.iterdir()} == {f"IMG_{n:02}.jpg" for n in range(1, 13)} - gone
    keys.press("Shift+Tab")
    assert focused(page) == "Undo now"
    keys.press("Enter")
    wait_for(page, "#plan-body", "Brought back 2 photos")
    keys.press("Enter")
    assert tree(wedding) == before
    until(page, "document.querySelectorAll('.cell').length === 12")


def test_stars_by_keyboard_and_back(open_page: Callable[..., Any], new_visitor: Visitor, wedding: Path) -> None:
    page = open_page(new_visitor)

    page.keyboard.press("1")
    wait_for(page, "#status", "IMG_01.jpg: 1 star")
    assert page.locator("#status").text_content() == "IMG_01.jpg: 1 star"
    page.keyboard.press("4")
    wait_for(page, "#status", "IMG_01.jpg: 4 stars")
    assert 'xmp:Rating="4"' in (wedding / "IMG_01.jpg.xmp").read_text()
    assert "4 stars" in focused(page)
    page.keyboard.press("Control+z")
    wait_for(page, "#status", "former stars")
    assert "1 star" in focused(page)
    page.keyboard.press("Control+z")
    until(page, "document.getElementById('undo').disabled")

    assert not (wedding / "IMG_01.jpg.xmp").exists()
    assert "stars" not in focused(page)


def test_zoom_shows_every_pixel_and_marks_go_on_there(
    open_page: Callable[..., Any], tmp_path: Path, remember: Callable[..., Any], serve: Callable[..., Visitor]
) -> None:
    folder = tmp_path / "large"
    photos = {write_jpeg(folder / f"{n}.jpg", n, size=(3000, 2000)): 10.0 * n for n in (1, 2)}
    scoring = remember(photos)
    with Catalog(Path(os.environ["RALI_DB"])) as catalog, catalog.writing() as connection:
        connection.execute("UPDATE contents SET width = 3000, height = 2000")
    page = open_page(serve(scoring, folder))

    page.keyboard.press("z")
    until(page, "document.querySelector('#panes img').naturalWidth === 1600")
    page.keyboard.press("z")
    page.wait_for_selector("#panes img.cropped")
    shown = page.evaluate(
        "(() => { const i = document.querySelector('#panes img'); return i.naturalWidth / i.clientWidth })()"
    )
    assert shown == pytest.approx(1, abs=0.01)
    before = page.locator("#panes img").evaluate("image => image.getBoundingClientRect().x")
    page.keyboard.press("Shift+ArrowRight")
    moved = before - page.locator("#panes img").evaluate("image => image.getBoundingClientRect().x")
    assert moved == pytest.approx(0.04 * 3000, abs=1.5)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    wait_for(page, "#frames-status", "2.jpg: marked reject")
    page.keyboard.press("Escape")
    until(page, "document.activeElement.matches('[aria-label^=\"2.jpg\"]')")  # a dialog tells later that it was closed

    assert focused(page).startswith("2.jpg, score 20.0, percentile 75, marked reject")


def test_a_burst_stands_side_by_side_and_moves_in_step(
    open_page: Callable[..., Any], tmp_path: Path, own_world: Path, tiny_bundle: Path, serve: Callable[..., Visitor]
) -> None:
    folder = tmp_path / "burst"
    with Catalog(own_world / "catalog.db") as catalog:
        scoring = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
        outcomes = []
        for number in range(3):
            file = write_jpeg(folder / f"{number}.jpg", 1, size=(2000, 1500), quality=90 - number)
            found = scored(str(file), 10.0 * number, captured_at=f"2026-05-01T10:00:00.{number}00", vector=[1.0, 1.0])
            outcomes.append(found)
        catalog.store(outcomes, scoring)
        with catalog.writing() as connection:
            connection.execute("UPDATE contents SET width = 2000, height = 1500")
    page = open_page(serve(scoring, folder))
    wait_for(page, ".given", "one of 3")

    page.keyboard.press("b")
    until(page, "document.querySelectorAll('#panes figure').length === 3")
    assert page.locator("#frames-title").text_content() == "Burst of 3, best first"
    assert focused(page).startswith("0.jpg")
    bottoms = page.evaluate("[...document.querySelectorAll('.view')].map((v) => v.getBoundingClientRect().bottom)")
    assert len(set(bottoms)) == 1
    shoot(page, "burst")
    page.keyboard.press("z")
    until(page, "document.querySelectorAll('#panes img.cropped').length === 3")
    shoot(page, "burst-full")
    place = """[...document.querySelectorAll('#panes img')].map((image) =>
        image.getBoundingClientRect().x - image.parentElement.getBoundingClientRect().x)"""
    before = page.evaluate(place)
    page.keyboard.press("Shift+ArrowRight")
    after = page.evaluate(place)

    steps = [now - then for now, then in zip(after, before, strict=True)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.6)
    assert steps[0] < -50


@pytest.fixture
def shoot_here(tmp_path: Path, own_world: Path, tiny_bundle: Path) -> Shoot:
    """Return a folder without photos, and the catalog of this test's world."""
    return Shoot(tmp_path / "shoot", own_world / "catalog.db", tiny_bundle)


def test_frames_of_one_second_stand_in_the_order_in_which_they_were_taken(
    open_page: Callable[..., Any],
    shoot_here: Shoot,
    serve: Callable[..., Visitor],
    scoring_of: Callable[[], Any],
) -> None:
    for name, score, at_s, bias in (("0.jpg", 20.0, 0.09, 0.0), ("1.jpg", 30.0, 0.4, -2.0), ("2.jpg", 10.0, 0.85, 2.0)):
        shoot_here.add(name, score, at_s, exposure=replace(PLAIN, bias_ev=bias))
    page = open_page(serve(scoring_of(), shoot_here.folder))
    wait_for(page, ".given", "bracket of 3")

    page.locator("#order").select_option("taken")
    assert page.locator(".cell .name").all_text_contents() == ["0.jpg", "1.jpg", "2.jpg"]
    page.locator(".cell[tabindex='0']").focus()
    page.keyboard.press("b")
    page.wait_for_selector("#panes figure")

    assert page.locator("#frames-title").text_content() == "Bracket of 3, as taken"
    assert page.locator("#panes bdi").all_text_contents() == ["0.jpg", "1.jpg", "2.jpg"]
    assert "12:00:00.40" in page.locator("#panes figcaption").nth(1).text_content()


@pytest.fixture
def burst_of_three(shoot_here: Shoot) -> Path:
    for number in range(3):
        shoot_here.add(f"{number}.jpg", 10.0 * number, 0.2 * number)
    return shoot_here.folder


def test_the_frame_that_the_user_stars_is_the_best_of_its_burst(
    open_page: Callable[..., Any],
    burst_of_three: Path,
    serve: Callable[..., Visitor],
    scoring_of: Callable[[], Any],
) -> None:
    page = open_page(serve(scoring_of(), burst_of_three))
    best = "[...document.querySelectorAll('.given.best')].map((given) => given.closest('.cell').dataset.at).join()"
    until(page, f"{best} === '2'")

    page.keyboard.press("5")
    until(page, f"{best} === '0'")
    page.keyboard.press("Control+z")
    until(page, f"{best} === '2'")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")
    until(page, f"{best} === '1'")
    page.keyboard.press("b")

    until(page, "document.querySelector('#panes bdi')?.textContent === '1.jpg'")


def test_a_mark_that_is_stored_stays_shown_when_its_burst_cannot_be_put_in_order(
    open_page: Callable[..., Any],
    burst_of_three: Path,
    serve: Callable[..., Visitor],
    scoring_of: Callable[[], Any],
    rows: Callable[..., Any],
) -> None:
    page = open_page(serve(scoring_of(), burst_of_three), pictures=False)
    wait_for(page, ".given", "one of 3")
    page.route("**/api/order", lambda route: route.fulfill(status=500, body='{"error": "the disk is full"}'))

    page.keyboard.press("k")
    wait_for(page, "#status", "stored, but the burst is in its former order: the disk is full")
    assert "marked keep" in focused(page)
    assert rows("SELECT mark FROM marks") == [("keep",)]
    page.unroute("**/api/order")
    page.keyboard.press("Control+z")

    wait_for(page, "#status", "0.jpg unmarked again")
    assert rows("SELECT mark FROM marks") == []


def test_one_key_leads_to_the_threshold_another_to_the_filters_and_escape_back(
    open_page: Callable[..., Any], new_visitor: Visitor
) -> None:
    page = open_page(new_visitor)
    page.keyboard.press("ArrowRight")

    page.keyboard.press("t")
    assert page.evaluate("document.activeElement.id") == "below"
    assert page.locator("#going").text_content() == "Nothing goes but what is marked reject (0)"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert focused(page).startswith("IMG_02.jpg")
    page.keyboard.press("f")
    assert page.evaluate("document.activeElement.id") == "show"
    page.keyboard.press("Escape")
    assert focused(page).startswith("IMG_02.jpg")


def test_hostile_names_run_nothing_and_are_all_there(
    open_page: Callable[..., Any], tmp_path: Path, remember: Callable[..., Any], serve: Callable[..., Visitor]
) -> None:
    folder = tmp_path / os.fsdecode(b"<b>\"'\n\xe2\x80\xae")
    photos = {}
    for number, name in enumerate(HOSTILE):
        photo = folder / os.fsdecode(name + b".jpg")
        write_jpeg(folder / "plain.jpg", number).rename(photo)
        photos[photo] = 10.0 * number
    page = open_page(serve(remember(photos), folder))

    names = page.locator(".cell .name bdi").all_text_contents()
    assert len(names) == len(HOSTILE)
    assert any("<script>" in name for name in names)
    page.keyboard.press("Shift+x")
    page.keyboard.press("x")
    wait_for(page, "#counts", "2 marked reject")
    page.keyboard.press("z")
    page.wait_for_selector("#panes bdi")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_selector("#plan-buttons .main")
    assert page.locator("#plan-body bdi").count() >= 4
    shoot(page, "hostile")

    assert page.title() == "Review photos"
    assert page.locator("script").count() == 1
    assert page.locator("img[src='x'], svg[onload]").count() == 0


def test_another_page_cannot_drive_it(browser: Any, visitor: Visitor, wedding: Path, rows: Callable[..., Any]) -> None:
    page = browser.new_page()
    page.context.add_cookies([
        {"name": name, "value": value, "url": f"http://127.0.0.1:{visitor.port}"}
        for name, _, value in [visitor.headers["Cookie"].partition("=")]
    ])  # fmt: skip
    # The worst case: another server on this very machine, to which the cookie is of the same site.
    page.route(
        "http://127.0.0.1:1/**", lambda route: route.fulfill(body="<title>evil</title>", content_type="text/html")
    )
    page.goto("http://127.0.0.1:1/")
    tried = page.evaluate(
        """async (home) => {
            const told = [];
            for (const [path, options] of [
                ["/api/photos", {}],
                ["/api/marks", {method: "POST", body: '{"marks": [[1, "reject"]]}'}],
                ["/api/marks", {method: "POST", mode: "no-cors", body: '{"marks": [[1, "reject"]]}'}],
            ]) {
                const sent = fetch(home + path, {credentials: "include", ...options});
                told.push(await sent.then((answer) => answer.status, () => "blocked"));
            }
            told.push(await new Promise((done) => {
                const image = new Image();
                image.onload = () => done("shown");
                image.onerror = () => done("blocked");
                image.src = home + "/thumbnail/1";
            }));
            return told;
        }""",
        f"http://127.0.0.1:{visitor.port}",
    )
    page.close()

    assert tried in (["blocked", "blocked", 0, "blocked"], ["blocked"] * 4)
    assert rows("SELECT * FROM marks") == []


def test_fifty_thousand_photos_are_few_elements_and_scroll(
    open_page: Callable[..., Any], own_world: Path, tiny_bundle: Path, serve: Callable[..., Visitor]
) -> None:
    with Catalog(own_world / "catalog.db") as catalog:
        scoring = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
        catalog.store(
            [
                scored(f"/nowhere/{n // 500}/IMG_{n:05}.jpg", n / 500, inode=n + 1)
                for n in range(50_000)
            ],
            scoring,
        )  # fmt: skip
    visitor = serve(scoring, Path("/nowhere"))
    page = open_page(visitor, pictures=False)

    assert page.locator("#grid").get_attribute("aria-rowcount") == str(-(-50_000 // 6))
    few = page.evaluate("document.querySelectorAll('*').length")
    longest = page.evaluate(
        """async () => {
            const scroller = document.getElementById("scroller");
            const times = [];
            let last = performance.now();
            for (let step = 0; step < 120; step++) {
                scroller.scrollTop += 0.7 * scroller.clientHeight;
                await new Promise(requestAnimationFrame);
                const now = performance.now();
                times.push(now - last);
                last = now;
            }
            return times.sort((a, b) => a - b);
        }"""
    )
    page.evaluate("document.getElementById('scroller').scrollTop = 1e9")
    until(page, "[...document.querySelectorAll('.cell')].some((c) => c.textContent.includes('IMG_49999'))")
    most = page.evaluate("document.querySelectorAll('*').length")
    print(f"{few} elements, at most {most}; frames: median {longest[60]:.1f} ms, longest {longest[-1]:.1f} ms")
    assert max(few, most) < 1000
    page.keyboard.press("End")
    assert focused(page).startswith("IMG_49999.jpg")
    page.keyboard.press("Home")
    assert focused(page).startswith("IMG_00000.jpg")
    page.locator("#below").fill("50")
    assert re.match(r"25,000 photos of 50,000", page.locator("#going").text_content())
    shoot(page, "fifty-thousand")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_enough_contrast(
    open_page: Callable[..., Any], new_visitor: Visitor, scheme: str
) -> None:
    page = open_page(new_visitor, color_scheme=scheme)
    page.keyboard.press("x")
    wait_for(page, "#counts", "1 marked reject")

    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, [role=grid], [role=gridcell], dialog")]
            .filter((each) => !(each.ariaLabel || each.labels?.length || each.textContent.trim()
                || each.getAttribute("aria-labelledby")))
            .map((each) => each.outerHTML)"""
    )
    weak = page.evaluate(
        """() => {
            const light = (colour) => {
                const [r, g, b] = colour.match(/[0-9.]+/g).map((part) => part / 255)
                    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = (element) => {
                for (let each = element; each; each = each.parentElement) {
                    const colour = getComputedStyle(each).backgroundColor;
                    if (!/, 0\\)$|transparent/.test(colour)) return colour;
                }
                return "rgb(255, 255, 255)";
            };
            const found = [];
            for (const element of document.querySelectorAll("body *")) {
                const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
                if (!own || !element.checkVisibility() || element.disabled) continue;
                const pair = [getComputedStyle(element).color, ground(element)].map(light).sort();
                const contrast = (pair[1] + 0.05) / (pair[0] + 0.05);
                if (contrast < 4.5) found.push(`${element.tagName} ${element.className} ${contrast.toFixed(2)}`);
            }
            return [...new Set(found)];
        }"""
    )
    shoot(page, f"grid-{scheme}")

    assert unnamed == []
    assert weak == []
