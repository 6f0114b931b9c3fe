"""The page's addresses: its own files, pictures by number, questions and decisions. No address holds a path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from importlib import resources
from typing import Any, TypeVar, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rali.catalog.records import Mark
from rali.errors import RaliError, UsageError
from rali.photos.thumbnail import Size
from rali.report.html import palette
from rali.review.painting import LARGEST_CROP_PX, PREVIEW, THUMBNAIL, Crop
from rali.review.pictures import Picture, Pictures
from rali.review.session import Review

_Answer = TypeVar("_Answer")
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LOOK_AGAIN_S = 0.5
_MOST_MARKS = 10_000
_FURTHEST = 1e9  # from zero, of a score; not a number is not within it, either


def make_app(review: Review, pictures: Pictures) -> Starlette:
    """Make the application; put a :class:`~rali.review.guard.Guard` before it."""
    page = _Page(review, pictures)
    return Starlette(
        routes=[
            Route("/", _asset("index.html")),
            *(Route(f"/assets/{name}", _asset(name)) for name in asset_names()),
            Route("/assets/palette.css", _given(palette().encode(), ".css")),
            Route("/thumbnail/{photo}", page.thumbnail),
            Route("/preview/{photo}", page.preview),
            Route("/crop/{photo}", page.crop),
            Route("/api/photos", page.photos),
            Route("/api/groups", page.groups),
            Route("/api/stars", page.stars),
            Route("/api/progress", page.progress),
            Route("/api/order", page.order, methods=["POST"]),
            Route("/api/marks", page.mark, methods=["POST"]),
            Route("/api/give", page.give, methods=["POST"]),
            Route("/api/plan", page.plan, methods=["POST"]),
            Route("/api/apply", page.apply, methods=["POST"]),
            Route("/api/undo", page.undo, methods=["POST"]),
        ],
        exception_handlers={RaliError: _told},
    )


def asset_names() -> list[str]:
    """Return the names of the page's own files."""
    return sorted(file.name for file in (resources.files("rali.review") / "assets").iterdir())


def _asset(name: str) -> Callable[[Request], Awaitable[Response]]:
    return _given((resources.files("rali.review") / "assets" / name).read_bytes(), name[name.rindex(".") :])


def _given(content: bytes, suffix: str) -> Callable[[Request], Awaitable[Response]]:
    kind = _KINDS[suffix]

    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


async def _told(_: Request, error: Exception) -> Response:
    status = 400 if isinstance(error, UsageError) else 409
    return JSONResponse({"error": str(error)}, status_code=status)


