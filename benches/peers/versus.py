"""docent and its peers in turn on the same pictures, several rounds; and once, not timed, whether they say the same.

docent's figures are those of `docent bench`: the walk, which also hashes every file and writes the ledger and the
vectors. The peers only analyze.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from compare import KINDS, agreement
from measure import analyzers
from pixels import files

HERE = Path(__file__).parent
PEERS = ("skilled", "usual")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--docent", type=Path, required=True, metavar="PROGRAM", help="a release build")
    parser.add_argument(
        "--models", type=Path, required=True, help="the peers' networks; docent takes those of its configuration"
    )
    parser.add_argument("--runs", type=int, default=5, help="rounds; default: 5")
    parser.add_argument("--count", type=int, help="so many pictures, evenly taken from all of them; default: all")
    parser.add_argument("--only", type=analyzers, default="tags,objects,faces,embedding", metavar="ANALYZER,...")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=PEERS, metavar="PEER,...")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything that was measured")
    parser.add_argument("--no-compare", dest="compare", action="store_false", help="only time")
    parser.add_argument("--list", action="store_true", help="list every difference in what they say")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"not a peer: {', '.join(sorted(unknown))} ({', '.join(PEERS)})")
    return options


@dataclass(frozen=True)
class Run:
    """One program, once over all pictures."""

    program: str
    pictures: int
    failed: int
    images_per_second: float
    cpu_seconds_per_picture: float
    peak_memory_mb: float
    # Share of the machine that others took meanwhile, other guests of the hardware included; Linux only.
    others: float | None


@contextmanager
def pictures(corpus: Path, count: int | None) -> Iterator[Path]:
    """A folder with exactly the pictures to measure with: the corpus, or one with hard links to some of it."""
    every = files(corpus)
    if not every:
        raise SystemExit(f"{corpus}: no pictures")
    if count is None or count >= len(every):
        yield corpus
        return
    with tempfile.TemporaryDirectory(prefix="versus-", dir=corpus.absolute().parent) as folder:
        for number in range(count):
            path = every[number * len(every) // count]
            target = Path(folder, f"{number:06}-{path.name}")
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
        yield Path(folder)


def machine_seconds() -> tuple[float, float] | None:
    """What all processors have spent: for programs, and all in all."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def output(command: list[str]) -> tuple[str, float | None]:
    """What a program prints, and the share of the machine that others took meanwhile."""
    before, own = machine_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    after, used = machine_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN)
    if before is None or after is None:
        return done.stdout, None
    cpu = used.ru_utime + used.ru_stime - own.ru_utime - own.ru_stime
    busy, whole = (late - early for early, late in zip(before, after, strict=True))
    return done.stdout, round(max(0.0, busy - cpu) / whole, 3)


class Field:
    """Those that run, and what they run on."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.count = len(files(folder))
        self.only = ",".join(options.only)

    def run(self, program: str) -> Run:
        return self.docent() if program == "docent" else self.peer(program)

    def docent(self) -> Run:
        command = [str(self.options.docent), "bench", "--corpus", str(self.folder), "--count", str(self.count)]
        text, others = output([*command, "--only", self.only, "--format", "json"])
        report = json.loads(text)
        return Run(
            "docent",
            report["pictures"],
            report["failed"],
            report["images_per_second"],
            report["cpu_seconds_per_picture"],
            report["peak_memory_bytes"] / 2**20,
            others,
        )

    def peer_command(self, program: str) -> list[str]:
        script = str(HERE / f"{program}.py")
        return [sys.executable, script, str(self.folder), "--models", str(self.options.models), "--only", self.only]

    def peer(self, program: str) -> Run:
        text, others = output(self.peer_command(program))
        line = json.loads(text)
        return Run(
            program,
            line["pictures"],
            line["failed"],
            line["images_per_second"],
            line["cpu_seconds_per_picture"],
            line["peak_rss_mb"],
            others,
        )

    def said(self, program: str, out: Path) -> None:
        """What it says of every picture, vectors included."""
        if program == "docent":
            with out.open("w") as file:
                command = [str(self.options.docent), "analyze", str(self.folder), "--only", self.only, "--with-vectors"]
                subprocess.run(command, stdout=file, check=True)
        else:
            output([*self.peer_command(program), "--with-vectors", "--json", str(out)])


def show(runs: list[Run], label: str) -> None:
    base = next(run for run in runs if run.program == "docent")
    for run in runs:
        ratios = ""
        if run is not base:
            speed = base.images_per_second / run.images_per_second
            cpu = base.cpu_seconds_per_picture / run.cpu_seconds_per_picture
            ratios = f"{speed:14.3f} {cpu:12.3f}"
        others = "" if run.others is None else f"{run.others:.0%}"
        print(
            f"{label:7} {run.program:9} {run.images_per_second:11.2f} {run.cpu_seconds_per_picture:13.4f}"
            f" {run.peak_memory_mb:6.0f} {run.failed:6} {others:>7}{ratios}",
            flush=True,
        )


def medians(rounds: list[list[Run]]) -> dict[str, dict[str, float]]:
    """Of each program's figures, and of the ratios docent / peer of the rounds: what slows a whole round cancels."""
    result: dict[str, dict[str, float]] = {}
    for runs in rounds:
        for run in runs:
            result.setdefault(run.program, {})
    for program, row in result.items():
        own = [next(run for run in runs if run.program == program) for runs in rounds]
        docent = [next(run for run in runs if run.program == "docent") for runs in rounds]
        for name in ("images_per_second", "cpu_seconds_per_picture", "peak_memory_mb"):
            row[name] = statistics.median(getattr(run, name) for run in own)
        for name in ("images_per_second", "cpu_seconds_per_picture"):
            ratios = [getattr(d, name) / getattr(p, name) for d, p in zip(docent, own, strict=True)]
            row[f"{name}_ratio"] = statistics.median(ratios)
            row[f"{name}_ratio_least"], row[f"{name}_ratio_most"] = min(ratios), max(ratios)
    return result


