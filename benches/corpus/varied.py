"""Many small files of every format and shape, cheap to make: for memory and robustness, not for speed."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

import metadata
from sources import Pixels, Random, Sources
from words import FONTS, font, paragraph, write

Made = tuple[str, bytes]

BANK = 2048


def small(random: Random, sources: Sources, largest: float) -> Pixels:
    """With a long side of 200 pixels up to `largest`, every one as likely as its double; one in 50 of 3 to 12
    megapixels. One in eight is far longer than wide, or higher."""
    usual = random.random() < 0.87
    aspect = np.exp(random.normal(0.1, 0.35) if usual else random.choice([-1, 1]) * random.uniform(1, 2))
    if random.random() < 0.02:
        area = random.uniform(3e6, 12e6)
    else:
        long = np.exp(random.uniform(np.log(200), np.log(largest)))
        area = long**2 * min(aspect, 1 / aspect)
    size = max(24, round((area * aspect) ** 0.5)), max(24, round((area / aspect) ** 0.5))
    if random.random() < 0.03 and area < 1e6:
        return printed(random, size)
    part = sources.cut(random, aspect, by_area=False)
    pixels = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return cv2.addWeighted(pixels, 1, noise(random, size), 1, -128)


def noise(random: Random, size: tuple[int, int]) -> Pixels:
    """Around 128; the bank is repeated where it is too small."""
    tile = bank(int(random.integers(3)))
    width, height = size
    if max(size) > BANK:
        tile = np.tile(tile, (-(-height // BANK), -(-width // BANK), 1))
    down, right = random.integers(tile.shape[0] - height + 1), random.integers(tile.shape[1] - width + 1)
    return tile[down : down + height, right : right + width]


@cache
def bank(strength: int) -> Pixels:
    """Noise around 128 to cut from; drawing it anew for every file would take most of the time."""
    values = np.random.default_rng(strength).standard_normal((BANK, BANK), np.float32)
    return cv2.cvtColor(np.clip(values * (2, 5, 10)[strength] + 128, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def printed(random: Random, size: tuple[int, int]) -> Pixels:
    """A few lines of text, dark on light."""
    image = Image.new("RGB", size, tuple(int(value) for value in random.integers(215, 256, 3)))
    face = font(FONTS[random.integers(len(FONTS))], int(random.integers(14, 40)))
    ink = "#{:02x}{:02x}{:02x}".format(*random.integers(0, 80, 3))
    text = paragraph(random, int(random.integers(1, 6)))
    write(ImageDraw.Draw(image), text, face, (8, 8), size[0] - 16, size[1], ink)
    return np.asarray(image)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def jpeg(random: Random, image: Image.Image, **options: Any) -> Made:
    options.setdefault("subsampling", int(random.choice([0, 1, 2], p=[0.15, 0.1, 0.75])))
    if random.random() < 0.3:
        options["exif"] = metadata.exif(random, image.width, image.height, int(random.integers(1, 9)))
    if random.random() < 0.2:
        options["icc_profile"] = metadata.srgb() if image.mode == "RGB" else None
    quality = int(random.integers(50, 96))
    return ".jpg", saved(image, "JPEG", quality=quality, **{k: v for k, v in options.items() if v is not None})


def png(image: Image.Image) -> Made:
    return ".png", saved(image, "PNG", compress_level=1)


def deep(random: Random, pixels: Pixels) -> Made:
    """16 bits: gray or color."""
    wide = pixels.astype(np.uint16) * 257
    wide ^= random.integers(0, 64, pixels.shape[:2], np.uint16)[..., None]
    source = wide[..., 1] if random.random() < 0.5 else wide
    done, data = cv2.imencode(".png", source, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError("write a PNG of 16 bits: OpenCV refuses")
    return ".png", data.tobytes()


def with_alpha(random: Random, pixels: Pixels) -> Image.Image:
    """Half transparent towards one corner, and fully outside of an ellipse."""
    height, width = pixels.shape[:2]
    ends = random.integers(60, 256, (2, 2)).astype(np.uint8)
    alpha = cv2.resize(ends, (width, height), interpolation=cv2.INTER_LINEAR)
    shape = np.zeros((height, width), np.uint8)
    cv2.ellipse(shape, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, 255, -1)
    return Image.fromarray(np.dstack([pixels, cv2.bitwise_and(alpha, shape)]))


def gif(random: Random, pixels: Pixels) -> Made:
    """One in four moves."""
    first = Image.fromarray(pixels).quantize(int(random.choice([16, 64, 256])), Image.Quantize.FASTOCTREE)
    if random.random() < 0.25:
        others = [first.transpose(Image.Transpose.FLIP_LEFT_RIGHT), first.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
        return ".gif", saved(first, "GIF", save_all=True, append_images=others, duration=200)
    return ".gif", saved(first, "GIF")


def gray(pixels: Pixels) -> Image.Image:
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def tiff(image: Image.Image, compression: str | None) -> Made:
    return ".tif", saved(image, "TIFF", compression=compression)


Maker = Callable[[Random, Pixels], Made]

# Share, longest side (formats that take long to write are kept small), and how it is written.
FORMATS: dict[str, tuple[float, int, Maker]] = {
    "jpeg": (0.36, 1600, lambda r, p: jpeg(r, Image.fromarray(p))),
    "jpeg-progressive": (0.14, 1600, lambda r, p: jpeg(r, Image.fromarray(p), progressive=True)),
    "jpeg-gray": (0.06, 1600, lambda r, p: jpeg(r, gray(p), subsampling=None)),
    "jpeg-cmyk": (0.03, 1200, lambda r, p: jpeg(r, Image.fromarray(p).convert("CMYK"), subsampling=None)),
    "png": (0.07, 1000, lambda _, p: png(Image.fromarray(p))),
    "png-gray": (0.02, 1000, lambda _, p: png(gray(p))),
    "png-16": (0.02, 800, deep),
    "png-palette": (0.03, 1000, lambda _, p: png(Image.fromarray(p).quantize(256, Image.Quantize.FASTOCTREE))),
    "png-alpha": (0.04, 800, lambda r, p: png(with_alpha(r, p))),
    "webp": (0.07, 1000, lambda _, p: (".webp", saved(Image.fromarray(p), "WEBP", quality=75, method=0))),
    "webp-lossless": (
        0.02,
        500,
        lambda _, p: (".webp", saved(Image.fromarray(p), "WEBP", lossless=True, quality=0, method=0)),
    ),
    "gif": (0.04, 800, gif),
    "tiff": (0.03, 1000, lambda _, p: tiff(Image.fromarray(p), None)),
    "tiff-lzw": (0.02, 800, lambda _, p: tiff(Image.fromarray(p), "tiff_lzw")),
    "tiff-deflate": (0.02, 800, lambda _, p: tiff(Image.fromarray(p), "tiff_adobe_deflate")),
    "bmp": (0.03, 1000, lambda _, p: (".bmp", saved(Image.fromarray(p), "BMP"))),
}


def maker(name: str) -> Callable[[Random, Sources], Made]:
    _, largest, write_as = FORMATS[name]
    return lambda random, sources: write_as(random, small(random, sources, largest))
