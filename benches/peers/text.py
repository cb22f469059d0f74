"""Text in pictures: docent's cheap look in front, and Tesseract as a library or as a program."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from glob import glob

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixels import Box, Picture, Pixels, whole

MIN_WORD_CONFIDENCE = 0.6
# Lines whose longest word has two letters need this.
MIN_SHORT_CONFIDENCE = 0.9
SPARSE_TEXT = 11


@dataclass(frozen=True)
class Line:
    text: str
    confidence: float
    box: Box


def gray(rgb: Pixels) -> Pixels:
    """Rec. 601 luma, in docent's integers."""
    red, green, blue = (plane.astype(np.uint16) for plane in cv2.split(rgb))
    return ((red * 77 + green * 150 + blue * 29) >> 8).astype(np.uint8)


def is_likely(picture: Picture) -> bool:
    """Whether a picture is worth reading, which costs a hundred times more than this look.

    Text is a band of rows in which ink alternates with paper: two gray levels with little between them, more paper than
    ink, several changes, and all that for some cells side by side. Rules and numbers are models/src/ocr/gate.rs's.
    """
    long = max(picture.width, picture.height)
    scale = 1200 / long
    size = (whole(picture.width * scale), whole(picture.height * scale))
    image = gray(picture.resized(size) if long > 1200 else picture.rgb)
    bands = image.shape[0] // 8
    if bands == 0 or image.shape[1] < 48:
        return False
    # Pieces of rows 48 pixels wide, each overlapping the next one by half: [rows, cells, 48].
    pieces = np.lib.stride_tricks.sliding_window_view(image[: bands * 8], 48, axis=1)[:, ::24]
    low, high = pieces.min(2, keepdims=True), pieces.max(2, keepdims=True)
    contrast = high - low
    rows, columns = np.nonzero(contrast[..., 0] >= 48)
    if len(rows) == 0:
        return False
    piece, low, contrast = pieces[rows, columns], low[rows, columns], contrast[rows, columns]
    bright = piece > low + contrast // 2
    height = piece - low
    two_level = ((height <= contrast // 4) | (contrast - height <= contrast // 4)).mean(1)
    paper = bright.mean(1)
    changes = (bright[:, 1:] != bright[:, :-1]).sum(1)
    texty = (changes >= 4) & (changes <= 22) & (two_level >= 0.62) & (np.maximum(paper, 1 - paper) >= 0.55)
    seen = np.zeros(pieces.shape[:2], bool)
    seen[rows[texty], columns[texty]] = True
    cells = seen.reshape(bands, 8, -1).sum(1) >= 4
    # Cells count in runs of three and more.
    return sum(int(count) for band in cells if band.any() for count in runs(band) if count >= 3) >= 6


def runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return edges[1::2] - edges[::2]


def prepared(picture: Picture) -> tuple[Image.Image, float]:
    """In gray, at a size that Tesseract reads well; and the scale of that."""
    long = max(picture.width, picture.height)
    scale = min(1000 / long, 2.0) if long < 1000 else min(4000 / long, 1.0)
    size = (whole(picture.width * scale), whole(picture.height * scale))
    return Image.fromarray(gray(picture.resized(size))), scale


class Library:
    """Tesseract inside of the process, one instance for each thread."""

    def __init__(self) -> None:
        # Its OpenMP threads spin, and make everything slower on busy cores. Must be set before it is loaded.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        self.local = threading.local()
        usual = [*sorted(glob("/usr/share/tesseract-ocr/*/tessdata")), "/usr/share/tessdata"]
        self.tessdata = os.environ.get("TESSDATA_PREFIX", usual[0])

    def __call__(self, picture: Picture) -> list[Line]:
        if not hasattr(self.local, "api"):
            import tesserocr

            self.local.api = tesserocr.PyTessBaseAPI(path=self.tessdata, lang="eng", psm=SPARSE_TEXT)
            self.local.api.SetVariable("debug_file", "/dev/null")
            self.local.api.SetVariable("thresholding_method", "2")
        image, scale = prepared(picture)
        self.local.api.SetImage(image)
        self.local.api.SetSourceResolution(300)
        self.local.api.Recognize()
        return lines(self.local.api.GetTSVText(0), scale)


class Program:
    """Tesseract as a program that is started for each picture."""

    # As docent's work.timeout_seconds: grain at full size can keep it busy for many minutes.
    TIMEOUT = 300

    def __call__(self, picture: Picture) -> list[Line]:
        import pytesseract

        image, scale = prepared(picture)
        config = f"--psm {SPARSE_TEXT} --dpi 300 -c thresholding_method=2"
        return lines(pytesseract.image_to_data(image, lang="eng", config=config, timeout=self.TIMEOUT), scale)


def lines(table: str, scale: float) -> list[Line]:
    """The lines in Tesseract's table, without what is noise."""
    found: dict[str, list[Line]] = {}
    for row in table.splitlines():
        fields = row.split("\t", 11)
        if len(fields) < 12 or fields[0] != "5":
            continue
        left, top, width, height, confidence = map(float, fields[6:11])
        text = fields[11].strip()
        if any(map(str.isalnum, text)) and confidence / 100 >= MIN_WORD_CONFIDENCE:
            box = (left / scale, top / scale, (left + width) / scale, (top + height) / scale)
            # Page, block, paragraph and line together name a line.
            found.setdefault("\t".join(fields[1:5]), []).append(Line(text, confidence / 100, box))
    return [line for line in map(joined, found.values()) if is_offered(line)]


def joined(words: list[Line], separator: str = " ") -> Line:
    letters = sum(len(word.text) for word in words)
    confidence = sum(word.confidence * len(word.text) for word in words) / letters
    corners = np.array([word.box for word in words])
    box = (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
    return Line(separator.join(word.text for word in words), confidence, box)


def is_offered(line: Line) -> bool:
    """A lone letter is more often a lamp post, and two that are not sure are often its shadow."""
    longest = max(sum(map(str.isalnum, word)) for word in line.text.split(" "))
    return longest > 2 or (longest == 2 and line.confidence >= MIN_SHORT_CONFIDENCE)


def offered(found: list[Line]) -> list[Line]:
    """The lines one by one if they are few, and the whole text if there is more than one line."""
    single = found if len(found) <= 8 else []
    return [*single, joined(found, "\n")] if len(found) > 1 else list(single)
