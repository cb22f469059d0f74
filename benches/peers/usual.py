"""The usual pipeline: picture after picture, every model opening the file for itself, everything at its default.

The rules are the same as in skilled.py, so that the results can be compared; what differs is the work around them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

import text
from captioner import Captioner
from measure import Record, Report, arguments, measure
from networks import Faces, ImageEncoder, ObjectDetector, Tagger
from pixels import FILTERS, Box, Picture, Pixels, Size, decode


class PlainPicture(Picture):
    """Resized by Pillow alone."""

    def resized(self, size: Size, area: Box | None = None, bicubic: bool = False) -> Pixels:
        return np.asarray(self.image.resize(size, FILTERS[bicubic], area))


def load(path: Path) -> Picture:
    """The whole picture, decoded anew for every model."""
    return PlainPicture(decode(path))


class Peer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        models, wants = options.models, options.only
        # ONNX Runtime's default: a thread for each core inside of a call, spinning between calls.
        self.objects = ObjectDetector(models) if "objects" in wants else None
        self.tagger = Tagger(models) if "tags" in wants else None
        self.faces = Faces(models) if "faces" in wants else None
        self.encoder = ImageEncoder(models) if {"embedding", "caption"} & set(wants) else None
        self.captioner = Captioner(models) if "caption" in wants else None
        self.reader = text.Program() if "text" in wants else None

    def look(self, path: Path) -> Record:
        report = Report(path, self.options.with_vectors)
        try:
            self.describe(path, report)
        # Whatever is wrong with a file, the others are looked at.
        except Exception as error:
            return report.failed(error)
        return report.record

    def describe(self, path: Path, report: Report) -> None:
        people = False
        if self.objects:
            with report.timed("objects"):
                picture = load(path)
                things = self.objects(picture)
            report.size = (picture.width, picture.height)
            report.things("object", things)
            people = any(thing.label == "person" for thing in things)
        if self.tagger:
            with report.timed("tags"):
                report.tags(self.tagger(load(path), people))
        if self.faces:
            with report.timed("faces"):
                picture = load(path)
                faces, vectors = self.faces(picture)
            report.size = (picture.width, picture.height)
            report.things("face", faces)
            for vector in vectors:
                report.vector("face", vector)
        if self.encoder and "embedding" in self.options.only:
            with report.timed("embedding"):
                vector, _ = self.encoder(load(path))
            report.vector("picture", vector)
        if self.encoder and self.captioner:
            with report.timed("caption"):
                _, tokens = self.encoder(load(path))
                caption = self.captioner(tokens)
            if caption:
                report.suggest("caption", *caption)
        if self.reader:
            with report.timed("text"):
                picture = load(path)
                found = self.reader(picture)
            report.size = (picture.width, picture.height)
            report.lines(text.offered(found))


def start(options: argparse.Namespace) -> Callable[[list[Path]], Iterable[Record]]:
    peer = Peer(options)
    return lambda paths: map(peer.look, paths)


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(threads=1)
    chosen = parser.parse_args()
    measure(chosen, lambda: start(chosen))
