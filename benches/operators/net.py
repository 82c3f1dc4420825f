"""Small ONNX models, an operator at a time, and noise of their input's shape."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

INT8, UINT8 = np.int8, np.uint8


class Net:
    """A model with input `x`; `spread` is the noise's kind: normal, or uniform above 0."""

    def __init__(self, shape=(1, 8, 16, 16), opset=17, spread="normal", inputs=None, kind=TensorProto.FLOAT):
        self.shape, self.opset, self.spread, self.inputs, self.kind = shape, opset, spread, inputs or shape, kind
        self.nodes, self.constants, self.random = [], [], np.random.default_rng(0)
        self.model = None

    def real(self, *shape, low=None, high=None):
        values = self.random.standard_normal(shape) if low is None else self.random.uniform(low, high, shape)
        return values.astype(np.float32)

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def number(self, value):
        return self.constant(np.float32(value))

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def reals(self, *values):
        return self.constant(np.array(values, np.float32))

    def __call__(self, op, *inputs, outputs=1, **attributes):
        names = [f"t{sum(len(n.output) for n in self.nodes) + k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"{op}_{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def weights(self, *shape):
        return (self.real(*shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    def conv(self, x, ic, oc, k=3, **attributes):
        attributes.setdefault("pads", [k // 2 * attributes.get("dilations", [1])[0]] * 4)
        w = self.weights(oc, ic // attributes.get("group", 1), k, k)
        return self("Conv", x, self.constant(w), self.constant(0.1 * self.real(oc)), **attributes)

    def coded(self, x, scale, zero, kind):
        """Through codes and back."""
        how = [self.number(scale), self.constant(np.array(zero, kind))]
        return self("DequantizeLinear", self("QuantizeLinear", x, *how), *how)

    def coded_weights(self, values, axis=None, kind=INT8, zero=0):
        if axis is None:
            scale = np.float32(np.abs(values).max() / 127)
            centre = zero + (128 if kind == UINT8 else 0)
            codes = np.clip(np.round(values / scale) + centre, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
            return self("DequantizeLinear", self.constant(codes), self.number(scale), self.constant(np.array(centre, kind)))
        scales = (np.abs(values).max(axis=tuple(i for i in range(values.ndim) if i != axis)) / 127).astype(np.float32)
        across = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        codes = np.clip(np.round(values / across), -127, 127).astype(INT8)
        zeros = self.constant(np.zeros(len(scales), INT8))
        return self("DequantizeLinear", self.constant(codes), self.constant(scales), zeros, axis=axis)

    def done(self, outputs):
        names = [outputs] if isinstance(outputs, str) else outputs
        ports = [helper.make_tensor_value_info("x", self.kind, self.inputs)]
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]
        graph = helper.make_graph(self.nodes, "g", ports, made, self.constants)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        self.model.ir_version = 8 if self.opset < 21 else 10
        return self

    def noise(self, frames, seed):
        random, shape = np.random.default_rng(seed), (frames, *self.shape[1:])
        if self.kind != TensorProto.FLOAT:
            low = 0 if self.kind == TensorProto.UINT8 else -128
            return random.integers(low, low + 256, shape).astype(UINT8 if low == 0 else INT8)
        values = random.standard_normal(shape) if self.spread == "normal" else random.random(shape) * 2 + 0.5
        return values.astype(np.float32)

    def moving(self, frames, seed):
        """Noise at rest but for a patch that wanders; one frame is the first again."""
        clip = self.noise(frames, seed)
        for k in range(1, frames):
            new, clip[k] = clip[k].copy(), clip[0]
            at = k % max(1, clip.shape[-1] // 2)
            patch = (..., slice(at, at + 4), slice(2, 6)) if clip.ndim == 4 else (..., slice(0, max(1, clip.shape[-1] // 4)))
            if k != 3:
                clip[k][patch] = new[patch]
        return clip
