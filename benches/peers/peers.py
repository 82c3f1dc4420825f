#!/usr/bin/env python3
"""Dense inference of the asset set's CNNs: Quiescent int8 beside ONNX Runtime, OpenVINO and LiteRT, f32 and int8, MNN, ncnn and tract.

    cargo build --release -p quiescent-benches
    QUIESCENT_ASSETS=... taskset -c 1 python benches/peers/peers.py [--rounds 40] [--record benches/record/peers.md] [MODEL ...]

One thread each, one core (taskset), one process tree. All engines take the same frames, and take turns frame by frame:
round r runs every engine once on frame r, so that a slow moment of the machine hits all of them. Quiescent is the
program `steps` and tract the program `tract`, asked over a pipe; they time their own step as the others are timed here: from
the input to outputs in f32.

The int8 peers run the usual post-training quantisation, onnxruntime.quantization.quantize_static with QDQ nodes, per
channel, u8 activations and s8 weights, calibrated on the same frames; models that come quantised run as they are. The
quantised files are kept in --cache. MNN and ncnn, where they are installed (pip install MNN ncnn pnnx), run the f32 model through
their own converters. So does LiteRT with XNNPACK (pip install ai-edge-litert onnx2tf tensorflow-cpu tf_keras onnx_graphsurgeon
sng4onnx onnxsim), and besides it an int8 form, quantised by TensorFlow on the same frames (litert.py). tract takes the ONNX file. It
executes QDQ nodes one by one, 1.3 to 4.6 times slower than the f32 file: it gets them only where the model comes with them.

A peer whose first outputs are not those of ONNX Runtime in f32 is not timed; int8 ones may differ as much as ONNX Runtime's own do.
"""
import argparse
import datetime
import importlib.metadata
import pathlib
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import onnx

import litert
import setup

# Largest difference of outputs, as a share of the largest: f32, and int8, where ONNX Runtime's own reach 0.43.
F32, INT8 = 0.02, 0.5