def agreements(field: Field, options: argparse.Namespace) -> dict[str, object]:
    """Prints how far docent and each peer say the same."""
    result: dict[str, object] = {}
    kinds = [kind for kind in KINDS if f"{kind}s" in options.only]
    with tempfile.TemporaryDirectory() as place:
        field.said("docent", Path(place, "docent"))
        for peer in options.peers:
            field.said(peer, Path(place, peer))
            found = agreement(Path(place, "docent"), Path(place, peer), kinds, every=options.list)
            result[peer] = found.summary
            print(f"\ndocent and {peer}")
            print("\n".join(found.lines))
            for kind in kinds:
                row = found.summary[kind]
                print(f"{kind}: {row['equal']} equal, {row['docent_only']} docent only, {row['peer_only']} peer only")
    return result


def main() -> None:
    options = arguments()
    with pictures(options.corpus, options.count) as folder:
        field = Field(options, folder)
        cores = os.cpu_count() or 1
        if field.count < max(8, 3 * cores):
            raise SystemExit(f"{field.count} pictures are too few to measure with")
        # From the drive once, so that all find the files in memory.
        size = sum(len(path.read_bytes()) for path in files(folder))
        print(f"{field.count} pictures, {size / 1e6:.0f} MB, {cores} cores, {field.only}\n")
        print("round   program    pictures/s   CPU s/picture    MiB failed  others   pictures/s x        CPU x")
        rounds: list[list[Run]] = []
        for number in range(options.runs):
            programs = ["docent", *options.peers]
            # There and back, so that nobody always runs after the same one.
            runs = [field.run(program) for program in (programs if number % 2 == 0 else reversed(programs))]
            show(runs, str(number + 1))
            rounds.append(runs)
            for run in runs:
                if run.pictures != field.count:
                    print(f"        {run.program} has seen {run.pictures} of {field.count} pictures")
        middle = medians(rounds)
        print("\nmedians: pictures/s, CPU s/picture; docent / peer in each round: median (least..most)")
        for program, row in middle.items():
            speed, cpu = (
                f"{row[f'{name}_ratio']:.3f} ({row[f'{name}_ratio_least']:.3f}..{row[f'{name}_ratio_most']:.3f})"
                for name in ("images_per_second", "cpu_seconds_per_picture")
            )
            ratios = "" if program == "docent" else f"   pictures/s x {speed}   CPU x {cpu}"
            print(f"{program:9} {row['images_per_second']:8.2f} {row['cpu_seconds_per_picture']:9.4f}{ratios}")
        agreed = agreements(field, options) if options.compare else {}
    if options.json:
        networks = sorted(options.models.rglob("*.onnx"))
        everything = {
            "pictures": field.count,
            "bytes": size,
            "cores": cores,
            "only": options.only,
            "peer_networks": {
                path.relative_to(options.models).as_posix(): sha256(path.read_bytes()).hexdigest() for path in networks
            },
            "rounds": [[asdict(run) for run in runs] for runs in rounds],
            "medians": middle,
            "agreement": agreed,
        }
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
