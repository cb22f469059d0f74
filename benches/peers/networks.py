"""The networks that docent bundles, run by ONNX Runtime, with docent's preparation and rules.

Formulas and thresholds are those of models/starter/MODELS.md, models/manifest.toml and the defaults in
worker/worker.default.toml. Boxes are left, top, right, bottom in pixels of the picture.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Read when the library is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pixels import Box, Picture, Tensor, center_crop, fit, squash, tensor, whole

Floats = NDArray[np.float32]

# Words for classes. They stay where they are, whatever folder the networks come from.
LABELS = Path(__file__).parents[2] / "models" / "labels"


def session(path: Path, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A loaded graph with so many threads inside of a call and memory that all graphs share.

    Without `threads` everything is as ONNX Runtime has it by default.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        share_memory()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@cache
def share_memory() -> None:
    """One arena for all sessions, which otherwise keep what each of them needs at its peak; no slower, a fifth less."""
    kind, use = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", kind, 0, use), None)


@dataclass(frozen=True)
class Found:
    """A thing, or a face, at a place."""

    label: str
    score: float
    box: Box


def area(box: Box) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def iou(a: Box, b: Box) -> float:
    """Intersection over union."""
    both = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = area(a) + area(b) - both
    return both / union if union > 0 else 0.0


def suppress(found: Sequence[Found], covers: Callable[[Found, Found], bool]) -> list[Found]:
    """Greedy non-maximum suppression: drops what something stronger covers. Strongest first."""
    kept: list[Found] = []
    for item in sorted(found, key=lambda item: -item.score):
        if not any(covers(stronger, item) for stronger in kept):
            kept.append(item)
    return kept


def clamp(box: Sequence[float], picture: Picture) -> Box:
    (left, top, right, bottom), width, height = box, picture.width, picture.height
    return max(0, min(left, width)), max(0, min(top, height)), max(0, min(right, width)), max(0, min(bottom, height))


class Vocabulary:
    """The tagger's classes as tags with broader tags, and the rule by which they are offered."""

    LEAF = PARENT = 0.5
    # The tagger has no class for people, and sees clothes where they are.
    APPAREL = 0.8
    APPAREL_PARENTS = frozenset({"clothing", "swimwear", "underwear"})

    def __init__(self, path: Path) -> None:
        classes = json.loads(path.read_text())["classes"]
        sources: dict[str, tuple[set[int], set[int]]] = {}
        for index, entry in enumerate(classes):
            if entry["index"] != index:
                raise ValueError(f"{path}: class {entry['index']} stands where class {index} should")
            for tag in {entry["tag"], *entry["parents"]}:
                leaves, every = sources.setdefault(tag, (set(), set()))
                every.add(index)
                if tag == entry["tag"]:
                    leaves.add(index)
        is_apparel = [not self.APPAREL_PARENTS.isdisjoint(entry["parents"]) for entry in classes]
        self.tags = sorted(sources)
        self.apparel = {tag for tag in self.tags if all(is_apparel[index] for index in sources[tag][1])}
        self.leaves = self.pairs(sources[tag][0] for tag in self.tags)
        self.every = self.pairs(sources[tag][1] for tag in self.tags)

    @staticmethod
    def pairs(classes: Iterable[set[int]]) -> NDArray[np.int64]:
        """Rows of tags and, beside them, the classes whose probabilities they sum."""
        return np.array([(tag, index) for tag, indexes in enumerate(classes) for index in sorted(indexes)]).T

    def sums(self, pairs: NDArray[np.int64], probabilities: Floats) -> NDArray[np.float64]:
        return np.bincount(pairs[0], probabilities[pairs[1]], len(self.tags)).astype(np.float64)

    def threshold(self, tag: str) -> float:
        return self.APPAREL if tag in self.apparel else self.PARENT

    def offer(self, probabilities: Floats, people: bool) -> list[tuple[str, float]]:
        """Tags with their probabilities, surest first. With people in the picture, nothing to wear."""
        leaves, every = self.sums(self.leaves, probabilities), self.sums(self.every, probabilities)
        offered = []
        for row in np.flatnonzero((leaves >= self.LEAF) | (every >= self.PARENT)):
            tag = self.tags[row]
            if tag in self.apparel and (people or max(leaves[row], every[row]) < self.APPAREL):
                continue
            offered.append((tag, float(every[row])))
        return sorted(offered, key=lambda item: (-item[1], item[0]))


