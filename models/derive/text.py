#!/usr/bin/env python3
"""Makes the bundled text networks from PaddleOCR's, as the wheel of PyPI rapidocr 3.10.0 has them.

    text.py RAPIDOCR_MODELS_FOLDER OUTPUT_FOLDER

Needs onnx and numpy. What changes:

- Weights of 4,096 values and more are stored as fp16, followed by a Cast, which ONNX Runtime folds when it loads them.
- Weights below 1e-12 become 0. Detection has 255,958 subnormal ones in channels that are never used; processors multiply them so
  slowly that the network takes four times as long. Its answers are the same.
- Recognition answers the best class of each column and its probability instead of 18,710 probabilities: 10 KB for every eight
  pixels of a line are not copied.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def store_as_fp16(model):
    casts = []
    for weights in model.graph.initializer:
        if weights.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weights).copy()
        values[np.abs(values) < 1e-12] = 0
        name = weights.name
        if values.size < 4096:
            weights.CopyFrom(numpy_helper.from_array(values, name))
            continue
        assert np.abs(values).max() < 6e4, "does not fit into fp16"
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_fp16"))
        casts.append(helper.make_node("Cast", [name + "_fp16"], [name], name="cast_" + name, to=TensorProto.FLOAT))
    for place, cast in enumerate(casts):
        model.graph.node.insert(place, cast)


def answer_best_class(model):
    graph = model.graph
    softmax = graph.node[-1]
    assert softmax.op_type == "Softmax"
    softmax.output[0] = "probabilities"
    graph.initializer.append(helper.make_tensor("one_class", TensorProto.INT64, [1], [1]))
    graph.node.extend([
        helper.make_node("TopK", ["probabilities", "one_class"], ["best_probability", "best_index"], name="best_of_column", axis=2),
        helper.make_node("Cast", ["best_index"], ["best_class"], name="best_class_as_float", to=TensorProto.FLOAT),
    ])
    del graph.output[:]
    for name in ("best_class", "best_probability"):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "columns", 1]))


def note(model, what):
    entry = model.metadata_props.add()
    entry.key, entry.value = "changed", what


def main():
    source, target = map(Path, sys.argv[1:3])
    detection = onnx.load(source / "PP-OCRv6_det_small.onnx")
    store_as_fp16(detection)
    note(detection, "Weights are stored as fp16; those below 1e-12 are 0.")
    recognition = onnx.load(source / "PP-OCRv6_rec_small.onnx")
    answer_best_class(recognition)
    store_as_fp16(recognition)
    note(recognition, "Weights are stored as fp16. The graph answers the best class of each column and its probability "
                      "instead of all probabilities.")
    for model, name in ((detection, "detection"), (recognition, "recognition")):
        onnx.checker.check_model(model)
        onnx.save(model, target / f"pp_ocr_v6_small_{name}.onnx")


if __name__ == "__main__":
    main()
