"""From files to pixels, and from pixels to the networks' inputs."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

Pixels = NDArray[np.uint8]
Tensor = NDArray[np.float32]
Size = tuple[int, int]
Box = tuple[float, float, float, float]

# As docent's decode.max_pixels. Pillow refuses what is twice as large as this.
Image.MAX_IMAGE_PIXELS = 150_000_000
# The program's own threads keep the cores busy.
cv2.setNumThreads(1)

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}


def files(folder: Path) -> list[Path]:
    """The pictures in `folder` and below, by extension, in the order of their names; hidden ones are left out."""

    def walk() -> Iterator[Path]:
        for place, folders, names in os.walk(folder, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (Path(place, name) for name in names if not name.startswith("."))

    return sorted(path for path in walk() if path.suffix.lower() in EXTENSIONS)


def decode(path: Path, working_side: int | None = None) -> Image.Image:
    """An upright 8-bit sRGB picture.

    With a `working_side` a large JPEG is decoded at a half, a quarter or an eighth as long as its long side stays at
    least that large, and what is then still more than twice as large is reduced to it, as docent does.
    """
    with Image.open(path) as file:
        if working_side:
            draft(file, working_side)
        file.load()
        image: Image.Image = file
        if working_side and max(image.size) > 2 * working_side:
            scale = working_side / max(image.size)
            image = image.resize((whole(image.width * scale), whole(image.height * scale)), FILTERS[0])
        return to_srgb(ImageOps.exif_transpose(image))


def draft(image: Image.Image, working_side: int) -> None:
    """Tells a JPEG's decoder to skip the detail that nobody looks at; does nothing to other formats."""
    long = max(image.size)
    factor = next((f for f in (8, 4, 2) if math.ceil(long / f) >= working_side), 1)
    if factor > 1:
        image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))


def to_srgb(image: Image.Image) -> Image.Image:
    """`image` in 8-bit sRGB, on white where it is transparent."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    if alpha is not None:
        image = image.convert(image.mode[:-1])
    profile = image.info.get("icc_profile")
    transform = to_srgb_transform(profile, image.mode) if profile else None
    color = (transform and ImageCms.applyTransform(image, transform)) or image.convert("RGB")
    if alpha is None:
        return color
    paper = Image.new("RGB", color.size, "white")
    paper.paste(color, mask=alpha)
    return paper


@lru_cache(maxsize=64)
def to_srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from `profile` to sRGB; none if it cannot be used, or changes no color by more than rounding."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "RGB":
        # Most profiles in the wild are sRGB's own, and need no work.
        steps = np.array(np.meshgrid(*[range(0, 256, 51)] * 3), np.uint8).reshape(3, -1).T.copy()
        colors = Image.fromarray(steps[None])
        changed = np.asarray(ImageCms.applyTransform(colors, transform)).astype(int) - steps
        if np.abs(changed).max() <= 2:
            return None
    return transform


class Picture:
    """An upright picture that can be seen at any size."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.width, self.height = image.size

    @cached_property
    def rgb(self) -> Pixels:
        return np.asarray(self.image)

    def resized(self, size: Size, area: Box | None = None, bicubic: bool = False) -> Pixels:
        """`area` (left, top, right, bottom; the whole picture without it) at `size`, antialiased."""
        left, top, right, bottom = area or (0, 0, self.width, self.height)
        enlarged = right - left <= size[0] and bottom - top <= size[1]
        if enlarged and not bicubic:
            # The same pixels as Pillow's, but for rounding, in a seventh of the time.
            source = self.rgb[round(top) : round(bottom), round(left) : round(right)]
            return np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        # OpenCV's ways to reduce are faster still, but other pixels: faces come and go, embeddings turn by 10 degrees.
        # Pillow first reduces by a whole number, as long as the filter still has this factor to do.
        return np.asarray(self.image.resize(size, FILTERS[bicubic], area, reducing_gap=1.9))

    def square(self, area: Box) -> tuple[Picture, tuple[int, int]]:
        """A square around the middle of `area`, as wide as its longer side, black outside; and its corner."""
        side = whole(max(area[2] - area[0], area[3] - area[1]))
        left, top = round((area[0] + area[2] - side) / 2), round((area[1] + area[3] - side) / 2)
        return Picture(self.image.crop((left, top, left + side, top + side))), (left, top)


def whole(length: float) -> int:
    """`length` in whole pixels, half of one counted as one: docent's rounding, not Python's. At least 1."""
    return max(1, math.floor(length + 0.5))


def squash(picture: Picture, side: int) -> Pixels:
    """The whole picture in a square, aspect ratio ignored."""
    return picture.resized((side, side))


def center_crop(picture: Picture, short_side: int, side: int) -> Pixels:
    """The middle square of the picture whose short side has become `short_side`."""
    scale = short_side / min(picture.width, picture.height)

    def cut(length: int) -> tuple[float, float]:
        full = whole(length * scale)
        start = (full - side) // 2
        return start * length / full, (start + side) * length / full

    (left, right), (top, bottom) = cut(picture.width), cut(picture.height)
    return picture.resized((side, side), (left, top, right, bottom), bicubic=True)


def fit(width: int, height: int, side: int) -> tuple[float, Size]:
    """Scale and size at which a picture fits into a square canvas."""
    scale = min(side / width, side / height)
    return scale, (min(whole(width * scale), side), min(whole(height * scale), side))


def tensor(
    pixels: Pixels,
    mean: Sequence[float],
    deviation: float,
    side: int | None = None,
    corner: tuple[int, int] = (0, 0),
    fill: float = 0,
) -> Tensor:
    """`(pixels - mean) / deviation` as [1, 3, H, W], at `corner` of a square canvas of `fill` if it has a `side`."""
    height, width = pixels.shape[:2]
    canvas = np.empty((1, 3, side or height, side or width), np.float32)
    if canvas.shape[2:] != (height, width):
        canvas[0] = ((np.array(mean, np.float32) * -1 + fill) / deviation)[:, None, None]
    (left, top) = corner
    target = canvas[0, :, top : top + height, left : left + width]
    # Planes first: reading every third byte is what takes the time.
    for plane, average, out in zip(cv2.split(pixels), mean, target, strict=True):
        np.subtract(plane, np.float32(average), out=out)
    if deviation != 1:
        np.multiply(target, np.float32(1 / deviation), out=target)
    return canvas
