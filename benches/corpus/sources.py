"""The pictures that everything is made from: cut, mirrored and tinted differently each time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Random = np.random.Generator

FEWEST_PIXELS = 100_000
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}


class Sources:
    def __init__(self, folders: Sequence[Path]) -> None:
        self.paths = [
            path
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in EXTENSIONS and path.is_file()
        ]
        if not self.paths:
            raise SystemExit(f"no pictures in {', '.join(map(str, folders))}")
        areas = []
        for path in self.paths:
            with Image.open(path) as image:
                areas.append(image.width * image.height)
        # Smaller ones have been compressed so much that enlarged they show nothing but blocks.
        fit = np.array([area if area >= FEWEST_PIXELS else 0 for area in areas])
        self.shares = fit / fit.sum() if fit.any() else None

    def pick(self, random: Random, by_area: bool = True) -> Pixels:
        """One of the pictures, in RGB; with `by_area` one that bears enlarging, large ones more often."""
        place = random.choice(len(self.paths), p=self.shares if by_area else None)
        return opened(self.paths[place])

    def cut(self, random: Random, aspect: float, by_area: bool = True) -> Pixels:
        """A part of a picture with an aspect ratio (width / height), at the picture's own scale."""
        pixels = self.pick(random, by_area)
        height, width = pixels.shape[:2]
        wide, high = min(width, height * aspect), min(height, width / aspect)
        share = random.uniform(0.75, 1)
        wide, high = max(8, round(wide * share)), max(8, round(high * share))
        left, top = random.integers(max(1, width - wide + 1)), random.integers(max(1, height - high + 1))
        part = pixels[top : top + high, left : left + wide]
        if random.random() < 0.5:
            part = part[:, ::-1]
        return tinted(random, part)


@lru_cache(maxsize=2000)
def opened(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def tinted(random: Random, pixels: Pixels) -> Pixels:
    """Another white balance, exposure and saturation."""
    levels = np.arange(256) / 255
    gamma, gains = random.uniform(0.8, 1.25), random.uniform(0.92, 1.08, 3)
    table = np.stack([np.clip(levels**gamma * gain, 0, 1) * 255 for gain in gains], axis=-1)
    toned = cv2.LUT(np.ascontiguousarray(pixels), table.round().astype(np.uint8)[None])
    gray = cv2.cvtColor(cv2.cvtColor(toned, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    saturation = random.uniform(0.75, 1.2)
    return cv2.addWeighted(toned, saturation, gray, 1 - saturation, 0)
