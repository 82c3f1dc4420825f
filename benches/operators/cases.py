"""The models of the sweep: a name, how the net is built, and flags for `convert`."""
import itertools

import numpy as np
from onnx import TensorProto

from net import INT8, UINT8, Net

LINE, SEQUENCE, VECTOR = (1, 4, 13, 17), (1, 8, 32), (1, 64)


class Case:
    def __init__(self, name, build, flags=(), **options):
        self.name, self.build, self.flags, self.options = name, build, flags, options

    def net(self):
        net = Net(**self.options)
        return net.done(self.build(net))


def convolutions():
    for k, s, d in itertools.product((1, 2, 3, 4, 5, 7), (1, 2, 3), (1, 2)):
        yield Case(f"conv k{k} s{s} d{d}", lambda m, k=k, s=s, d=d: m.conv("x", 8, 12, k, strides=[s, s], dilations=[d, d]))
    for pads in ([0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 2, 3]):
        yield Case(f"conv pads {pads}", lambda m, p=pads: m.conv("x", 8, 12, pads=p))
    for auto, s in itertools.product(("SAME_UPPER", "SAME_LOWER", "VALID"), (1, 2, 3)):
        build = lambda m, a=auto, s=s: m("Conv", "x", m.constant(m.weights(12, 8, 3, 3)), auto_pad=a, strides=[s, s])
        yield Case(f"conv {auto} s{s}", build)
    for g, k in itertools.product((2, 4, 8), (1, 3, 5)):
        yield Case(f"conv groups {g} k{k}", lambda m, g=g, k=k: m.conv("x", 8, 16, k, group=g))
    for k, s, d in itertools.product((3, 5, 7), (1, 2), (1, 2)):
        build = lambda m, k=k, s=s, d=d: m.conv("x", 8, 8, k, group=8, strides=[s, s], dilations=[d, d])
        yield Case(f"depthwise k{k} s{s} d{d}", build)
    yield Case("conv sequence", lambda m: m("Conv", "x", m.constant(m.weights(12, 8, 5)), pads=[2, 2]), shape=SEQUENCE)
    for name, k, how in [
        ("s2", 4, {"strides": [2, 2]}), ("s2 p1", 4, {"strides": [2, 2], "pads": [1] * 4}), ("s3", 3, {"strides": [3, 3]}),
        ("s2 extra", 3, {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}), ("d2", 3, {"dilations": [2, 2]}),
        ("s21", 3, {"strides": [2, 1]}), ("s12 p1", 4, {"strides": [1, 2], "pads": [1] * 4}),
        ("s32 pads", 4, {"strides": [3, 2], "pads": [1, 0, 2, 1]}), ("same upper", 3, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("same lower", 3, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}), ("same k1", 1, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("shape", 3, {"strides": [2, 2], "output_shape": [32, 32]}), ("longer", 3, {"strides": [2, 2], "output_shape": [34, 33]}),
        ("groups 2", 4, {"strides": [2, 2], "group": 2}), ("groups 2 s21", 3, {"strides": [2, 1], "group": 2}),
    ]:
        build = lambda m, k=k, how=how: m("ConvTranspose", "x", m.constant(m.weights(8, 6 // how.get("group", 1), k, k)), **how)
        yield Case(f"transposed {name}", build)
    for name, k, how in [("s2", 4, {"strides": [2]}), ("s5 pads", 3, {"strides": [5], "pads": [1, 2], "output_padding": [2]})]:
        yield Case(f"transposed sequence {name}", lambda m, k=k, how=how: m("ConvTranspose", "x", m.constant(m.weights(8, 4, k)), **how),
                   shape=SEQUENCE)


def norm(m, x, c):
    lists = [m.real(c, low=0.5, high=1.5), 0.2 * m.real(c), 0.2 * m.real(c), m.real(c, low=0.5, high=1.5)]
    return m("BatchNormalization", x, *(m.constant(v.astype(np.float32)) for v in lists))


def products():
    yield Case("norm", lambda m: norm(m, "x", 8))
    yield Case("norm of conv", lambda m: m("Relu", norm(m, m.conv("x", 8, 8), 8)))
    yield Case("conv of norm", lambda m: m.conv(norm(m, "x", 8), 8, 8))
    yield Case("gemm", lambda m: m("Gemm", "x", m.constant(m.weights(10, 64)), m.constant(m.real(10)), transB=1, alpha=0.5, beta=2.0), shape=VECTOR)
    yield Case("matmul", lambda m: m("Add", m("MatMul", "x", m.constant(m.weights(64, 10))), m.constant(m.real(10))), shape=VECTOR)
    yield Case("matmul of maps' lines", lambda m: m("MatMul", "x", m.constant(m.weights(16, 10))))
    yield Case("matmul from the left", lambda m: m("MatMul", m.constant(m.weights(10, 16)), "x"))
    flat = lambda m: m("Flatten", m("Relu", m.conv("x", 8, 8)))
    yield Case("flattened", lambda m: m("Gemm", flat(m), m.constant(m.weights(2048, 10) * 8 / 45)))


def pools():
    for k, s, p, counts in [(2, 2, 0, 0), (3, 1, 1, 0), (3, 1, 1, 1), (3, 2, 1, 1), (5, 1, 2, 0), (8, 8, 0, 0), (7, 1, 3, 1)]:
        how = {"kernel_shape": [k, k], "strides": [s, s], "pads": [p] * 4}
        average = lambda m, x, how=how, c=counts: m("AveragePool", x, count_include_pad=c, **how)
        yield Case(f"average k{k} s{s} p{p} {counts}", lambda m, a=average: a(m, "x"))
        yield Case(f"average of relu k{k} s{s} p{p} {counts}", lambda m, a=average: a(m, m("Relu", m.conv("x", 8, 8))))
        yield Case(f"conv of average k{k} s{s} p{p} {counts}", lambda m, a=average: m.conv(a(m, m("Relu", m.conv("x", 8, 8))), 8, 8))
        yield Case(f"maximum k{k} s{s} p{p}", lambda m, how=how: m("MaxPool", "x", **how))
    for op in ("AveragePool", "MaxPool"):
        yield Case(f"{op} ceil", lambda m, op=op: m(op, "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1))
        yield Case(f"{op} sequence", lambda m, op=op: m(op, "x", kernel_shape=[4], strides=[2]), shape=SEQUENCE)
        yield Case(f"Global{op}", lambda m, op=op: m(f"Global{op}", "x"))
    yield Case("average k17", lambda m: m("AveragePool", "x", kernel_shape=[17, 17]), shape=(1, 4, 40, 40))
    for axes, op in itertools.product(([2, 3], [2], [3], [1], [1, 2], [1, 2, 3]), ("ReduceMean", "ReduceMax")):
        yield Case(f"{op} {axes}", lambda m, op=op, a=axes: m(op, "x", axes=a, keepdims=len(a) % 2))
    for shape, axis in (((1, 4, 300, 8), 2), ((1, 4, 8, 300), 3)):
        yield Case(f"ReduceMean of 300, axis {axis}", lambda m, a=axis: m("ReduceMean", "x", axes=[a]), shape=shape)


def elements():
    operands = {"number": (), "channels": (8, 1, 1), "columns": (16,), "lines": (16, 1), "pixels": (16, 16), "all": (1, 8, 16, 16)}
    for op, (name, shape) in itertools.product(("Add", "Sub", "Mul", "Div", "Min", "Max", "Pow"), operands.items()):
        known = lambda m, s=shape: m.constant((np.abs(m.real(*s)) + 0.5).astype(np.float32))
        away = lambda m, x, op=op: m("Add", m("Abs", x), m.number(1)) if op == "Div" else x
        if op != "Pow":
            yield Case(f"{op} map, {name}", lambda m, op=op, c=known: m(op, "x", c(m)))
        yield Case(f"{op} {name}, map", lambda m, op=op, c=known, a=away: m(op, c(m), a(m, "x")))
        yield Case(f"{op} {name}, reals", lambda m, op=op, c=known, a=away: m(op, c(m), a(m, m("Softmax", m.conv("x", 8, 8), axis=1))))
    for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
        other = lambda m, x: m("Add", m("Sigmoid", x), m.number(1))
        yield Case(f"{op} of maps", lambda m, op=op: m(op, m.conv("x", 8, 8), other(m, m.conv("x", 8, 8))))
        yield Case(f"{op} one channel", lambda m, op=op: m(op, "x", other(m, m.conv("x", 8, 1))))
        yield Case(f"{op} one pixel", lambda m, op=op: m(op, "x", other(m, m("GlobalAveragePool", "x"))))
        yield Case(f"{op} one column", lambda m, op=op: m(op, "x", other(m, m("ReduceMean", "x", axes=[3]))))
    for op in ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Erf", "Softplus", "Elu", "Exp", "Abs", "Neg", "Floor",
               "Sqrt", "Log", "Reciprocal", "Mish", "Gelu", "Softsign", "Identity", "Dropout"):
        options = {"opset": 20, "spread": "above 0" if op in ("Sqrt", "Log", "Reciprocal") else "normal"}
        of = lambda m, op=op, o=options: m("Add", m("Abs", m.conv("x", 8, 8)), m.number(0.7)) if o["spread"] != "normal" else m.conv("x", 8, 8)
        yield Case(f"{op}", lambda m, op=op: m(op, "x"), **options)
        yield Case(f"{op} between convs", lambda m, op=op, of=of: m.conv(m(op, of(m)), 8, 6), opset=20)
    silu = lambda m, y: m("Mul", y, m("Sigmoid", y))
    yield Case("SiLU in parts", lambda m: silu(m, m.conv("x", 8, 8)))
    yield Case("Clip", lambda m: m("Clip", m.conv("x", 8, 8), m.number(0), m.number(6)))
    for name, shape in (("channels", (8, 1, 1)), ("pixels", (1, 16, 16))):
        yield Case(f"PRelu {name}", lambda m, s=shape: m("PRelu", m.conv("x", 8, 8), m.constant(m.real(*s))))
    for axis, opset in itertools.product((1, 2, -1), (11, 13)):
        yield Case(f"Softmax {axis} opset {opset}", lambda m, a=axis: m("Softmax", "x", axis=a), opset=opset)


def resizes():
    modes = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric")
    for coordinates, scale in itertools.product(modes, (0.6, 2.3, 2.0, 0.5)):
        for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", None):
            how = {"mode": "nearest", "nearest_mode": nearest} if nearest else {"mode": "linear"}
            how["coordinate_transformation_mode"] = coordinates
            yield Case(f"Resize {coordinates} {scale} {nearest or 'linear'}", lambda m, s=scale, how=how: m("Resize", "x", "", m.reals(1, 1, s, s), **how),
                       shape=LINE, opset=19)
    for mode, scale in itertools.product(("nearest", "linear"), (0.6, 2.3, 2.0, 0.5, 0.37)):
        yield Case(f"Resize opset 10 {mode} {scale}", lambda m, s=scale, k=mode: m("Resize", "x", m.reals(1, 1, s, s), mode=k), shape=LINE, opset=10)
        if scale > 1:
            yield Case(f"Upsample {mode} {scale}", lambda m, s=scale, k=mode: m("Upsample", "x", m.reals(1, 1, s, s), mode=k), shape=LINE, opset=9)
    crop = lambda m, mode: m("Resize", "x", m.reals(0, 0, 0.1, 0.2, 1, 1, 0.9, 0.8), "", m.ints(1, 8, 10, 12), mode=mode,
                             coordinate_transformation_mode="tf_crop_and_resize")
    for mode in ("nearest", "linear", "cubic"):
        yield Case(f"Resize crop {mode}", lambda m, k=mode: crop(m, k))
    for scale, where in ((2, "half_pixel"), (3, "half_pixel"), (4, "asymmetric"), (0.5, "half_pixel")):
        cubic = {"mode": "cubic", "coordinate_transformation_mode": where}
        yield Case(f"Resize cubic {scale} {where}", lambda m, s=scale, k=cubic: m("Resize", m.conv("x", 8, 8), "", m.reals(1, 1, s, s), **k))
    yield Case("Resize aspect", lambda m: m("Resize", "x", "", "", m.ints(20, 40), mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"), opset=18)


def moves():
    deep = lambda m, x="x": m("DepthToSpace", x, blocksize=2)
    for mode in ("constant", "edge", "reflect", "wrap"):
        pad = lambda m, x, *p, k=mode: m("Pad", x, m.ints(*p), mode=k)
        yield Case(f"Pad {mode}", lambda m, pad=pad: pad(m, "x", 0, 0, 1, 2, 0, 0, 3, 4), opset=19)
        yield Case(f"Pad {mode} of blocks", lambda m, pad=pad: pad(m, deep(m), 0, 0, 1, 2, 0, 0, 3, 4), opset=19)
        yield Case(f"Pad {mode} negative", lambda m, pad=pad: pad(m, "x", 0, 0, -1, 2, 0, 0, 3, -1), opset=19)
        yield Case(f"Pad {mode} channels", lambda m, pad=pad: pad(m, "x", 0, 1, 0, 0, 0, 2, 0, 0), opset=19)
    join = lambda m, axis, *parts: m("Concat", *parts, axis=axis)
    for axis, shape in ((1, (1, 2, 16, 16)), (2, (1, 8, 2, 16)), (3, (1, 8, 16, 3))):
        yield Case(f"Concat {axis}", lambda m, a=axis: join(m, a, "x", m.conv("x", 8, 8)))
        yield Case(f"Concat {axis} constant", lambda m, a=axis, s=shape: join(m, a, m.constant(m.real(*s)), "x"))
        yield Case(f"Concat {axis} constant, maps", lambda m, a=axis, s=shape: join(m, a, m.conv("x", 8, 8), m.constant(m.real(*s)), m.conv("x", 8, 8)))
    for mode in ("DCR", "CRD"):
        yield Case(f"DepthToSpace {mode}", lambda m, k=mode: m.conv(m("DepthToSpace", m.conv("x", 8, 8), blocksize=2, mode=k), 2, 4))
    yield Case("SpaceToDepth", lambda m: m.conv(m("SpaceToDepth", "x", blocksize=2), 32, 8))
    corner = lambda m, y, x: m("Slice", "x", m.ints(y, x), m.ints(99, 99), m.ints(2, 3), m.ints(2, 2))
    yield Case("focus", lambda m: m.conv(join(m, 1, *(corner(m, y, x) for x in (0, 1) for y in (0, 1))), 12, 8), shape=(1, 3, 32, 32))
    turned = lambda m, x: m("Transpose", m("Reshape", x, m.ints(1, 2, 4, 16, 16)), perm=[0, 2, 1, 3, 4])
    yield Case("channel shuffle", lambda m: m.conv(m("Reshape", turned(m, m.conv("x", 8, 8)), m.ints(1, 8, 16, 16)), 8, 8))
    halves = lambda m: m("Split", "x", m.ints(4, 4), outputs=2, axis=1)
    yield Case("Split", lambda m: join(m, 1, *(m.conv(y, 4, 4) for y in halves(m))), opset=13)
    for perm in ([0, 2, 3, 1], [0, 1, 3, 2], [0, 3, 1, 2]):
        yield Case(f"Transpose {perm}", lambda m, p=perm: m("Transpose", m.conv("x", 8, 8), perm=p))
    yield Case("Slice backwards", lambda m: m("Slice", "x", m.ints(-1), m.ints(-99), m.ints(3), m.ints(-1)))
    yield Case("Expand", lambda m: m("Expand", m("MaxPool", "x", kernel_shape=[16, 16]), m.ints(1, 8, 4, 4)))
    yield Case("rows of heads", lambda m: m("Reshape", m("Transpose", m.conv("x", 8, 12), perm=[0, 2, 3, 1]), m.ints(1, -1, 6)))
    first = lambda m, x="x": m("Transpose", x, perm=[0, 3, 1, 2])
    last = lambda m, x: m("Transpose", x, perm=[0, 2, 3, 1])
    picture = {"shape": (1, 32, 32, 3)}
    yield Case("channels last", lambda m: last(m, m.conv(first(m, m("Add", last(m, m.conv(first(m), 3, 8)), m.constant(m.real(8)))), 8, 4)), **picture)
    yield Case("channels last, mean", lambda m: m("ReduceMean", last(m, m("Relu", m.conv(first(m), 3, 8))), axes=[1, 2], keepdims=0), **picture)
    yield Case("open batch", lambda m: m("Relu", m.conv("x", 8, 8)), inputs=["N", 8, 16, 16])
    yield Case("open extents", lambda m: m.conv("x", 8, 8), flags=["--input-shape", "1,8,16,16"], inputs=["N", 8, "H", "W"])
    for opset in range(7, 22):
        tail = lambda m: m("Softmax", m("Flatten", m("GlobalAveragePool", m("MaxPool", norm(m, m.conv("x", 8, 8), 8), kernel_shape=[2, 2]))), axis=1)
        yield Case(f"opset {opset}", tail, opset=opset)


def codes():
    for axis, weights, kind, zero in [(0, INT8, INT8, -3), (0, INT8, UINT8, 120), (None, INT8, INT8, 0), (None, UINT8, UINT8, 128), (None, UINT8, INT8, 5)]:
        def block(m, axis=axis, weights=weights, kind=kind, zero=zero):
            w = m.coded_weights(m.weights(8, 8, 3, 3), axis, weights, zero=4 if axis is None else 0)
            y = m.coded(m("Conv", m.coded("x", 0.035, zero, kind), w, pads=[1] * 4), 0.03, zero, kind)
            return m.coded(m("Relu", y), 0.015, -128 if kind == INT8 else 0, kind)
        yield Case(f"codes conv {axis} {weights.__name__} {kind.__name__} {zero}", block, opset=13)
    x = lambda m: m.coded("x", 0.035, 3, INT8)
    for op, how in [("AveragePool", {"kernel_shape": [3, 3], "pads": [1] * 4}), ("MaxPool", {"kernel_shape": [2, 2]}), ("Sigmoid", {}), ("GlobalAveragePool", {})]:
        scale = {"AveragePool": 0.012, "GlobalAveragePool": 0.0025, "Sigmoid": 1 / 256}.get(op, 0.035)
        zero = -128 if op == "Sigmoid" else 3
        yield Case(f"codes {op}", lambda m, op=op, how=how, s=scale, z=zero: m.coded(m(op, x(m), **how), s, z, INT8), opset=13)
    for op in ("Add", "Sub", "Mul"):
        constant = lambda m: m.coded(m.constant(m.real(1, 8, 1, 1)), 0.03, 0, INT8)
        yield Case(f"codes {op} constant", lambda m, op=op: m.coded(m(op, constant(m), x(m)), 0.06, 0, INT8), opset=13)
    transposed = lambda m: m("ConvTranspose", x(m), m.coded_weights(m.weights(8, 6, 2, 2) / 2, 1), strides=[2, 1])
    yield Case("codes transposed", lambda m: m.coded(transposed(m), 0.03, 0, INT8), opset=13)
    pixels = lambda m: m("DequantizeLinear", "x", m.number(1 / 255), m.constant(np.array(0, UINT8)))
    yield Case("pixels", lambda m: m("Relu", m.conv(pixels(m), 3, 8)), opset=13, shape=(1, 3, 16, 16), kind=TensorProto.UINT8)


def cases():
    for family in (convolutions, products, pools, elements, resizes, moves, codes):
        yield from family()
