"""Scans: a printed A4 page, not quite straight, on paper that is not quite white."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw

from sources import Pixels, Random, Sources
from words import font, paragraph, title, words, write

INK = "#1c1b1a"
FAMILIES = (
    ("DejaVuSerif", "DejaVuSerif-Bold"),
    ("DejaVuSans", "DejaVuSans-Bold"),
    ("DejaVuSerifCondensed", "DejaVuSans-Bold"),
    ("DejaVuSansCondensed", "DejaVuSerif-Bold"),
    ("DejaVuSansMono", "DejaVuSansMono"),
)


def scan(random: Random, sources: Sources) -> tuple[str, bytes]:
    """A4 at 200, 240 or 300 dpi, gray or in color, as JPEG or (a third) TIFF."""
    dpi = int(random.choice([200, 240, 300]))
    width, height = round(8.27 * dpi), round(11.69 * dpi)
    pixels = on_paper(random, np.asarray(printed(random, sources, width, height, dpi)))
    if random.random() < 0.5:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if random.random() < 0.33:
        compression = str(random.choice(["tiff_lzw", "tiff_adobe_deflate"]))
        image.save(out, "TIFF", compression=compression, dpi=(dpi, dpi))
        return ".tif", out.getvalue()
    image.save(out, "JPEG", quality=int(random.integers(75, 91)), dpi=(dpi, dpi))
    return ".jpg", out.getvalue()


def printed(random: Random, sources: Sources, width: int, height: int, dpi: int) -> Image.Image:
    """Head, title, one or two columns of text, sometimes with a picture or a table."""
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    family = FAMILIES[random.integers(len(FAMILIES))]

    def points(size: float) -> int:
        return round(size * dpi / 72)

    body = font(family[0], points(random.uniform(8.5, 11.5)))
    left, right = width * 0.11, width * 0.89
    top, bottom = height * 0.07, height * 0.93
    if random.random() < 0.6:
        draw.text((left, top), title(random, 3), INK, font(family[1], points(9)))
        draw.text((right, top), f"{random.integers(1, 400)}", INK, body, anchor="ra")
        draw.line((left, top + points(14), right, top + points(14)), INK, max(1, dpi // 150))
    top += points(30)
    heading = font(family[1], points(random.uniform(15, 24)))
    top = write(draw, title(random, int(random.integers(3, 7))), heading, (left, top), right - left, bottom, INK)
    top += points(12)
    if random.random() < 0.35:
        high = round(height * random.uniform(0.18, 0.3))
        wide = round(right - left)
        picture = cv2.resize(sources.cut(random, wide / high), (wide, high), interpolation=cv2.INTER_CUBIC)
        page.paste(Image.fromarray(picture), (round(left), round(top)))
        top = write(draw, title(random, 8), body, (left, top + high + points(4)), wide, bottom, INK) + points(10)
    if random.random() < 0.3:
        top = table(random, draw, family, points, (left, top, right, bottom)) + points(14)
    columns = 2 if random.random() < 0.4 else 1
    gap = points(16)
    wide = (right - left - gap * (columns - 1)) / columns
    for column in range(columns):
        down = top
        while down + body.size * 3 < bottom:
            text = paragraph(random, int(random.integers(2, 7)))
            down = write(draw, text, body, (left + column * (wide + gap), down), wide, bottom, INK) + points(6)
        if columns == 1 and random.random() < 0.3:
            break
    return page


def table(
    random: Random,
    draw: ImageDraw.ImageDraw,
    family: tuple[str, str],
    points: Callable[[float], int],
    area: tuple[float, float, float, float],
) -> float:
    """Words and numbers between rules; where the next thing may begin."""
    left, top, right, bottom = area
    face, row = font(family[0], points(9)), points(16)
    columns = int(random.integers(3, 6))
    wide = (right - left) / columns
    for _ in range(int(random.integers(4, 10))):
        if top + row * 2 > bottom:
            break
        draw.line((left, top, right, top), "#777777", 1)
        for column in range(columns):
            text = words(random, 1)[0] if column == 0 else f"{random.integers(1, 9999) / 10:.1f}"
            draw.text((left + column * wide + points(3), top + points(3)), text, INK, face)
        top += row
    return top


def on_paper(random: Random, page: Pixels) -> Pixels:
    """Skewed by up to a degree, a little soft, with the light of the lamp, the paper's tint and fibers, and noise."""
    height, width = page.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-1, 1), random.uniform(0.985, 1.0))
    page = cv2.warpAffine(page, turn, (width, height), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
    page = cv2.GaussianBlur(page, (0, 0), random.uniform(0.5, 0.9))
    tint = np.array([1, random.uniform(0.975, 1), random.uniform(0.92, 0.99)], np.float32) * random.uniform(0.92, 0.98)
    lamp = random.uniform(0.95, 1, (4, 3)).astype(np.float32)
    lamp = cv2.resize(lamp, (width, height), interpolation=cv2.INTER_CUBIC)
    fiber = random.standard_normal((height // 3 + 1, width // 3 + 1), np.float32) * random.uniform(0.5, 2)
    noise = random.standard_normal((height, width), np.float32) * random.uniform(0.8, 2.5)
    noise += cv2.resize(fiber, (width, height), interpolation=cv2.INTER_LINEAR)
    out = page * lamp[..., None] * tint + noise[..., None]
    return np.clip(out, 0, 255).astype(np.uint8)
