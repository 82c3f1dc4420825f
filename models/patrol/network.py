"""The patrol detector, written once and run through two backends: JAX for training, ONNX for export.

`patrol(g, image)` is the network. `g` decides what a layer is: `Jax` computes it (NHWC, f32), `Onnx` emits nodes (NCHW,
opset 13). Parameters live in one flat dict, name -> array; convolution weights are [k, k, in, out] ([k, k, 1, c] for
depthwise).

Shape: a strided stem, one dense residual layer, inverted residual blocks (ReLU6 early, SiLU later, one with
squeeze-and-excite), a two-level feature pyramid (nearest upsampling and concatenation), heads at stride 8 and 16.
BatchNorm follows each convolution but those of squeeze-and-excite and the last ones of the heads; the export keeps it as
nodes of its own. The output is YOLOX's raw grid, [1, N, 8]: dx, dy, log w, log h, objectness, one probability a class;
box centre = (d + cell) * stride, size = exp(log) * stride, rows ordered by level, then y, then x.
"""

import jax
import jax.numpy as jnp
import numpy as np

STRIDES = (8, 16)
EPS = 1e-3


def inverted(g, name, x, out, expand, stride=1, act="silu", squeeze=0):
    y = g.conv(name + "/expand", x, expand, 1, act=act)
    y = g.conv(name + "/depthwise", y, expand, 3, stride, act=act, depthwise=True)
    if squeeze:
        s = g.global_mean(name + "/se/mean", y)
        s = g.conv(name + "/se/reduce", s, squeeze, 1, act="relu", norm=False)
        s = g.conv(name + "/se/expand", s, expand, 1, act="sigmoid", norm=False)
        y = g.mul(name + "/se/scale", y, s)
    y = g.conv(name + "/project", y, out, 1)
    return g.add(name + "/add", x, y) if stride == 1 and g.channels(x) == out else y


def separable(g, name, x, out):
    y = g.conv(name + "/depthwise", x, g.channels(x), 3, act="silu", depthwise=True)
    return g.conv(name + "/pointwise", y, out, 1, act="silu")


def head(g, name, x, classes):
    x = g.conv(name + "/stem", x, 40, 3, act="silu")
    c = separable(g, name + "/cls", x, 40)
    r = separable(g, name + "/reg", x, 40)
    boxes = g.conv(name + "/boxes", r, 4, 1, norm=False)
    obj = g.conv(name + "/objectness", r, 1, 1, norm=False, act="sigmoid")
    cls = g.conv(name + "/classes", c, classes, 1, norm=False, act="sigmoid")
    return g.concat(name + "/concat", [boxes, obj, cls])


def patrol(g, image, classes=3):
    x = g.conv("stem", image, 16, 3, 2, act="relu6")
    y = g.conv("stage1/conv", x, 16, 3)
    x = g.activate("stage1/act", g.add("stage1/add", x, y), "relu6")
    x = g.conv("stage2/0", x, 24, 3, 2, act="relu6")
    x = inverted(g, "stage2/1", x, 24, 72, 1, "relu6")
    x = inverted(g, "stage3/0", x, 40, 96, 2, "relu6")
    x = inverted(g, "stage3/1", x, 40, 120)
    p8 = inverted(g, "stage3/2", x, 40, 120)
    x = inverted(g, "stage4/0", p8, 64, 160, 2)
    x = inverted(g, "stage4/1", x, 64, 160, squeeze=24)
    p16 = g.conv("neck/lateral", x, 40, 1, act="silu")
    up = g.concat("neck/concat", [g.upsample("neck/upsample", p16), p8])
    p8 = separable(g, "neck/fuse", g.conv("neck/mix", up, 40, 1, act="silu"), 40)
    return g.grid([head(g, "head8", p8, classes), head(g, "head16", p16, classes)])


ACTS = {"relu": jax.nn.relu, "relu6": lambda x: jnp.clip(x, 0, 6), "silu": jax.nn.silu, "sigmoid": jax.nn.sigmoid}


