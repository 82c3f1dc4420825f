#!/usr/bin/env python3
"""Networks of torchvision as PyTorch's two exporters write them, converted and run as a user would, beside onnxruntime in float.

    pip install torch torchvision onnx onnxscript onnxruntime numpy
    python benches/operators/networks.py [--quiescent target/release/quiescent] [--only REGEX]

Weights are random, statistics of batch normalisation those of the frames, frames smooth noise of 96 x 96. Judged on four frames that were not
calibrated on: the tool's own float execution, which is what `eval` goes by, dense int8, and onnxruntime's int8 (static QDQ, a scale per
output channel, the same frames); relative error (L2, worst output). A random deep network amplifies rounding, so int8 is for comparison
only; the float column has to be rounding.
"""
import argparse
import pathlib
import re
import shutil
import warnings

import numpy as np
import onnxruntime
import torch
import torchvision
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from sweep import ROOT, dumps, relative_error, run

CLASSIFIERS = (
    "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "mobilenet_v3_large", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1",
)
SEGMENTERS = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50")
EXPORTERS = {"dynamo, opset 18": {"dynamo": True, "opset_version": 18}, "legacy, opset 13": {"dynamo": False, "opset_version": 13}}


class Mask(torch.nn.Module):
    """The mask of a segmenter, whose output is a dictionary."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)["out"]


class Frames:
    """Smooth noise of the input's shape."""

    shape = (1, 3, 96, 96)

    def clip(self, count, seed):
        coarse = torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
        return torch.nn.functional.interpolate(coarse, self.shape[2:], mode="bilinear")


def network(name, frames):
    torch.manual_seed(7)
    keep = {"weights": None} | ({"init_weights": True} if name == "googlenet" else {})
    if name in SEGMENTERS:
        made = Mask(torchvision.models.segmentation.__dict__[name](weights=None, weights_backbone=None, num_classes=21))
    else:
        made = torchvision.models.__dict__[name](**keep)
    norms = [m for m in made.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.6, 1.4)
        norm.momentum = None
        norm.reset_running_stats()
    made.train()
    with torch.no_grad():
        made(frames.clip(8, 1))
    return made.eval()


class Calibration(CalibrationDataReader):
    def __init__(self, clip):
        self.left = iter(clip)

    def get_next(self):
        frame = next(self.left, None)
        return None if frame is None else {"x": frame}


def session(model):
    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])


def peer(folder, float_session, frames, calib, test):
    """The error of onnxruntime's own int8."""
    ready, quantised = folder / "ready.onnx", folder / "int8.onnx"
    quant_pre_process(str(folder / "m.onnx"), str(ready))
    quantize_static(str(ready), str(quantised), Calibration(calib), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    int8 = session(quantised)
    names = [o.name for o in int8.get_outputs()]
    return relative_error(float_session, frames, test, [dict(zip(names, int8.run(None, {"x": frame}))) for frame in test])


def judge(name, exporter, arguments):
    frames = Frames()
    folder = arguments.work / re.sub(r"\W+", "_", f"{name} {exporter}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = network(name, frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(made, (frames.clip(1, 2),), str(folder / "m.onnx"), input_names=["x"], verbose=False, **EXPORTERS[exporter])
    calib = frames.clip(8, 1)[:, None].numpy()
    np.save(folder / "calib.npy", calib)
    test = frames.clip(4, 2)[:, None].numpy()
    np.save(folder / "test.npy", test)
    q, artifact = arguments.quiescent, folder / "m.qsc"
    steps = (
        ("convert", folder / "m.onnx", "-o", artifact, "--calib", folder / "calib.npy", "--gates", "off"),
        ("eval", artifact, "--against", folder / "m.onnx", "-i", folder / "test.npy", "--dense", "--dump-reference", folder / "float"),
        ("run", artifact, "-i", folder / "test.npy", "--dense", "--dump", folder / "int8"),
    )
    for step in steps:
        status, said = run(q, *step)
        if status != 0:
            return f"{'PANIC' if 'panicked' in said else 'refused'} | {said[:200]}"
    reference = session(folder / "m.onnx")
    float_error, int8_error = (relative_error(reference, frames, test, dumps(folder / made)) for made in ("float", "int8"))
    theirs = peer(folder, reference, frames, calib, test)
    shutil.rmtree(folder)
    return f"{float_error:.1e} | {100 * int8_error:.1f} % | {100 * theirs:.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiescent", default=ROOT / "target/release/quiescent")
    parser.add_argument("--work", type=pathlib.Path, default="/tmp/quiescent-networks")
    parser.add_argument("--only", default="", help="names of networks, a regular expression")
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    torch.set_num_threads(1)
    print("| network | exporter | float | int8 | onnxruntime int8 |\n|---|---|---|---|---|")
    for name in filter(re.compile(arguments.only).search, CLASSIFIERS + SEGMENTERS):
        for exporter in EXPORTERS:
            print(f"| {name} | {exporter} | {judge(name, exporter, arguments)} |", flush=True)


if __name__ == "__main__":
    main()