class _Page:
    """What each address answers."""

    def __init__(self, review: Review, pictures: Pictures) -> None:
        self._review = review
        self._pictures = pictures

    # --- pictures ---------------------------------------------------------------------------------------------------

    async def thumbnail(self, request: Request) -> Response:
        return await self._fitted(request, THUMBNAIL)

    async def preview(self, request: Request) -> Response:
        return await self._fitted(request, PREVIEW)

    async def crop(self, request: Request) -> Response:
        x, y, width, height = (_natural(request.query_params.get(name, "")) for name in ("x", "y", "w", "h"))
        if not (0 < width <= LARGEST_CROP_PX and 0 < height <= LARGEST_CROP_PX):
            raise HTTPException(404)
        wanted = self._wanted(request)
        return await self._made(request, self._pictures.make(wanted, Crop(x, y, width, height)), "image/jpeg")

    async def _fitted(self, request: Request, size: Size) -> Response:
        wanted = self._wanted(request)
        kept = await run_in_threadpool(self._pictures.kept, wanted, size)
        if kept is not None:
            return Response(kept, media_type="image/webp")
        return await self._made(request, self._pictures.make(wanted, size), "image/webp")

    def _wanted(self, request: Request) -> Any:
        found = self._review.library.requests.get(_natural(request.path_params["photo"]))
        if found is None:
            raise HTTPException(404)
        return found

    async def _made(self, request: Request, future: Future[Picture], kind: str) -> Response:
        """Wait for a picture; one that nobody waits for any more is not begun."""
        waiting = asyncio.wrap_future(future)
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=_LOOK_AGAIN_S)
            if not waiting.done() and await request.is_disconnected():
                waiting.cancel()
                return Response(status_code=499)
        if waiting.cancelled():
            return Response(status_code=503)
        picture = waiting.result()
        if isinstance(picture, bytes):
            return Response(picture, media_type=kind)
        return PlainTextResponse(picture.message, status_code=422)

    # --- questions --------------------------------------------------------------------------------------------------

    async def photos(self, _: Request) -> Response:
        return await self._answered(self._review.photos)

    async def groups(self, _: Request) -> Response:
        return await self._answered(self._review.groups)

    async def stars(self, _: Request) -> Response:
        return await self._answered(self._review.stars)

    async def order(self, request: Request) -> Response:
        photos = (await _body(request)).get("photos")
        if not isinstance(photos, list) or len(photos) > _MOST_MARKS or any(type(each) is not int for each in photos):
            raise UsageError("give photos: a list of their numbers")
        return await self._answered(self._review.order, photos)

    async def progress(self, _: Request) -> Response:
        return JSONResponse({"moved": self._review.moved})

    # --- decisions --------------------------------------------------------------------------------------------------

    async def mark(self, request: Request) -> Response:
        given = await _body(request)
        pairs = given.get("marks")
        if not isinstance(pairs, list) or len(pairs) > _MOST_MARKS:
            raise UsageError("give marks: a list of photos and what they are to be marked")
        return await self._answered(self._review.mark, [_mark_of(pair) for pair in pairs])

    async def give(self, request: Request) -> Response:
        given = await _body(request)
        return await self._answered(self._review.give, _whole(given, "photo"), _whole(given, "stars"))

    async def plan(self, request: Request) -> Response:
        given = await _body(request)
        below, per_burst = given.get("below"), given.get("per_burst")
        if below is not None and (type(below) not in (int, float) or not -_FURTHEST <= below <= _FURTHEST):
            raise UsageError("below: give a score")
        if per_burst is not None:
            per_burst = _whole(given, "per_burst")
        return await self._answered(self._review.plan, below, per_burst)

    async def apply(self, request: Request) -> Response:
        given = await _body(request)
        return await self._answered(self._review.apply, str(given.get("plan")), given.get("meant") is True)

    async def undo(self, request: Request) -> Response:
        given = await _body(request)
        return await self._answered(self._review.undo, str(given.get("run")))

    async def _answered(self, question: Callable[..., _Answer], *arguments: object) -> Response:
        answer = await asyncio.wrap_future(self._review.ask(question, *arguments))
        # Tens of thousands of photos take some tenths of a second to write down: not while pictures wait.
        return Response(await run_in_threadpool(_dump, answer), media_type="application/json")


def _dump(answer: object) -> bytes:
    return json.dumps(answer, allow_nan=False, separators=(",", ":")).encode("ascii")


async def _body(request: Request) -> dict[str, Any]:
    """Read what a page sends: a JSON object, and nothing that a form of another page could send."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415)
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise UsageError("this is not JSON") from None
    if not isinstance(given, dict):
        raise UsageError("this is no JSON object")
    return given


def _natural(text: str) -> int:
    """Read a number out of an address; what is none leads nowhere."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HTTPException(404)
    return int(text)


def _whole(given: dict[str, Any], name: str) -> int:
    value = given.get(name)
    if type(value) is not int:
        raise UsageError(f"{name}: give a whole number")
    return value


def _mark_of(pair: object) -> tuple[int, Mark | None]:
    if not (isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is int and pair[1] in ("keep", "reject", None)):
        raise UsageError("a mark is a photo's number, and keep, reject or null")
    return pair[0], cast("Mark | None", pair[1])
