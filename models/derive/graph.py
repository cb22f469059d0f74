"""ONNX graphs as lists of nodes and numpy constants, and the rewrites that all networks share.

ONNX Runtime keeps convolutions in a layout of blocks of 16 channels and leaves it for every operator that it cannot run
there. The rewrites below put the same arithmetic into operators that it can.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx import NodeProto as Node

BLOCK = 16
POINT = {"kernel_shape": [1, 1], "pads": [0] * 4, "strides": [1, 1], "dilations": [1, 1]}


class Graph:
    """A graph whose stored weights are unfolded: casts, products and sums of constants are done when it is read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.nodes: list[Node] = []
        self.inputs, self.outputs = list(model.graph.input), list(model.graph.output)
        # Constants that are a half-precision array times this.
        self.factors: dict[str, np.float32] = {}
        self.count = 0
        for node in model.graph.node:
            known = [self.constants[name] for name in node.input if name in self.constants]
            if node.op_type == "Constant":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type in ("Cast", "Mul", "Add") and len(known) == len(node.input):
                self.constants[node.output[0]] = self.fold(node, known)
            else:
                self.nodes.append(node)

    @staticmethod
    def fold(node: Node, values: list[np.ndarray]) -> np.ndarray:
        if node.op_type == "Cast":
            return values[0].astype(helper.tensor_dtype_to_np_dtype(attribute(node, "to")))
        return values[0] * values[1] if node.op_type == "Mul" else values[0] + values[1]

    def producer(self, name: str) -> Node | None:
        return next((node for node in self.nodes if name in node.output), None)

    def consumers(self, name: str) -> list[Node]:
        return [node for node in self.nodes if name in node.input]

    def constant(self, value: np.ndarray, factor: np.float32 | None = None) -> str:
        self.count += 1
        name = f"constant_{self.count}"
        self.constants[name] = np.asarray(value)
        if factor is not None:
            self.factors[name] = factor
        return name

    def add(self, operator: str, inputs: list[str], output: str | None = None, **attributes: object) -> str:
        self.count += 1
        output = output or f"{operator.lower()}_new_{self.count}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def point(self, name: str, weights: np.ndarray, bias: np.ndarray | None = None, group: int = 1) -> str:
        """A convolution of 1 x 1."""
        extra = [] if bias is None else [self.constant(bias)]
        return self.add("Conv", [name, self.constant(weights), *extra], group=group, **POINT)

    def remove(self, *nodes: Node | None) -> None:
        gone = [id(node) for node in nodes]
        self.nodes = [node for node in self.nodes if id(node) not in gone]

    def set_outputs(self, shapes: dict[str, list[str | int]]) -> None:
        self.outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    def prune(self) -> None:
        """Keeps what the outputs need, each node after those that it reads."""
        producers = {name: node for node in self.nodes for name in node.output}
        order: list[Node] = []
        seen: set[int] = set()
        # Depth first without recursion: graphs are deeper than Python's stack.
        stack = [(output.name, False) for output in reversed(self.outputs)]
        while stack:
            name, done = stack.pop()
            node = producers.get(name)
            if node is None or (id(node) in seen and not done):
                continue
            if done:
                order.append(node)
                continue
            seen.add(id(node))
            stack.append((name, True))
            stack += [(source, False) for source in reversed(node.input)]
        self.nodes = order

    def model(self, half: bool = True) -> onnx.ModelProto:
        """The graph in ONNX. With `half`, weights that are half-precision numbers (or such times a factor) are so stored."""
        self.prune()
        used = {name for node in self.nodes for name in node.input}
        stored, unfold = [], []
        for name, value in self.constants.items():
            if name in used:
                tensors, nodes = pack(name, value, self.factors.get(name)) if half else ([tensor(value, name)], [])
                stored += tensors
                unfold += nodes
        graph = helper.make_graph(unfold + self.nodes, "docent", self.inputs, self.outputs, stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def shapes(self) -> dict[str, list[int]]:
        inferred = onnx.shape_inference.infer_shapes(self.model(half=False), data_prop=True).graph
        return {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim]
                for info in [*inferred.value_info, *inferred.input]}


def attribute(node: Node, name: str, default: object = None) -> object:
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def tensor(value: np.ndarray, name: str) -> onnx.TensorProto:
    # Not ascontiguousarray, which makes vectors of scalars: 8-bit operators want scalars.
    return numpy_helper.from_array(np.array(value, order="C"), name)


