"""What both peers share: arguments, records in the form of `docent analyze`, and the clock."""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from networks import Floats, Found
from pixels import Box, files
from text import Line

ANALYZERS = ("tags", "objects", "faces", "text", "caption", "embedding")
Record: TypeAlias = dict[str, Any]


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="pictures, at any depth")
    parser.add_argument("--models", type=Path, required=True, help="folder laid out as models/starter")
    parser.add_argument("--only", type=analyzers, default=ANALYZERS, metavar="ANALYZER,...", help="default: all")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="skilled.py only; default: one for each core"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write one JSON object for each picture")
    parser.add_argument("--with-vectors", action="store_true", help="write the vectors' values, too")
    return parser


def analyzers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(ANALYZERS):
        raise argparse.ArgumentTypeError(f"not an analyzer: {', '.join(sorted(unknown))} ({', '.join(ANALYZERS)})")
    return names


class Report:
    """What is said of one picture, in the form of `docent analyze --format json`."""

    def __init__(self, path: Path, with_vectors: bool) -> None:
        self.size = (0, 0)
        self.stage = "decode"
        self.with_vectors = with_vectors
        self.record: Record = {
            "uri": path.absolute().as_uri(),
            "suggestions": [],
            "vectors": [],
            "failures": [],
            "timings_ms": {},
        }

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        self.stage = stage
        start = time.perf_counter()
        yield
        self.record["timings_ms"][stage] = round((time.perf_counter() - start) * 1e3, 3)

    def suggest(self, kind: str, value: str, confidence: float, box: Box | None = None) -> None:
        suggestion = {"kind": kind, "value": value, "confidence": round(confidence, 4), "region": None}
        if box is not None:
            width, height = self.size
            corners = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
            x1, y1, x2, y2 = (round(min(max(corner, 0), 1), 4) for corner in corners)
            if x2 <= x1 or y2 <= y1:
                return
            suggestion["region"] = {"x": x1, "y": y1, "width": round(x2 - x1, 4), "height": round(y2 - y1, 4)}
        # Two boxes that round to the same region say the same thing.
        said = [(s["kind"], s["value"], s["region"]) for s in self.record["suggestions"]]
        if (kind, value, suggestion["region"]) not in said:
            self.record["suggestions"].append(suggestion)

    def tags(self, tags: list[tuple[str, float]]) -> None:
        for tag, probability in tags:
            self.suggest("tag", tag, probability)

    def things(self, kind: str, things: list[Found]) -> None:
        for thing in things:
            self.suggest(kind, thing.label, thing.score, thing.box)

    def lines(self, lines: list[Line]) -> None:
        for line in lines:
            self.suggest("text", line.text, line.confidence, line.box)

    def vector(self, space: str, values: Floats) -> None:
        vector: Record = {"space": space, "dim": len(values)}
        if self.with_vectors:
            vector["values"] = [float(value) for value in values]
        self.record["vectors"].append(vector)

    def failed(self, error: Exception) -> Record:
        self.record["failures"].append({"analyzer": self.stage, "reason": f"{type(error).__name__}: {error}"})
        return self.record


def cpu_seconds() -> float:
    """Of this process and of the programs it has run."""
    return sum(os.times()[:4])


def peak_rss_mb() -> float:
    """Of this process and, besides, of the largest program it has run."""
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


class Steady:
    """The part in which everything is at work: from the first finished picture until the last ones are in work, as
    `docent bench` takes it."""

    def __init__(self, pictures: int, threads: int) -> None:
        self.last = pictures - threads
        self.done = 0
        self.at: list[tuple[int, float, float]] = []

    def finished(self) -> None:
        self.done += 1
        if self.done in (1, self.last):
            self.at.append((self.done, time.perf_counter(), cpu_seconds()))

    def figures(self) -> dict[str, float]:
        """None for a handful of pictures."""
        if len(self.at) < 2:
            return {}
        pictures, seconds, cpu = (late - early for early, late in zip(*self.at, strict=True))
        return {"images_per_second": round(pictures / seconds, 3), "cpu_seconds_per_picture": round(cpu / pictures, 5)}


def measure(options: argparse.Namespace, start: Callable[[], Callable[[list[Path]], Iterable[Record]]]) -> None:
    """Loads and warms up with `start`, then measures what it gives on all pictures, and prints one line."""
    paths = files(options.folder)
    if not paths:
        raise SystemExit(f"{options.folder}: no pictures")
    began = time.perf_counter()
    analyze = start()
    # The first runs of a network take memory and pages; a few pictures are looked at before the clock runs.
    for _ in analyze(paths[: 2 * options.threads]):
        pass
    loaded = time.perf_counter()
    cpu = cpu_seconds()
    failed = 0
    steady = Steady(len(paths), options.threads)
    out = options.json.open("w") if options.json else None
    for record in analyze(paths):
        steady.finished()
        failed += bool(record["failures"])
        if out:
            print(json.dumps(record), file=out)
    if out:
        out.close()
    seconds, cpu = time.perf_counter() - loaded, cpu_seconds() - cpu
    line = {
        "pictures": len(paths),
        "failed": failed,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "warm_up_seconds": round(loaded - began, 3),
        **steady.figures(),
    }
    print(json.dumps(line))