class Jax:
    """Runs the network. `mode` is "make" (creates parameters), "train" (batch statistics, collected in `stats`) or
    "run" (running statistics). With logits=True the last sigmoid of each head is left out, for the loss."""

    def __init__(self, params, mode="run", rng=None, logits=False):
        self.params, self.mode, self.rng, self.logits = params, mode, rng, logits
        self.stats, self.macs = {}, 0

    def channels(self, x):
        return x.shape[-1]

    def conv(self, name, x, out, k, stride=1, act=None, depthwise=False, norm=True):
        cin = x.shape[-1]
        if self.mode == "make":
            fan = k * k * (1 if depthwise else cin)
            shape = (k, k, 1, out) if depthwise else (k, k, cin, out)
            self.params[name + ".w"] = self.rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
            last = name.startswith("head") and not norm
            if last:
                self.params[name + ".w"] *= 0.1
            if norm:
                self.params[name + ".gamma"] = np.ones(out, np.float32)
                self.params[name + ".beta"] = np.zeros(out, np.float32)
                self.params[name + ".mean"] = np.zeros(out, np.float32)
                self.params[name + ".var"] = np.ones(out, np.float32)
            else:
                rare = last and act == "sigmoid"
                self.params[name + ".b"] = np.full(out, -4.0 if rare else 0.0, np.float32)
        w = self.params[name + ".w"]
        h, wd = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
        self.macs += h * wd * w.size
        if k == 1:
            y = x.reshape(-1, cin) @ w[0, 0]
            y = y.reshape(x.shape[:3] + (out,))
        else:
            if depthwise:
                # Nine shifted multiply-adds, which fuse into one loop on a CPU; a grouped convolution there is far slower.
                p = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
                y = sum(p[:, i:i + (h - 1) * stride + 1:stride, j:j + (wd - 1) * stride + 1:stride] * w[i, j, 0]
                        for i in range(3) for j in range(3))
            else:
                y = jax.lax.conv_general_dilated(x, w, (stride, stride), ((1, 1), (1, 1)),
                                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
        y = self._norm(name, y) if norm else y + self.params[name + ".b"]
        if self.logits and name.startswith("head") and not norm:
            return y
        return self.activate(name, y, act)

    def _norm(self, name, y):
        p = self.params
        if self.mode == "train":
            mean = y.mean((0, 1, 2))
            var = (y * y).mean((0, 1, 2)) - mean * mean
            self.stats[name + ".mean"], self.stats[name + ".var"] = mean, var
        else:
            mean, var = p[name + ".mean"], p[name + ".var"]
        scale = p[name + ".gamma"] * jax.lax.rsqrt(jnp.maximum(var, 0) + EPS)
        return y * scale + (p[name + ".beta"] - mean * scale)

    def activate(self, name, x, act):
        return ACTS[act](x) if act else x

    def add(self, name, a, b):
        return a + b

    def mul(self, name, a, b):
        return a * b

    def global_mean(self, name, x):
        return x.mean((1, 2), keepdims=True)

    def concat(self, name, xs):
        return jnp.concatenate(xs, -1)

    def upsample(self, name, x):
        return jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)

    def grid(self, levels):
        return jnp.concatenate([x.reshape(x.shape[0], -1, x.shape[-1]) for x in levels], 1)


class Onnx:
    """Emits the network as ONNX nodes. A tensor is (name, channels)."""

    def __init__(self, params):
        self.params, self.nodes, self.constants = params, [], []

    def channels(self, x):
        return x[1]

    def _node(self, op, name, inputs, channels, **attributes):
        from onnx import helper
        self.nodes.append(helper.make_node(op, inputs, [name + "_out"], name=name, **attributes))
        return name + "_out", channels

    def _constant(self, name, array):
        from onnx import numpy_helper
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def conv(self, name, x, out, k, stride=1, act=None, depthwise=False, norm=True):
        p = {q: np.asarray(self.params[f"{name}.{q}"]) for q in (("w", "gamma", "beta", "mean", "var") if norm else ("w", "b"))}
        inputs = [x[0], self._constant(name + ".weight", p["w"].transpose(3, 2, 0, 1))]
        if not norm:
            inputs.append(self._constant(name + ".bias", p["b"]))
        y = self._node("Conv", name + "/conv", inputs, out, kernel_shape=[k, k], strides=[stride] * 2,
                       pads=[k // 2] * 4, dilations=[1, 1], group=out if depthwise else 1)
        if norm:
            four = [self._constant(f"{name}.bn.{q}", p[q]) for q in ("gamma", "beta", "mean", "var")]
            y = self._node("BatchNormalization", name + "/bn", [y[0]] + four, out, epsilon=EPS)
        return self.activate(name, y, act)

    def activate(self, name, x, act):
        if act is None:
            return x
        if act == "relu6":
            low, high = (self._constant(f"{name}.{n}", np.float32(v)) for n, v in (("low", 0), ("high", 6)))
            return self._node("Clip", name + "/relu6", [x[0], low, high], x[1])
        if act == "silu":
            s = self._node("Sigmoid", name + "/sigmoid", [x[0]], x[1])
            return self._node("Mul", name + "/silu", [x[0], s[0]], x[1])
        return self._node({"relu": "Relu", "sigmoid": "Sigmoid"}[act], f"{name}/{act}", [x[0]], x[1])

    def add(self, name, a, b):
        return self._node("Add", name, [a[0], b[0]], a[1])

    def mul(self, name, a, b):
        return self._node("Mul", name, [a[0], b[0]], a[1])

    def global_mean(self, name, x):
        return self._node("GlobalAveragePool", name, [x[0]], x[1])

    def concat(self, name, xs):
        return self._node("Concat", name, [x[0] for x in xs], sum(x[1] for x in xs), axis=1)

    def upsample(self, name, x):
        scales = self._constant(name + ".scales", np.array([1, 1, 2, 2], np.float32))
        return self._node("Resize", name, [x[0], "", scales], x[1], mode="nearest",
                          coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    def grid(self, levels):
        flat = []
        for s, x in zip(STRIDES, levels):
            shape = self._constant(f"grid{s}.shape", np.array([1, x[1], -1], np.int64))
            flat.append(self._node("Reshape", f"grid{s}/reshape", [x[0], shape], x[1])[0])
        y = self._node("Concat", "grid/concat", flat, levels[0][1], axis=2)
        return self._node("Transpose", "grid/transpose", [y[0]], y[1], perm=[0, 2, 1])


def to_onnx(params, path, h, w):
    import onnx
    from onnx import TensorProto, helper
    g = Onnx(params)
    name, channels = patrol(g, ("image", 3))
    g.nodes[-1].output[0] = "detections"
    cells = sum((h // s) * (w // s) for s in STRIDES)
    graph = helper.make_graph(
        g.nodes, "patrol",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, h, w])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, cells, channels])], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="patrol recipe")
    model.ir_version = 7
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return model
