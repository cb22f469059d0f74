"""Makes a corpus to measure with from a few photographs; the same seed and sources give the same bytes.

`corpus.json` in the folder says of each file what it is. A folder that is not finished is gone on with.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

import page
import photo
import screen
import varied
from sources import Random, Sources

Maker = Callable[[Random, Sources], tuple[str, bytes]]

# The archive of somebody who photographs with a telephone and keeps what others send.
MIXED = {"photo12": 0.25, "photo48": 0.05, "web": 0.50, "screen": 0.10, "scan": 0.10}
VARIED = {name: share for name, (share, _, _) in varied.FORMATS.items()}
MAKERS: dict[str, Maker] = {
    "photo12": photo.phone12,
    "photo48": photo.phone48,
    "web": photo.web,
    "screen": screen.screenshot,
    "scan": page.scan,
    "pair2": photo.pair2,
    "pair48": photo.phone48,
    **{name: varied.maker(name) for name in varied.FORMATS},
}
FOLDER = 1000
FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures" / "pictures"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument(
        "--from", dest="sources", type=Path, nargs="+", default=[FIXTURES], metavar="DIR", help="photographs"
    )
    parser.add_argument("--count", type=int, help="default: 400; 20000 with --varied")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--only", metavar="KIND,...", help=f"of {', '.join(MIXED)}; in their proportions")
    mode.add_argument("--varied", action="store_true", help="many small files of all formats")
    mode.add_argument("--pairs", type=int, metavar="N", help="the same N photographs in OUT/mp2 and OUT/mp48")
    return parser.parse_args()


def plan(shares: dict[str, float], count: int, seed: int) -> list[str]:
    """The kind of each file: shares by largest remainder, in random order."""
    total = sum(shares.values())
    exact = {kind: share / total * count for kind, share in shares.items()}
    numbers = {kind: math.floor(number + 1e-9) for kind, number in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: numbers[kind] - exact[kind])
    for kind in by_remainder[: count - sum(numbers.values())]:
        numbers[kind] += 1
    kinds = [kind for kind, number in numbers.items() for _ in range(number)]
    return [kinds[place] for place in np.random.default_rng(seed).permutation(len(kinds))]


class Work:
    """What a process needs to make a file."""

    def __init__(self, out: Path, seed: int, folders: list[Path]) -> None:
        self.out, self.seed = out, seed
        self.sources = Sources(folders)

    def make(self, number: int, kind: str) -> dict[str, Any]:
        random = np.random.default_rng([self.seed, number])
        extension, data = MAKERS[kind](random, self.sources)
        path = self.out / f"{number // FOLDER:03}" / f"{number:06}-{kind}{extension}"
        # Under its name only once it is whole: the name is all that a later run looks at.
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)
        return described(self.out, path, data)


def described(out: Path, path: Path, data: bytes) -> dict[str, Any]:
    """Width and height are those that are stored; EXIF may turn the picture."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        orientation = image.getexif().get(0x0112, 1) if image.format == "JPEG" else 1
    return {
        "file": path.relative_to(out).as_posix(),
        "kind": path.stem.split("-", 1)[1],
        "width": width,
        "height": height,
        "orientation": orientation,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


work: Work


def begin(out: Path, seed: int, folders: list[Path]) -> None:
    global work
    cv2.setNumThreads(1)
    work = Work(out, seed, folders)


def make(item: tuple[int, str]) -> dict[str, Any]:
    return work.make(*item)


def prepared(out: Path, settings: dict[str, Any]) -> dict[int, Path]:
    """The files that an earlier run has made, by number."""
    listing = out / "corpus.json"
    if listing.exists():
        earlier = json.loads(listing.read_text())["settings"]
        if earlier != settings:
            raise SystemExit(f"{out}: holds a corpus with other settings; name another folder")
    elif out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out}: is not empty and holds no corpus; name another folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        listing.write_text(json.dumps({"settings": settings, "files": []}))
    for number in range(math.ceil(settings["count"] / FOLDER)):
        (out / f"{number:03}").mkdir(exist_ok=True)
    there = (path for path in out.glob("*/*") if not path.name.startswith("."))
    return {int(path.stem.split("-", 1)[0]): path for path in there}


def corpus(options: argparse.Namespace, out: Path, shares: dict[str, float], count: int) -> None:
    names = [path.name for path in Sources(options.sources).paths]
    settings = {
        "seed": options.seed,
        "count": count,
        "shares": shares,
        "sources": len(names),
        "source_names": hashlib.sha256("\n".join(names).encode()).hexdigest(),
    }
    kinds = plan(shares, count, options.seed)
    there = prepared(out, settings)
    files = [described(out, path, path.read_bytes()) for path in there.values()]
    todo = [(number, kind) for number, kind in enumerate(kinds) if number not in there]
    began = shown = time.monotonic()
    with multiprocessing.Pool(options.jobs, begin, (out, options.seed, options.sources)) as pool:
        for done, file in enumerate(pool.imap_unordered(make, todo, max(1, min(16, len(todo) // 100))), 1):
            files.append(file)
            now = time.monotonic()
            if now - shown > 2 or done == len(todo):
                shown = now
                print(f"\r{out}: {len(files)} of {count}, {done / (now - began):.1f} files/s", end="", file=sys.stderr)
    print(file=sys.stderr)
    files.sort(key=lambda file: file["file"])
    summary = summarized(files)
    (out / "corpus.json").write_text(json.dumps({"settings": settings, "kinds": summary, "files": files}, indent=1))
    for kind, numbers in summary.items():
        megapixels, megabytes = numbers["megapixels"], numbers["megabytes"]
        print(f"{kind:18} {numbers['files']:6} files {megapixels:9.2f} MP on average {megabytes:9.1f} MB")
    same = [digest for digest, number in Counter(file["sha256"] for file in files).items() if number > 1]
    if same:
        twins = [file["file"] for file in files if file["sha256"] == same[0]]
        raise SystemExit(f"{out}: equal bytes in {', '.join(twins)}")


def summarized(files: list[dict[str, Any]]) -> dict[str, Any]:
    """What there is of each kind; the last row is all of it."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        rows.setdefault(file["kind"], []).append(file)
    return {
        kind: {
            "files": len(some),
            "share": round(len(some) / len(files), 4),
            "megapixels": round(sum(file["width"] * file["height"] for file in some) / len(some) / 1e6, 3),
            "megabytes": round(sum(file["bytes"] for file in some) / 1e6, 3),
        }
        for kind, some in [*sorted(rows.items()), ("all", files)]
    }


def main() -> None:
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.pairs:
        corpus(options, options.out / "mp2", {"pair2": 1.0}, options.pairs)
        corpus(options, options.out / "mp48", {"pair48": 1.0}, options.pairs)
    elif options.varied:
        corpus(options, options.out, VARIED, options.count or 20_000)
    else:
        wanted = options.only.split(",") if options.only else list(MIXED)
        if unknown := set(wanted) - set(MIXED):
            raise SystemExit(f"not a kind: {', '.join(sorted(unknown))} ({', '.join(MIXED)})")
        corpus(options, options.out, {kind: MIXED[kind] for kind in wanted}, options.count or 400)


if __name__ == "__main__":
    main()
