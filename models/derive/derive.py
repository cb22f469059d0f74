"""Derives the bundled detectors and the picture encoder from the networks as they were first converted.

    python derive.py --from FOLDER --out FOLDER

The first folder holds object_detector_centernet.onnx (SHA-256 925f40db…), face_detector_faceboxes.onnx (299908c0…) and
joint/vision_model.onnx (e14d10e7…). What is written computes the same, for less:

  object_detector_centernet_heads.onnx   peak picking is left to the reader; everything stays in the blocked layout
  face_detector_faceboxes_heads.onnx     anchors and softmax are left to the reader; CReLU without copies of whole pictures;
                                         pictures of any size
  joint/vision_model.onnx                the attention of constant queries is multiplied out

Made with onnxruntime 1.32.0 and onnx 1.23.2; the same files and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path

# Read when the library is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnx
import onnxruntime

import rewrites
from graph import free_sides, state_batch


def open_session(model: bytes | str, level: onnxruntime.GraphOptimizationLevel,
                 save: str | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = 3
    if save:
        options.optimized_model_filepath = save
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def folded(path: Path) -> onnx.ModelProto:
    """The model with shapes and pads that an exporter left as computations folded."""
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder) / "basic.onnx")
        open_session(str(path), onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC, target)
        return onnx.load(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)

    def load(name: str) -> onnx.ModelProto:
        return onnx.load(str(arguments.source / name))

    made = {
        "object_detector_centernet_heads.onnx":
            lambda: state_batch(rewrites.centernet(load("object_detector_centernet.onnx")).model()),
        "face_detector_faceboxes_heads.onnx":
            lambda: free_sides(rewrites.faceboxes(load("face_detector_faceboxes.onnx")).model()),
        "joint/vision_model.onnx":
            lambda: rewrites.joint(folded(arguments.source / "joint" / "vision_model.onnx"))[0].model(),
    }
    for name, make in made.items():
        model = make()
        # Some graphs that the checker likes cannot be run.
        open_session(model.SerializeToString(), onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path))
        print(name, path.stat().st_size, flush=True)


if __name__ == "__main__":
    main()