class Server:
    """A program that times its own steps."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready, *self.facts = self.process.stdout.readline().split() or [""]
        if ready != "ready":
            causes = [line.strip() for line in self.process.stderr if re.match(r"(Error|    \d+): ", line)]
            raise RuntimeError(" ".join(causes[:1] + causes[-1:]) or f"{command[0]} did not start")

    def step(self, _frame):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()) * 1e-6

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()


class Quiescent(Server):
    """The best kernel set, or the one named."""

    def __init__(self, binary, model, frames, *kernels):
        super().__init__(binary, model, frames, *kernels)
        self.kernels, self.macs = self.facts[0], int(self.facts[1])


class Tract(Server):
    def __init__(self, binary, path, frames, folder):
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        super().__init__(binary, str(path), frames, str(folder))
        self.first = [np.load(file) for file in sorted(folder.iterdir())]

    def outputs(self, _first):
        return self.first


class Peer:
    """A function of one frame, timed here; `prepare` puts the frame into its layout before."""

    def __init__(self, run, prepare=lambda frame: frame):
        self.run, self.prepare = run, prepare

    def outputs(self, frame):
        return self.run(self.prepare(frame))

    def step(self, frame):
        frame = self.prepare(frame)
        start = time.perf_counter_ns()
        self.run(frame)
        return (time.perf_counter_ns() - start) * 1e-6

    def close(self):
        pass


def onnxruntime_peer(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Peer(lambda frame: session.run(None, {name: frame}))


def openvino_peer(path, shape):
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    if model.inputs[0].partial_shape.is_dynamic:
        model.reshape(shape)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    outputs = range(len(compiled.outputs))

    def run(frame):
        request.infer({0: frame})
        return [request.get_output_tensor(k).data for k in outputs]

    return Peer(run)


def mnn_peer(path, _frames, cache):
    import MNN

    file = cache / f"{path.stem}.mnn"
    if not file.exists():
        # What the command `mnnconvert` does, without its report over the network, for which it installs packages.
        tool = [sys.executable, "-c", "import sys, _tools; _tools.mnnconvert(sys.argv)"]
        setup.convert([*tool, "-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(file), "--bizCode", "peers"], cache)
    net = MNN.Interpreter(str(file))
    session = net.createSession({"numThread": 1, "backend": "CPU", "precision": "high"})
    place = net.getSessionInput(session)
    order = MNN.Tensor_DimensionType_Caffe
    outputs = net.getSessionOutputAll(session)
    hosts = {n: MNN.Tensor(t.getShape(), t.getDataType(), np.zeros(t.getShape(), np.float32), order) for n, t in outputs.items()}

    def step(frame):
        place.copyFrom(MNN.Tensor(frame.shape, MNN.Halide_Type_Float, frame, order))
        net.runSession(session)
        for name, tensor in outputs.items():
            tensor.copyToHostTensor(hosts[name])

    peer = Peer(step)
    peer.outputs = lambda frame: (step(frame), [np.array(t.getData(), np.float32) for t in hosts.values()])[1]
    return peer


def ncnn_peer(path, frames, cache):
    import ncnn

    folder = cache / f"{path.stem}.pnnx"
    folder.mkdir(exist_ok=True)
    base = folder / path.stem.replace(".", "_").replace("-", "_")
    if not base.with_suffix(".ncnn.param").exists():
        copy = base.with_suffix(".onnx")
        copy.write_bytes(path.read_bytes())
        setup.convert(["pnnx", copy.name, "inputshape=[" + ",".join(map(str, frames[0].shape)) + "]"], folder)
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    if net.load_param(str(base.with_suffix(".ncnn.param"))) or net.load_model(str(base.with_suffix(".ncnn.bin"))):
        raise RuntimeError("ncnn does not load what pnnx made")

    def run(frame):
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], ncnn.Mat(frame[0]))
        results = [extractor.extract(name) for name in net.output_names()]
        if any(status for status, _ in results):
            raise RuntimeError("ncnn does not run what pnnx made")
        return [np.array(result) for _, result in results]

    return Peer(run)


def litert_peer(path, frames, cache, int8=False):
    return Peer(litert.runner(path, frames, cache, int8), litert.turned)


CONVERTED = {
    "MNN f32": (mnn_peer, F32),
    "ncnn f32": (ncnn_peer, F32),
    "LiteRT f32": (litert_peer, F32),
    "LiteRT int8": (lambda *model: litert_peer(*model, int8=True), INT8),
}


def probe(name, path, file):
    """In a process of its own, for not every model that converts runs, and not every failure is an exception."""
    frames = np.load(file)
    CONVERTED[name][0](path, frames, path.parent).step(frames[0])


def survives(name, path, frames, cache):
    file = cache / "probe.npy"
    np.save(file, frames)
    done = subprocess.run([sys.executable, __file__, "--probe", name, str(path), str(file)], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"died with status {done.returncode}"])[-1])


def converted_peer(name, path, frames, reference, cache):
    survives(name, path, frames, cache)
    make, within = CONVERTED[name]
    return checked(make(path, frames, cache), reference, frames[0], within)


def checked(peer, reference, frame, within):
    """The peer, if its outputs are the reference's, in any order and shape."""
    rest = [np.sort(np.ravel(x)) for x in peer.outputs(frame)]
    for w in (np.sort(np.ravel(x)) for x in reference.outputs(frame)):
        w = w.astype(np.float32)
        k = next((k for k, f in enumerate(rest) if f.shape == w.shape and np.abs(f - w).max() <= within * max(1e-3, np.abs(w).max())), None)
        if k is None:
            peer.close()
            raise RuntimeError("its outputs are not those of ONNX Runtime")
        rest.pop(k)
    return peer


def makers(model, frames, cache, tract_binary):
    """The peers of a model: functions of those already made that make one each."""
    ready, quantised, already = setup.models(model, frames, cache)
    shape = list(frames.shape[1:])
    made = {}
    if not already:
        made["ORT f32"] = lambda _: onnxruntime_peer(ready)
        made["OpenVINO f32"] = lambda _: openvino_peer(ready, shape)
        for name in CONVERTED:
            made[name] = lambda engines, name=name: converted_peer(name, ready, frames, engines["ORT f32"], cache)
    if quantised:
        made["ORT int8"] = lambda _: onnxruntime_peer(quantised)
        made["OpenVINO int8"] = lambda _: openvino_peer(quantised, shape)
    known, within = ("ORT int8", INT8) if already else ("ORT f32", F32)
    tract = lambda: Tract(tract_binary, quantised if already else ready, str(setup.npy(model, frames, cache)), cache / "tract")
    made["tract"] = lambda engines: checked(tract(), engines[known], frames[0], within)
    return made


def start(makers, frames):
    """Engines that run, and why the others do not."""
    engines, failed = {}, []
    for name, make in makers.items():
        try:
            engines[name] = make(engines)
            for frame in frames[:3]:
                engines[name].step(frame)
        except Exception as error:  # A peer that cannot run a model is a row of the table.
            engines.pop(name, None)
            failed.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
    return engines, failed


