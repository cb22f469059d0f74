"""Photographs: enlarged, and given the detail and the noise that the small originals do not have.

What a decoder has to do depends on how many bits a picture has for each pixel. The strength of detail and noise is
therefore not fixed but found: the one at which the JPEG becomes as large as such files are.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

import metadata
from sources import Pixels, Random, Sources

Floats = NDArray[np.float32]

# As cameras with 12 and 48 megapixels have them; their JPEGs, in bits for each pixel: 3 to 5 and 9 to 14 MB.
MP12, MP48 = (4032, 3024), (8064, 6048)
BITS = {MP12: (2.0, 3.25), MP48: (1.5, 2.25)}
STRIP, TILE = 256, 512


@dataclass(frozen=True)
class Shot:
    """A picture as a camera stores it."""

    pixels: Pixels
    quality: int
    extras: dict[str, Any]

    def jpeg(self) -> bytes:
        return jpeg(self.pixels, self.quality, **self.extras)


def jpeg(pixels: Pixels, quality: int, **extras: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, **{"subsampling": 2, **extras})
    return out.getvalue()


def phone(random: Random, sources: Sources, size: tuple[int, int]) -> Shot:
    """`size` is that of the sensor. Half are taken upright: most of these lie on their side and say so in EXIF."""
    upright, tagged = random.random() < 0.5, random.random() < 0.92
    seen = size[::-1] if upright else size
    small = sources.cut(random, seen[0] / seen[1])
    quality = int(random.integers(90, 93))
    extras: dict[str, Any] = {}
    profile = random.choice(["display-p3", "srgb", "none"], p=[0.5, 0.3, 0.2])
    if profile == "display-p3":
        small = np.asarray(ImageCms.applyTransform(Image.fromarray(small), metadata.to_display_p3()))
        extras["icc_profile"] = metadata.display_p3()
    elif profile == "srgb":
        extras["icc_profile"] = metadata.srgb()
    pixels = detailed(random, small, seen, random.uniform(*BITS[size]), quality)
    if tagged:
        orientation = (6 if random.random() < 0.7 else 8) if upright else 1
        pixels = {1: pixels, 6: np.rot90(pixels), 8: np.rot90(pixels, -1)}[orientation]
        extras["exif"] = metadata.exif(random, *size, orientation)
    return Shot(np.ascontiguousarray(pixels), quality, extras)


def phone12(random: Random, sources: Sources) -> tuple[str, bytes]:
    return ".jpg", phone(random, sources, MP12).jpeg()


def phone48(random: Random, sources: Sources) -> tuple[str, bytes]:
    return ".jpg", phone(random, sources, MP48).jpeg()


def pair2(random: Random, sources: Sources) -> tuple[str, bytes]:
    """What `phone48` gives for the same random numbers, reduced to 2 megapixels."""
    shot = phone(random, sources, MP48)
    long, short = 1632, 1224
    size = (long, short) if shot.pixels.shape[1] > shot.pixels.shape[0] else (short, long)
    return ".jpg", jpeg(cv2.resize(shot.pixels, size, interpolation=cv2.INTER_AREA), 90, **shot.extras)


def web(random: Random, sources: Sources) -> tuple[str, bytes]:
    """0.3 to 2 megapixels, as pages and messengers hand them out."""
    megapixels = np.exp(random.uniform(np.log(0.3), np.log(2.0)))
    aspect = random.choice([4 / 3, 3 / 2, 16 / 9, 1, 3 / 4, 2 / 3, 4 / 5], p=[0.3, 0.2, 0.1, 0.1, 0.15, 0.1, 0.05])
    size = round((megapixels * 1e6 * aspect) ** 0.5), round((megapixels * 1e6 / aspect) ** 0.5)
    quality = int(random.integers(72, 91))
    pixels = detailed(random, sources.cut(random, aspect), size, random.uniform(0.8, 2.2), quality)
    extras: dict[str, Any] = {"progressive": random.random() < 0.35, "subsampling": 0 if random.random() < 0.15 else 2}
    if random.random() < 0.2:
        extras["icc_profile"] = metadata.srgb()
    if random.random() < 0.03:
        return ".jpg", jpeg(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), quality, **extras)
    return ".jpg", jpeg(pixels, quality, **extras)


def detailed(random: Random, small: Pixels, size: tuple[int, int], bits: float, quality: int) -> Pixels:
    """`small` at `size` (width, height), with so much texture and noise that a JPEG has `bits` for each pixel."""
    large = enlarged(small, size)
    contrast = roughness(small)
    width, height = size
    gain = strength(random, large, contrast, bits, quality)
    for top in range(0, height, STRIP):
        rows = slice(top, min(top + STRIP, height))
        area = (0, rows.start, width, rows.stop)
        large[rows] = mixed(large[rows], grain(random, contrast, area, size), gain)
    return large


def enlarged(small: Pixels, size: tuple[int, int]) -> Pixels:
    """By Lanczos, with the edges sharpened halfway, as cameras do."""
    height, width = small.shape[:2]
    if width * 2 < size[0]:
        small = cv2.resize(small, (width * 2, height * 2), interpolation=cv2.INTER_LANCZOS4)
    soft = cv2.GaussianBlur(small, (0, 0), 1.2)
    return cv2.resize(cv2.addWeighted(small, 1.8, soft, -0.8, 0), size, interpolation=cv2.INTER_LANCZOS4)


def roughness(small: Pixels) -> Floats:
    """Where there is texture, 0..=1: foliage and hair have fine detail, the sky has none."""
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 2))
    local = cv2.GaussianBlur(edges, (0, 0), 2)
    return np.clip(local / max(1, np.percentile(local, 95)), 0, 1)


def grain(
    random: Random, contrast: Floats, area: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[Floats, Floats]:
    """What is added at strength 1 in `area` (left, top, right, bottom) of a picture of `size`: to lightness and color.

    Texture has four octaves, each as strong as the others (natural pictures have 1/f spectra); the sensor's noise is
    the finest of them, everywhere.
    """
    left, top, right, bottom = area
    width, height = right - left, bottom - top
    octaves = []
    for scale in (1, 2, 4, 8):
        noise = random.standard_normal((-(-height // scale), -(-width // scale)), np.float32)
        octaves.append(noise if scale == 1 else cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))
    # From places in the large picture to places in the small one.
    scale_x, scale_y = contrast.shape[1] / size[0], contrast.shape[0] / size[1]
    place = np.array([[scale_x, 0, left * scale_x], [0, scale_y, top * scale_y]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    local = cv2.warpAffine(contrast, place, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    light = sum(octaves[1:], octaves[0]) * (local * 6 + 0.4) + cv2.GaussianBlur(octaves[0], (0, 0), 0.5) * 2.5
    color = random.standard_normal((-(-height // 3), -(-width // 3), 3), np.float32) * 2
    return light, cv2.resize(color, (width, height), interpolation=cv2.INTER_LINEAR)


def mixed(pixels: Pixels, noise: tuple[Floats, Floats], gain: float) -> Pixels:
    light, color = noise
    out = pixels + (light[..., None] + color) * np.float32(gain)
    return np.clip(out + 0.5, 0, 255, out=out).astype(np.uint8)


def strength(random: Random, large: Pixels, contrast: Floats, bits: float, quality: int) -> float:
    """The gain at which tiles from all over the picture have `bits` for each pixel as JPEG; 0.1 to 4."""
    height, width = large.shape[:2]
    tiles = []
    for x in (0.0, 0.5, 1.0):
        for y in (0.25, 0.75):
            left, top = round(x * max(0, width - TILE)), round(y * max(0, height - TILE))
            right, bottom = min(width, left + TILE), min(height, top + TILE)
            noise = grain(random, contrast, (left, top, right, bottom), (width, height))
            tiles.append((large[top:bottom, left:right], noise))
    pixels = sum(tile.shape[0] * tile.shape[1] for tile, _ in tiles)
    low, high = np.log(0.1), np.log(4.0)
    for _ in range(6):
        middle = (low + high) / 2
        # 623 bytes of each file are the tables' that a whole picture has only once.
        size = sum(len(jpeg(mixed(tile, noise, np.exp(middle)), quality)) - 623 for tile, noise in tiles)
        low, high = (middle, high) if size * 8 / pixels < bits else (low, middle)
    return float(np.exp((low + high) / 2))