class Tagger:
    """EfficientNet-lite0, ImageNet-1k."""

    def __init__(self, models: Path, **options: Any) -> None:
        self.session = session(models / "tagger_efficientnet_lite0.onnx", **options)
        self.vocabulary = Vocabulary(LABELS / "tag_vocabulary.json")

    def probabilities(self, picture: Picture) -> Floats:
        pixels = tensor(center_crop(picture, 256, 224), [127] * 3, 128)
        logits = self.session.run(["logits"], {"pixel_values": pixels})[0][0]
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()

    def __call__(self, picture: Picture, people: bool) -> list[tuple[str, float]]:
        return self.vocabulary.offer(self.probabilities(picture), people)


class ObjectDetector:
    """CenterNet, COCO-80; peaks are picked inside of the graph."""

    SIDE = 512
    MIN_SCORE = 0.30
    SAME_CLASS = 0.5
    # Two animals at one place are one animal, seen twice: a cat's close-up gives a dog as well.
    SAME_ANIMAL = 0.8
    ANIMALS = frozenset({"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"})

    def __init__(self, models: Path, **options: Any) -> None:
        self.session = session(models / "object_detector_centernet.onnx", **options)
        self.labels = (LABELS / "coco80_labels.txt").read_text().splitlines()

    def __call__(self, picture: Picture) -> list[Found]:
        scale, size = fit(picture.width, picture.height, self.SIDE)
        x, y = (self.SIDE - size[0]) // 2, (self.SIDE - size[1]) // 2
        pixels = tensor(picture.resized(size), [0] * 3, 1, self.SIDE, (x, y), 127)
        rows = self.session.run(["detections"], {"pixel_values": pixels})[0][0]
        found = []
        for *corners, score, label in rows[rows[:, 4] >= self.MIN_SCORE]:
            box = clamp(((np.array(corners) - [x, y, x, y]) / scale).tolist(), picture)
            if area(box) > 0:
                found.append(Found(self.labels[int(label)], min(float(score), 1.0), box))
        return suppress(found, self.is_covered)

    def is_covered(self, stronger: Found, weaker: Found) -> bool:
        overlap = iou(stronger.box, weaker.box)
        if stronger.label == weaker.label:
            return overlap > self.SAME_CLASS
        return {stronger.label, weaker.label} <= self.ANIMALS and overlap > self.SAME_ANIMAL


