"""The networks' own rewrites. All are exact but for the order of float additions."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from graph import POINT, Graph, pad_channels, pool_means

POOL = {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "strides": [2, 2]}


def centernet(model: onnx.ModelProto) -> Graph:
    """`heat` [N,80,128,128], logits, and `box` [N,4,128,128], distances in pixels; peaks are left to the reader."""
    graph = Graph(model)
    heat, box = graph.producer("conv_423"), graph.producer("conv_429")
    heat.output[0], box.output[0] = "heat", "box"
    for index in (1, 2):
        box.input[index] = graph.constant(graph.constants[box.input[index]] * np.float32(16))
    graph.set_outputs({"heat": ["N", 80, 128, 128], "box": ["N", 4, 128, 128]})
    graph.prune()
    pool_means(graph)
    gate(graph)
    relu_before_concat(graph)
    pad_channels(graph)
    spread_gates(graph)
    return graph


def gate(graph: Graph) -> None:
    """`c * clip(x + 3, 0, 6)` as a convolution with a fused clip.

    A gate of squeeze and excite goes into the convolution before it. For an h-swish, whose x is needed as well, it is a
    1 x 1 depthwise one: dearer in arithmetic than three elementwise operators, but x stays in the blocked layout.
    """
    for add in [node for node in graph.nodes if node.op_type == "Add"]:
        constants = [name for name in add.input if name in graph.constants]
        if not constants or graph.constants[constants[0]].size != 1:
            continue
        x = next(name for name in add.input if name not in graph.constants)
        (clip,) = graph.consumers(add.output[0])
        (product,) = graph.consumers(clip.output[0])
        other = next(name for name in product.input if name != clip.output[0])
        conv = graph.producer(x)
        if other in graph.constants:
            c = np.float32(graph.constants[other].item())
            graph.remove(add, clip, product)
            weights, bias = graph.constants[conv.input[1]], graph.constants[conv.input[2]]
            conv.input[1], conv.input[2] = graph.constant(weights * c, c), graph.constant((bias + 3) * c)
            clipped(graph, x, c, product.output[0])
        else:
            scaled = graph.producer(other)
            c = np.float32(next(graph.constants[name] for name in scaled.input if name in graph.constants).item())
            channels = graph.constants[conv.input[1]].shape[0]
            graph.remove(add, clip, product, scaled)
            weights, bias = np.full((channels, 1, 1, 1), c), np.full(channels, 3 * c)
            opened = clipped(graph, graph.point(x, weights, bias, channels), c)
            graph.add("Mul", [x, opened], product.output[0])


def clipped(graph: Graph, name: str, c: np.float32, output: str | None = None) -> str:
    return graph.add("Clip", [name, graph.constant(np.float32(0)), graph.constant(6 * c)], output)


def relu_before_concat(graph: Graph) -> None:
    """A Relu that reads a concatenation is moved to its parts, where it may be part of a convolution."""
    for relu in [node for node in graph.nodes if node.op_type == "Relu"]:
        concat = graph.producer(relu.input[0])
        if concat is not None and concat.op_type == "Concat" and len(graph.consumers(concat.output[0])) == 1:
            graph.remove(relu, concat)
            graph.add("Concat", [graph.add("Relu", [part]) for part in concat.input], relu.output[0], axis=1)


def spread_gates(graph: Graph) -> None:
    """[N,C,1,1] times [N,C,H,W]: the blocked layout multiplies equal shapes only, so the gate is enlarged by Resize."""
    shapes = graph.shapes()
    for product in [node for node in graph.nodes if node.op_type == "Mul"]:
        left, right = product.input
        for index, name, other in ((0, left, right), (1, right, left)):
            height, width = shapes[other][2:]
            if shapes[name][2:] == [1, 1] and (height, width) != (1, 1):
                scales = graph.constant(np.array([1, 1, height, width], np.float32))
                product.input[index] = graph.add("Resize", [name, "", scales], mode="nearest",
                                                 coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def faceboxes(model: onnx.ModelProto) -> Graph:
    """`heads_32` [N,105,32,32], `heads_64` [N,5,16,16], `heads_128` [N,5,8,8]: first one logit for each anchor of a cell
    (its softmax is a sigmoid of the difference), then ty, tx, th, tw of each anchor."""
    graph = Graph(model)
    shapes = {}
    for kind, box, cells in (("conv_107", "conv_113", 32), ("conv_127", "conv_133", 16), ("conv_147", "conv_153", 8)):
        kinds, boxes = graph.producer(kind), graph.producer(box)
        parts = []
        for index in (1, 2):
            both = graph.constants[kinds.input[index]]
            parts.append(np.concatenate([both[1::2] - both[0::2], graph.constants[boxes.input[index]]]))
        name = f"heads_{1024 // cells}"
        inputs = [kinds.input[0], *map(graph.constant, parts)]
        graph.add("Conv", inputs, name, **{**POINT, "kernel_shape": [3, 3], "pads": [1] * 4, "group": 1})
        shapes[name] = ["N", len(parts[1]), cells, cells]
    graph.set_outputs(shapes)
    graph.prune()
    # Both signs of what a convolution gives. 24 filters cost as much as 32: eight of the negated ones come with them.
    conv, weights, bias = taken(graph, "conv_3", "relu_7")
    conv.input[1] = graph.constant(np.concatenate([weights, -weights[:8]]))
    conv.input[2] = graph.constant(np.concatenate([bias, -bias[:8]]))
    turn = np.zeros((16, 32, 1, 1), np.float32)
    turn[np.arange(16), np.arange(8, 24)] = -1
    both_signs(graph, "conv_3", graph.point("conv_3", turn), "relu_7")
    taken(graph, "conv_10", "relu_14")
    both_signs(graph, "conv_10", graph.point("conv_10", np.full((64, 1, 1, 1), -1, np.float32), None, 64), "relu_14")
    pad_channels(graph)
    return graph


def taken(graph: Graph, start: str, end: str) -> tuple[onnx.NodeProto, np.ndarray, np.ndarray]:
    """The convolution that gives `start`, after Neg, Concat, MaxPool and Relu up to `end` were taken away."""
    conv = graph.producer(start)
    relu = graph.producer(end)
    pool = graph.producer(relu.input[0])
    concat = graph.producer(pool.input[0])
    graph.remove(relu, pool, concat, graph.producer(concat.input[1]))
    return conv, graph.constants[conv.input[1]], graph.constants[conv.input[2]]


def both_signs(graph: Graph, name: str, negated: str, output: str) -> None:
    """Pooled and cut at zero one by one: what is then put together is a quarter as large."""
    parts = [graph.add("Relu", [graph.add("MaxPool", [part], **POOL)]) for part in (name, negated)]
    graph.add("Concat", parts, output, axis=1)


def joint(model: onnx.ModelProto) -> tuple[Graph, str]:
    """`model` as ONNX Runtime's basic optimizations leave it. The graph, and the tensor at which its backbone ends.

    The four queries of the pooling attention are constants. So their product with the keys' weights is one, 32 columns
    (8 heads) instead of 320 for the keys; and the values' weights are applied to 32 pooled tokens instead of all 49. A
    key's bias adds the same to all tokens of a query, which softmax does not see.
    """
    graph = Graph(model)
    c = graph.constants
    end = "/e/_swish_1/Clip_output_0"
    graph.inputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["N", 3, 224, 224])]
    decoder = [node for node in graph.nodes if node.name.startswith("/v/") and not node.name.startswith("/v/p/")]
    graph.set_outputs({end: ["N", 1280, 7, 7]})
    graph.prune()
    third = np.float32(1) / np.float32(3)

    def tokens(weights: np.ndarray, bias: str, output: str | None = None) -> str:
        wide = weights.shape[1]
        mapped = graph.point(end, np.ascontiguousarray(weights.T).reshape(wide, -1, 1, 1), c[bias])
        flat = graph.add("Reshape", [mapped, graph.constant(np.array([0, wide, 49]))])
        return graph.add("Transpose", [flat], output, perm=[0, 2, 1])

    def normal(name: str, prefix: str) -> str:
        epsilon = float(np.float32(1e-5))
        return graph.add("LayerNormalization", [name, f"{prefix}.weight", f"{prefix}.bias"], axis=-1, epsilon=epsilon)

    tokens(c["/v/p/Transpose_output_0"], "v.p.bias", "/v/p/Add_output_0")
    inner = tokens(c["head_onnx::MatMul_178"] * third, "head_inp.bias")
    erf = graph.add("Erf", [graph.add("Div", [inner, graph.constant(np.float32(1.4142135381698608))])])
    gelu = graph.add("Mul", [inner, graph.add("Add", [erf, graph.constant(np.float32(1))])])
    gelu = graph.add("Mul", [gelu, graph.constant(np.float32(0.5))])
    seen = normal(graph.add("Add", [gelu, "head_pos"]), "head_ln")
    weights, bias = c["head_att.in_proj_weight"].astype(float), c["head_att.in_proj_bias"].astype(float)
    queries = (c["head_q"][0] @ weights[:320].T + bias[:320]).reshape(4, 8, 40).transpose(1, 0, 2) / np.sqrt(40)
    asked = (queries @ weights[320:640].reshape(8, 40, 320)).reshape(32, 320)
    scores = graph.add("MatMul", [seen, graph.constant(np.ascontiguousarray(asked.T, np.float32))])
    attention = graph.add("Softmax", [graph.add("Transpose", [scores], perm=[0, 2, 1])], axis=-1)
    pooled = graph.add("Reshape", [graph.add("MatMul", [attention, seen]), graph.constant(np.array([0, 8, 4, 320]))])
    values = np.ascontiguousarray(weights[640:].reshape(8, 40, 320).transpose(0, 2, 1), np.float32)
    pooled = graph.add("MatMul", [pooled, graph.constant(values)])
    pooled = graph.add("Add", [pooled, graph.constant(bias[640:].reshape(8, 1, 40).astype(np.float32))])
    pooled = graph.add("Transpose", [pooled], perm=[0, 2, 1, 3])
    pooled = graph.add("Reshape", [pooled, graph.constant(np.array([0, 4, 320]))])
    pooled = graph.add("MatMul", [pooled, "head_onnx::MatMul_206"])
    pooled = graph.add("Flatten", [graph.add("Add", [pooled, "head_att.out_proj.bias"])])
    projected = graph.add("Gemm", [normal(pooled, "head_out.0"), "head_out.2.weight", "head_out.2.bias"], transB=1)
    mean = graph.add("Flatten", [graph.add("GlobalAveragePool", [end])])
    mean = graph.add("Gemm", [mean, graph.constant(c["head_mean.weight"] * third, third), "head_mean.bias"], transB=1)
    total = graph.add("Add", [projected, mean])
    graph.add("Div", [total, graph.add("ReduceL2", [total], axes=[-1], keepdims=1)], "image_embeds")
    for node in decoder:
        if node.op_type in ("Shape", "Gather", "Unsqueeze", "Concat"):
            continue
        if node.name == "/v/L.0/Reshape_3":
            node.input[1] = graph.constant(np.array([0, -1, 256]))
        graph.nodes.append(node)
    graph.set_outputs({"image_embeds": ["N", 384], "last_hidden_state": ["N", 49, 256]})
    graph.prune()
    return graph, end