def measure(model, arguments):
    frames, source = setup.frames(model)
    cache = pathlib.Path(arguments.cache)
    ours = lambda _: Quiescent(arguments.steps, model, str(setup.npy(model, frames, cache)))
    engines, failed = start({"Quiescent int8": ours, **makers(model, frames, cache, arguments.tract)}, frames)
    times = {name: [] for name in engines}
    end = time.monotonic() + arguments.seconds
    for r in range(arguments.rounds):
        order = list(engines.items())
        for name, engine in order[r % len(order):] + order[: r % len(order)]:
            times[name].append(engine.step(frames[r % len(frames)]))
        if r >= 10 and time.monotonic() > end:
            break
    ours = engines.get("Quiescent int8")
    facts = (ours.kernels, ours.macs) if ours else ("-", 0)
    for engine in engines.values():
        engine.close()
    return times, failed, facts, source


def table_row(model, times, macs):
    cells = [model, f"{macs / 1e6:.1f}"]
    for name in COLUMNS:
        t = times.get(name)
        cells.append(f"{min(t):.3f} / {statistics.median(t):.3f}" if t else "-")
    peers = {n: t for n, t in times.items() if n != "Quiescent int8"}
    ours = times.get("Quiescent int8")
    if peers and ours:
        best = min(peers, key=lambda n: min(peers[n]))
        middle = min(peers, key=lambda n: statistics.median(peers[n]))
        cells.append(best)
        cells.append(f"{min(peers[best]) / min(ours):.2f}")
        cells.append(f"{statistics.median(peers[middle]) / statistics.median(ours):.2f}")
    else:
        cells += ["-", "-", "-"]
    return "| " + " | ".join(cells) + " |"


COLUMNS = ["Quiescent int8", "ORT f32", "ORT int8", "OpenVINO f32", "OpenVINO int8", "MNN f32", "ncnn f32", "LiteRT f32", "LiteRT int8", "tract"]
HEAD = (
    "| model | MMAC | " + " | ".join(COLUMNS) + " | best peer | ratio of minima | ratio of medians |\n"
    "|---|---|" + "---|" * len(COLUMNS) + "---|---|---|"
)


def others():
    """Versions of the peers that need not be there, and of tract."""
    found = ""
    for name, package in (("MNN", "MNN"), ("ncnn", "ncnn"), ("LiteRT", "ai-edge-litert"), ("onnx2tf", "onnx2tf"), ("TensorFlow", "tensorflow-cpu")):
        try:
            found += f"{name} {importlib.metadata.version(package)}, "
        except importlib.metadata.PackageNotFoundError:
            pass
    lock = (setup.ROOT / "Cargo.lock").read_text(encoding="utf-8")
    return found + "tract " + re.search(r'name = "tract-onnx"\nversion = "(.*)"', lock)[1] + ", "


def processor():
    """Its name, and family and model, for names may say little."""
    facts = dict(re.findall(r"^(.*?)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M))
    return "{}, family {}, model {}".format(*(facts.get(k, "unknown") for k in ("model name", "cpu family", "model")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=10, help="stop a model's rounds after this long (at least 10 rounds)")
    parser.add_argument("--steps", default=str(setup.ROOT / "target/release/steps"))
    parser.add_argument("--tract", default=str(setup.ROOT / "target/release/tract"))
    parser.add_argument("--cache", default="/tmp/quiescent-peers")
    parser.add_argument("--record")
    parser.add_argument("--probe", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        name, path, file = arguments.probe
        return probe(name, pathlib.Path(path), file)
    pathlib.Path(arguments.cache).mkdir(parents=True, exist_ok=True)
    import onnxruntime
    import openvino

    onnxruntime.set_default_logger_severity(4)
    rows, notes, kernels, revision = [], [], "-", "-"
    print(HEAD)
    for model in arguments.models or setup.MODELS:
        times, failed, (kernels, macs), source = measure(model, arguments)
        rows.append(table_row(model, times, macs))
        notes += [f"{model}: {f}" for f in failed]
        print(rows[-1], flush=True)
    for note in notes:
        print("-", note)
    if arguments.record:
        git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=setup.ROOT, capture_output=True, text=True)
        revision = git.stdout.strip() or revision
        cores = open("/proc/self/status", encoding="ascii").read().split("Cpus_allowed_list:")[1].split()[0]
        text = [
            "# Dense int8 beside its peers",
            "",
            f"- Date: {datetime.date.today()}; revision {revision}",
            f"- Machine: {processor()}, shared with other work; core {cores}, one thread each",
            f"- Kernel set: {kernels}; onnxruntime {onnxruntime.__version__}, OpenVINO {openvino.__version__}, {others()}onnx {onnx.__version__}, "
            f"Python {sys.version.split()[0]}",
            f"- Command: `taskset -c {cores} python benches/peers/peers.py --rounds {arguments.rounds} --seconds {arguments.seconds:g}`",
            "- Cells: minimum / median ms of one inference; ratio: best peer over Quiescent, above 1 where Quiescent is faster.",
            "",
            HEAD,
            *rows,
            "",
            *[f"- {n}" for n in notes],
        ]
        pathlib.Path(arguments.record).write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
