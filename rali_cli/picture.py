"""A photo on a terminal: as pixels where the terminal can and the extra ``pictures`` is there, else as half blocks."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from rali_cli import render

if TYPE_CHECKING:
    from PIL import Image

    from rali.config import Settings
    from rali.thumbnails.making import Request

# Cells: large enough to know a photo by, small enough that what is said of it stays in sight.
_MOST_COLUMNS = 64
_MOST_ROWS = 20


def shows_pictures(out: Console) -> bool:
    """Tell if a picture is of use there: a terminal with at least 256 colours, and colours are wanted."""
    colours = out.color_system in ("256", "truecolor", "windows")
    return out.is_terminal and colours and not out.no_color and os.environ.get("TERM") != "dumb"


def print_picture(out: Console, request: Request, settings: Settings) -> None:
    """Print a photo, small, or a line about why there is no picture of it."""
    from PIL import Image

    from rali.photos.photo import display_path
    from rali.report.pictures import PREVIEW
    from rali.thumbnails.cache import ThumbnailCache
    from rali.thumbnails.making import make_thumbnails

    with ThumbnailCache(settings.cache / "thumbnails", cap_bytes=settings.thumbnails_mb * 1_000_000) as cache:
        for _, made in make_thumbnails([request], PREVIEW, settings, cache):
            if isinstance(made, bytes):
                with Image.open(io.BytesIO(made), formats=("WEBP",)) as image:
                    _print(out, image.convert("RGB"))
            else:
                render.notice(f"No picture: {display_path(made.message)}")


def _print(out: Console, image: Image.Image) -> None:
    columns, rows = _cells(image.size, min(out.width, _MOST_COLUMNS), min(out.height - 1, _MOST_ROWS))
    try:
        # Importing it asks the terminal what it can.
        from textual_image.renderable import Image as Picture
        from textual_image.renderable import SixelImage, TGPImage
    except ImportError:
        out.print(half_blocks(image, columns, rows))
        return
    # Its own half blocks follow the terminal's cells no better than ours, which need no extra.
    if Picture is SixelImage or Picture is TGPImage:
        out.print(Picture(image, width=columns, height=rows))
    else:
        out.print(half_blocks(image, columns, rows))


def half_blocks(image: Image.Image, columns: int, rows: int) -> Text:
    """Draw an RGB picture in so many cells, each of two pixels one above the other."""
    small = image.resize((columns, 2 * rows))
    text = Text(no_wrap=True, end="")
    for row in range(rows):
        for column in range(columns):
            upper, lower = (small.getpixel((column, 2 * row + half)) for half in (0, 1))
            text.append("▀", style=f"{_colour(upper)} on {_colour(lower)}")
        text.append("\n")
    return text


def _cells(size_px: tuple[int, int], most_columns: int, most_rows: int) -> tuple[int, int]:
    """Fit a picture into so many columns and rows of cells, which are twice as high as wide."""
    width, height = size_px
    columns = min(most_columns, round(2 * most_rows * width / height))
    rows = min(most_rows, round(columns * height / width / 2))
    return max(1, columns), max(1, rows)


def _colour(pixel: object) -> str:
    red, green, blue = pixel if isinstance(pixel, tuple) else (0, 0, 0)
    return f"#{red:02x}{green:02x}{blue:02x}"
