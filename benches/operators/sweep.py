#!/usr/bin/env python3
"""Models of one operator or a few, converted and run as a user would, beside onnxruntime in float.

    pip install onnx onnxruntime numpy
    python benches/operators/sweep.py [--quiescent target/release/quiescent] [--only REGEX] [--gates] [--all]

Calibrated on eight frames of noise, judged on four others: the relative error (L2, worst output). With --gates a second artifact runs a
sequence of noise of which a patch moves, at gate scale 0, on the best and the scalar kernel set: its bytes have to be the dense
network's. Every model has to agree, or be refused by an error that names operator, node and way out.
"""
import argparse
import collections
import concurrent.futures
import pathlib
import re
import shutil
import subprocess

import numpy as np
import onnx
import onnxruntime

from cases import cases

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    return done.returncode, (done.stdout + done.stderr).strip().replace("\n", " | ")


def dumps(folder):
    """Frame by frame, the outputs by name."""
    frames = collections.defaultdict(dict)
    for file in sorted(folder.iterdir()):
        number, name = re.fullmatch(r"frame(\d+)_(.*)\.npy", file.name).groups()
        frames[int(number)][name] = np.load(file)
    return [frames[k] for k in sorted(frames)]


def relative_error(session, net, frames, made):
    names = [o.name for o in session.get_outputs()]
    noise, signal = collections.Counter(), collections.Counter()
    for frame, outputs in zip(frames, made):
        for name, wanted in zip(names, session.run(None, {"x": frame.reshape(net.shape)})):
            found = outputs[name]
            if found.shape != wanted.shape:
                raise ValueError(f"{name}: shape {found.shape}, {wanted.shape} expected")
            noise[name] += float(((found.astype(np.float64) - wanted) ** 2).sum())
            signal[name] += float((wanted.astype(np.float64) ** 2).sum())
    return max((noise[n] / max(signal[n], 1e-12)) ** 0.5 for n in names)


def judge(case, arguments):
    """Status, relative error, and what was said."""
    net = case.net()
    folder = arguments.work / re.sub(r"[^\w.-]", "_", case.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    onnx.save(net.model, folder / "m.onnx")
    session = onnxruntime.InferenceSession(net.model.SerializeToString(), providers=["CPUExecutionProvider"])
    clips = {"calib": net.noise(8, 1), "test": net.noise(4, 2), "moving": net.moving(6, 3)}
    for name, clip in clips.items():
        np.save(folder / f"{name}.npy", clip)
    q, extra = arguments.quiescent, case.flags
    status, said = run(q, "convert", folder / "m.onnx", "-o", folder / "m.qsc", "--calib", folder / "calib.npy", "--gates", "off", *extra)
    if status != 0:
        return ("refused" if status in (1, 2) and "panicked" not in said else "PANIC"), None, said
    status, said = run(q, "run", folder / "m.qsc", "-i", folder / "test.npy", "--dense", "--dump", folder / "out")
    if status != 0:
        return "FAILED", None, said
    error = relative_error(session, net, clips["test"], dumps(folder / "out"))
    if arguments.gates:
        run(q, "convert", folder / "m.onnx", "-o", folder / "g.qsc", "--calib", folder / "moving.npy", "--refine", "0", *extra)
        made = []
        for k, flags in enumerate((["--dense"], ["--gate-scale", "0", "--no-pause"], ["--gate-scale", "0", "--no-pause", "--kernels", "scalar"])):
            status, said = run(q, "run", folder / "g.qsc", "-i", folder / "moving.npy", "--dump", folder / f"g{k}", *flags)
            if status != 0:
                return "FAILED", error, said
            made.append([{n: v.tobytes() for n, v in frame.items()} for frame in dumps(folder / f"g{k}")])
        if made[0] != made[1] or made[0] != made[2]:
            return "GATES DIFFER", error, ""
    return "ok", error, ""


def guarded(case, arguments):
    try:
        return judge(case, arguments)
    except Exception as fault:  # one model less, not the sweep
        return "SWEEP", None, f"{type(fault).__name__}: {fault}"[:300]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiescent", default=ROOT / "target/release/quiescent")
    parser.add_argument("--work", type=pathlib.Path, default="/tmp/quiescent-operators")
    parser.add_argument("--only", default="", help="names of models, a regular expression")
    parser.add_argument("--gates", action="store_true")
    parser.add_argument("--all", action="store_true", help="prints models below --limit too")
    parser.add_argument("--limit", type=float, default=0.03)
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    wanted = [c for c in cases() if re.search(arguments.only, c.name)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda case: guarded(case, arguments), wanted))
    for case, (status, error, said) in zip(wanted, found):
        if arguments.all or status != "ok" or error > arguments.limit:
            print(f"{case.name:44} {status:8} {'' if error is None else f'{100 * error:6.2f} %'} {said[:260]}")
    errors = [e for _, e, _ in found if e is not None]
    print(dict(collections.Counter(s for s, _, _ in found)), f"median {100 * np.median(errors):.2f} %,",
          f"{sum(e > arguments.limit for e in errors)} above {100 * arguments.limit:.0f} %")


if __name__ == "__main__":
    main()
