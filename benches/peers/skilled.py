"""What somebody who knows Python, ONNX Runtime and the machine would write.

One decode for all networks, JPEGs at the scale that is needed, sessions with one thread inside of a call, and as many
pictures in work as there are threads. Pillow, OpenCV, ONNX Runtime and Tesseract release Python's lock while they work,
so that threads are enough.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import text
from captioner import Captioner
from measure import Record, Report, arguments, measure
from networks import Faces, ImageEncoder, ObjectDetector, Tagger
from pixels import Picture, decode


class Peer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        models, wants = options.models, options.only
        self.objects = ObjectDetector(models, threads=1) if "objects" in wants else None
        self.tagger = Tagger(models, threads=1) if "tags" in wants else None
        self.faces = Faces(models, threads=1) if "faces" in wants else None
        self.encoder = ImageEncoder(models, threads=1) if {"embedding", "caption"} & set(wants) else None
        self.captioner = Captioner(models, threads=1) if "caption" in wants else None
        self.reader = text.Library() if "text" in wants else None

    def look(self, path: Path) -> Record:
        report = Report(path, self.options.with_vectors)
        try:
            self.describe(path, report)
        # Whatever is wrong with a file, the others are looked at.
        except Exception as error:
            return report.failed(error)
        return report.record

    def describe(self, path: Path, report: Report) -> None:
        with report.timed("decode"):
            picture = Picture(decode(path, self.options.working_side))
        report.size = (picture.width, picture.height)
        people = False
        if self.objects:
            with report.timed("objects"):
                things = self.objects(picture)
            report.things("object", things)
            people = any(thing.label == "person" for thing in things)
        if self.tagger:
            with report.timed("tags"):
                report.tags(self.tagger(picture, people))
        if self.faces:
            with report.timed("faces"):
                faces, vectors = self.faces(picture)
            report.things("face", faces)
            for vector in vectors:
                report.vector("face", vector)
        if self.encoder:
            with report.timed("embedding"):
                vector, tokens = self.encoder(picture)
            if "embedding" in self.options.only:
                report.vector("picture", vector)
            if self.captioner:
                with report.timed("caption"):
                    caption = self.captioner(tokens)
                if caption:
                    report.suggest("caption", *caption)
        if self.reader:
            with report.timed("text"):
                if text.is_likely(picture):
                    report.lines(text.offered(self.reader(picture)))


def start(options: argparse.Namespace) -> Callable[[list[Path]], Iterable[Record]]:
    peer = Peer(options)
    pool = ThreadPoolExecutor(options.threads)
    # What was loaded stays; the collector need not look at it again and again.
    gc.freeze()
    return lambda paths: pool.map(peer.look, paths)


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--working-side", type=int, default=2000, help="docent's decode.working_side")
    chosen = parser.parse_args()
    measure(chosen, lambda: start(chosen))