class Faces:
    """FaceBoxes, with a second look at large pictures and groups; landmarks and a vector for each larger face."""

    SIDE = 1024
    MIN_SCORE = 0.60
    SAME_FACE = 0.35
    # From this long side on small faces vanish on the canvas; so many faces are worth a closer look as well.
    TILES_FROM_SIDE, GROUP = 1600, 5
    TILE, EDGE = 0.6, 2.0
    # Strangers look alike in smaller ones.
    MIN_IDENTITY_PIXELS = 40
    MEAN = (122.782, 117.001, 104.298)
    # Corners of the eyes and base of the nose, and where the embedder wants them on its 150 pixels.
    POINTS = (45, 42, 36, 39, 33)
    TEMPLATE = ((0.85957, 0.21350), (0.64606, 0.22897), (0.12058, 0.21373), (0.33409, 0.22906), (0.49011, 0.62780))

    def __init__(self, models: Path, **options: Any) -> None:
        self.detector = session(models / "face_detector_faceboxes.onnx", **options)
        self.landmarks = session(models / "face_landmarks_68.onnx", **options)
        self.embedder = session(models / "face_embedder_dlib_resnet.onnx", **options)
        self.target = as_complex((np.array(self.TEMPLATE) + 0.25) / 1.5 * 150)

    def __call__(self, picture: Picture) -> tuple[list[Found], Floats]:
        """All faces, and the vectors of those large enough, in their order."""
        faces = self.detect(picture)
        large = [f.box for f in faces if min(f.box[2] - f.box[0], f.box[3] - f.box[1]) >= self.MIN_IDENTITY_PIXELS]
        return faces, self.embed(picture, large) if large else np.empty((0, 128), np.float32)

    def detect(self, picture: Picture) -> list[Found]:
        found = self.look(picture, (0, 0, picture.width, picture.height))
        if max(picture.width, picture.height) <= self.TILES_FROM_SIDE and len(found) < self.GROUP:
            return found
        for tile in self.tiles(picture.width, picture.height):
            found += [face for face in self.look(picture, tile) if not self.is_cut(face.box, tile, picture)]
        return self.merged(found)

    def is_cut(self, face: Box, tile: Box, picture: Picture) -> bool:
        """Whether an edge inside of the picture may cut the face, which is then left to the neighboring tile."""
        edges = zip(face, tile, (0, 0, picture.width, picture.height), strict=True)
        return any(abs(side - edge) < self.EDGE and edge != border for side, edge, border in edges)

    def look(self, picture: Picture, part: Box) -> list[Found]:
        """The faces in a part of the picture."""
        left, top, right, bottom = part
        scale, size = fit(int(right - left), int(bottom - top), self.SIDE)
        pixels = tensor(picture.resized(size, part), [127.5] * 3, 127.5, self.SIDE)
        scores, boxes = self.detector.run(["scores", "boxes"], {"pixel_values": pixels})
        found = []
        for row in np.flatnonzero(scores[0, :, 0] >= self.MIN_SCORE):
            x1, y1, x2, y2 = (boxes[0, row] * self.SIDE / scale).tolist()
            box = (max(left, left + x1), max(top, top + y1), min(right, left + x2), min(bottom, top + y2))
            if area(box) > 0:
                found.append(Found("face", min(float(scores[0, row, 0]), 1.0), box))
        return self.merged(found)

    def merged(self, found: list[Found]) -> list[Found]:
        return suppress(found, lambda stronger, weaker: iou(stronger.box, weaker.box) > self.SAME_FACE)

    def tiles(self, width: int, height: int) -> list[Box]:
        """Four overlapping corners."""
        w, h = whole(width * self.TILE), whole(height * self.TILE)
        return [(x, y, x + w, y + h) for y in (0, height - h) for x in (0, width - w)]

    def embed(self, picture: Picture, boxes: list[Box]) -> Floats:
        """The raw vectors of faces; all of a picture in one call."""
        squares = [picture.square(box) for box in boxes]
        inputs = np.concatenate([tensor(squash(square, 112), self.MEAN, 255) for square, _ in squares])
        points = self.landmarks.run(["landmarks"], {"pixel_values": inputs})[0]
        chips = []
        for (square, corner), landmarks in zip(squares, points, strict=True):
            chips.append(self.align(picture, landmarks[list(self.POINTS)] * square.width + corner))
        return self.embedder.run(["embedding"], {"pixel_values": np.concatenate(chips)})[0]

    def align(self, picture: Picture, points: Floats) -> Tensor:
        """The face upright on 150 pixels: the least-squares similarity (Umeyama) of `points` onto the template."""
        turn, shift = similarity(as_complex(points), self.target)
        if abs(turn) * 2 < 1:
            # Interpolation sees 2 x 2 pixels only: the surroundings are reduced first.
            margin = 3 * np.ptp(points, axis=0).max()
            corners = np.concatenate([points.min(0) - margin, points.max(0) + margin])
            left, top, right, bottom = (round(side) for side in clamp(corners.tolist(), picture))
            size = whole((right - left) * abs(turn) * 2), whole((bottom - top) * abs(turn) * 2)
            reduced = picture.resized(size, (left, top, right, bottom))
            ratio = np.array(size) / (right - left, bottom - top)
            turn, shift = similarity(as_complex((points - (left, top)) * ratio), self.target)
        else:
            reduced = picture.rgb
        matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        chip = np.asarray(cv2.warpAffine(reduced, matrix, (150, 150), flags=cv2.INTER_LINEAR), np.uint8)
        return tensor(chip, self.MEAN, 255)


def as_complex(points: NDArray[Any]) -> NDArray[np.complex128]:
    return points[:, 0].astype(float) + 1j * points[:, 1].astype(float)


def similarity(source: NDArray[np.complex128], target: NDArray[np.complex128]) -> tuple[complex, complex]:
    """`turn` and `shift` with `target ≈ turn * source + shift`: in the plane a similarity is one complex product."""
    centered = source - source.mean()
    turn = np.vdot(centered, target - target.mean()) / np.vdot(centered, centered).real
    return turn, target.mean() - turn * source.mean()


class ImageEncoder:
    """The picture's half of the joint space."""

    def __init__(self, models: Path, **options: Any) -> None:
        self.session = session(models / "joint" / "vision_model.onnx", **options)

    def __call__(self, picture: Picture) -> tuple[Floats, Floats]:
        """A unit vector, and the tokens that the captioner reads."""
        pixels = tensor(squash(picture, 224), [127.5] * 3, 127.5)
        vectors, tokens = self.session.run(["image_embeds", "last_hidden_state"], {"pixel_values": pixels})
        return vectors[0] / np.linalg.norm(vectors[0]), tokens[0]
