"""What cameras write beside the pixels: EXIF and color profiles."""

from __future__ import annotations

import io
import struct
from datetime import datetime, timedelta
from functools import cache

from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from sources import Random

# Makers and models that do not exist.
CAMERAS = (("Larch", "Larch 9"), ("Larch", "Larch 9 Pro"), ("Ostrava", "OP-12"), ("Minnow", "M4 Ultra"))


def exif(random: Random, width: int, height: int, orientation: int) -> bytes:
    """Of a picture that is stored with this size."""
    maker, model = CAMERAS[random.integers(len(CAMERAS))]
    moment = datetime(2015, 1, 1) + timedelta(seconds=int(random.integers(10 * 365 * 86400)))
    stamp = moment.strftime("%Y:%m:%d %H:%M:%S")
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112], tags[0x0132] = maker, model, orientation, stamp
    tags[0x8769] = {
        0x829A: IFDRational(1, int(random.choice([30, 60, 125, 250, 500, 1000]))),
        0x829D: IFDRational(18, 10),
        0x8827: int(random.choice([32, 50, 100, 200, 400, 800])),
        0x9003: stamp,
        0x920A: IFDRational(57, 10),
        0xA002: width,
        0xA003: height,
    }
    return tags.tobytes()


@cache
def srgb() -> bytes:
    """The profile that Little CMS makes, without its date: the same bytes every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    profile[84:100] = bytes(16)
    return bytes(profile)


@cache
def display_p3() -> bytes:
    """A profile (ICC.1:2010) with the primaries of Display P3, adapted to D50, and the curve of sRGB."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def text(words: str) -> bytes:
        coded = words.encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + fixed(*values)

    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    tags = {
        b"desc": text("Display P3"),
        b"cprt": text("No copyright, use freely"),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": xyz(0.15710, 0.06657, 0.78407),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI", start + len(body), 0x04200000) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + table + body


@cache
def to_display_p3() -> ImageCms.ImageCmsTransform:
    target = ImageCms.ImageCmsProfile(io.BytesIO(display_p3()))
    return ImageCms.buildTransform(ImageCms.createProfile("sRGB"), target, "RGB", "RGB")