def pack(name: str, value: np.ndarray, factor: np.float32 | None = None) -> tuple[list, list]:
    """How a constant is stored, and the nodes that unfold it when a session is created. Never changes the value."""
    if value.dtype == np.float32 and value.ndim >= 2 and value.size >= 256:
        for scale in (None, factor):
            small = (value if scale is None else value / scale).astype(np.float16)
            full = small.astype(np.float32) if scale is None else small.astype(np.float32) * scale
            if np.array_equal(full, value):
                tensors, out = [tensor(small, f"{name}_half")], name if scale is None else f"{name}_full"
                nodes = [helper.make_node("Cast", [f"{name}_half"], [out], to=TensorProto.FLOAT)]
                if scale is not None:
                    tensors.append(tensor(np.float32(scale), f"{name}_factor"))
                    nodes.append(helper.make_node("Mul", [out, f"{name}_factor"], [name]))
                return tensors, nodes
            if factor is None:
                break
    return [tensor(value, name)], []


def pool_means(graph: Graph) -> None:
    """Means over a picture as GlobalAveragePool, which the blocked layout has."""
    for node in list(graph.nodes):
        axes = attribute(node, "axes")
        if node.op_type == "ReduceMean" and list(axes or []) == [2, 3]:
            graph.remove(node)
            if attribute(node, "keepdims", 1):
                graph.add("GlobalAveragePool", [node.input[0]], node.output[0])
            else:
                graph.add("Flatten", [graph.add("GlobalAveragePool", [node.input[0]])], node.output[0])


def pad_channels(graph: Graph) -> None:
    """Makes inner channel counts multiples of the block with filters of zeros, as ONNX Runtime does inside anyway.

    Depthwise convolutions, pools and concatenations of other counts would leave the blocked layout. The added channels
    are zero, or a gate's value at zero, and meet weights of zero.
    """
    outputs = {output.name for output in graph.outputs}
    padded: dict[str, int] = {}
    real: dict[str, int] = {}
    graph.prune()
    for node in graph.nodes:
        known = [name for name in node.input if name in padded]
        out = node.output[0]
        if node.op_type == "Conv":
            weights = graph.constants[node.input[1]]
            depthwise = attribute(node, "group", 1) > 1
            filters, depth = weights.shape[:2]
            wide = padded.get(node.input[0], depth if not depthwise else filters)
            target = wide if depthwise else filters if out in outputs else -(-filters // BLOCK) * BLOCK
            full = np.zeros((target, 1 if depthwise else wide, *weights.shape[2:]), np.float32)
            full[:filters, :depth] = weights
            node.input[1] = graph.constant(full, graph.factors.get(node.input[1]))
            if len(node.input) > 2:
                bias = graph.constants[node.input[2]]
                node.input[2] = graph.constant(np.pad(bias, (0, target - filters)))
            for item in node.attribute:
                if depthwise and item.name == "group":
                    item.i = target
            padded[out], real[out] = target, filters
        elif node.op_type == "Concat" and known:
            # Padding inside of a concatenation would move channels.
            assert all(padded[name] == real[name] for name in known), node.name
            padded[out] = real[out] = sum(padded[name] for name in known)
        elif known:
            padded[out], real[out] = padded[known[0]], real[known[0]]


def state_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX loses the batch dimension's name in Resize, and ONNX Runtime then cannot prove two shapes equal: says it."""
    resized = {name for node in model.graph.node if node.op_type == "Resize" for name in node.output}
    for info in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info:
        if info.name in resized:
            batch = info.type.tensor_type.shape.dim[0]
            batch.Clear()
            batch.dim_param = "N"
            model.graph.value_info.append(info)
    onnx.checker.check_model(model, full_check=True)
    return model


def free_sides(model: onnx.ModelProto) -> onnx.ModelProto:
    """Says that pictures of any size may be given to a network of convolutions alone."""
    for info in [*model.graph.input, *model.graph.output]:
        for side, dimension in zip(("height", "width"), info.type.tensor_type.shape.dim[2:], strict=True):
            dimension.Clear()
            dimension.dim_param = f"{info.name}_{side}"
    onnx.checker.check_model(model, full_check=True)
    return model
