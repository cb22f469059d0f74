"""How far two runs agree on the same pictures, in the form of `docent analyze --format json`.

Lists every difference, and says which of them lie so close to a threshold that another resizer explains them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from networks import LABELS, Faces, ObjectDetector, Vocabulary

NEAR = 0.03
KINDS = ("tag", "object", "face")
VOCABULARY = LABELS / "tag_vocabulary.json"


@dataclass(frozen=True)
class Difference:
    picture: str
    kind: str
    value: str
    confidence: float
    side: str
    why: str

    def __str__(self) -> str:
        return f"{self.picture}: {self.side} only: {self.kind} '{self.value}' {self.confidence:.3f}{self.why}"


def load(path: Path) -> dict[str, dict[str, Any]]:
    """The records by the path of their picture."""
    records = map(json.loads, filter(str.strip, path.read_text().splitlines()))
    return {unquote(record["uri"].removeprefix("file://")): record for record in records}


def said(record: dict[str, Any], kind: str) -> list[tuple[str, float]]:
    """Values and confidences, surest first."""
    found = [(s["value"], s["confidence"]) for s in record["suggestions"] if s["kind"] == kind]
    return sorted(found, key=lambda item: -item[1])


def surplus(ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """What only we say; of several equal values the least sure ones are those that they do not have."""
    matched = Counter(value for value, _ in theirs)
    only = []
    for value, confidence in ours:
        if matched[value]:
            matched[value] -= 1
        else:
            only.append((value, confidence))
    return only


class Rules:
    """Where the thresholds are."""

    def __init__(self, vocabulary: Path) -> None:
        self.vocabulary = Vocabulary(vocabulary)

    def why(self, kind: str, value: str, confidence: float, people_differ: bool) -> str:
        """What explains that only one side says this; nothing if it is far above its threshold."""
        fixed = {"object": ObjectDetector.MIN_SCORE, "face": Faces.MIN_SCORE}
        threshold = fixed[kind] if kind in fixed else self.vocabulary.threshold(value)
        if confidence - threshold <= NEAR:
            return f" (threshold {threshold:.2f})"
        if kind == "tag" and value in self.vocabulary.apparel and people_differ:
            return " (a person is seen by one side only)"
        return ""


def differences(
    name: str, docent: dict[str, Any], peer: dict[str, Any], kind: str, rules: Rules
) -> Iterator[Difference]:
    people = [any(value == "person" for value, _ in said(record, "object")) for record in (docent, peer)]
    sides = {"docent": (docent, peer), "peer": (peer, docent)}
    for side, (ours, theirs) in sides.items():
        for value, confidence in surplus(said(ours, kind), said(theirs, kind)):
            why = rules.why(kind, value, confidence, people[0] != people[1])
            yield Difference(name, kind, value, confidence, side, why)


def cosine(docent: dict[str, Any], peer: dict[str, Any]) -> float | None:
    """Of the pictures' vectors, where both wrote their values."""
    vectors = []
    for record in (docent, peer):
        whole = [v["values"] for v in record["vectors"] if v["space"].startswith("picture") and v.get("values")]
        if not whole:
            return None
        vectors.append(np.array(whole[0]) / np.linalg.norm(whole[0]))
    return float(vectors[0] @ vectors[1])


def percent(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none"


@dataclass
class Agreement:
    """Of two runs; `summary` is what a program reads, `lines` what people do."""

    summary: dict[str, Any]
    lines: list[str]


def agreement(
    docent_file: Path, peer_file: Path, kinds: Sequence[str] = KINDS, vocabulary: Path = VOCABULARY, every: bool = True
) -> Agreement:
    """Without `every` differences are counted, not listed."""
    rules = Rules(vocabulary)
    docent, peer = load(docent_file), load(peer_file)
    usable = [name for name in docent if name in peer and not docent[name]["failures"] and not peer[name]["failures"]]
    summary: dict[str, Any] = {"pictures": len(usable)}
    lines = []
    for side, ours, theirs in (("docent", docent, peer), ("peer", peer, docent)):
        if only := len(ours.keys() - theirs.keys()):
            lines.append(f"{only} pictures are in {side}'s file only")
        for name in sorted(name for name in ours if ours[name]["failures"]):
            lines.append(f"{name}: {side} failed: {ours[name]['failures'][0]['reason']}")
    lines.append(f"{len(usable)} pictures were analyzed by both")
    for kind in kinds:
        found = {name: list(differences(name, docent[name], peer[name], kind, rules)) for name in usable}
        differ = [difference for several in found.values() for difference in several]
        if every:
            lines += [f"  {difference}" for difference in differ]
        pictures = sum(not several for several in found.values())
        things = sum(len(said(docent[name], kind)) for name in usable)
        sides = Counter(difference.side for difference in differ)
        close = sum(bool(difference.why) for difference in differ)
        summary[kind] = {
            "pictures_equal": pictures,
            "equal": things - sides["docent"],
            "docent_only": sides["docent"],
            "peer_only": sides["peer"],
            "explained": close,
        }
        equal = percent(pictures, len(usable))
        lines.append(f"{kind}: pictures with equal results: {equal}; docent says {things} in all;")
        lines.append(f"    differences: {len(differ)}; explained by a threshold: {percent(close, len(differ))}")
    for kind in ("caption", "text"):
        values = [[Counter(value for value, _ in said(side[name], kind)) for side in (docent, peer)] for name in usable]
        if any(a or b for a, b in values):
            summary[kind] = {"pictures_equal": sum(a == b for a, b in values)}
            equal = percent(summary[kind]["pictures_equal"], len(usable))
            lines.append(f"{kind}: pictures with equal results: {equal}")
    cosines = {name: c for name in usable if (c := cosine(docent[name], peer[name])) is not None}
    if cosines:
        lowest, median = min(cosines, key=lambda name: cosines[name]), statistics.median(cosines.values())
        summary["embedding"] = {"lowest": cosines[lowest], "median": median, "picture": lowest}
        lines.append(f"embedding: cosine: lowest {cosines[lowest]:.5f} ({lowest}), median {median:.5f}")
    return Agreement(summary, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("docent", type=Path, metavar="DOCENT_JSONL")
    parser.add_argument("peer", type=Path, metavar="PEER_JSONL")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=KINDS, help="default: tag,object,face")
    parser.add_argument("--vocabulary", type=Path, default=VOCABULARY)
    options = parser.parse_args()
    print("\n".join(agreement(options.docent, options.peer, options.kinds, options.vocabulary).lines))


if __name__ == "__main__":
    main()
