#!/usr/bin/env python3
"""Dense inference of the asset set's CNNs: Quiescent int8 beside ONNX Runtime and OpenVINO, f32 and int8, MNN and ncnn.

    cargo build --release -p quiescent-benches
    QUIESCENT_ASSETS=... taskset -c 1 python benches/peers/peers.py [--rounds 40] [--record benches/record/peers.md] [MODEL ...]

One thread each, one core (taskset), one process tree. All engines take the same frames, and take turns frame by frame:
round r runs every engine once on frame r, so that a slow moment of the machine hits all of them. Quiescent is the
program `steps`, asked over a pipe; it times its own step as the others are timed here: from the input to outputs in f32.

The int8 peers run the usual post-training quantisation, onnxruntime.quantization.quantize_static with QDQ nodes, per
channel, u8 activations and s8 weights, calibrated on the same frames; models that come quantised run as they are. The
quantised files are kept in --cache. MNN and ncnn, where they are installed (pip install MNN ncnn pnnx), run the f32 model through their own converters. A
peer whose first outputs are not those of ONNX Runtime in f32 is not timed.
"""
import argparse
import datetime
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import onnx

import setup


class Quiescent:
    """The step server, of the best kernel set or the one named."""

    def __init__(self, binary, model, frames, *kernels):
        self.process = subprocess.Popen([binary, model, frames, *kernels], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline().split()
        if not first or first[0] != "ready":
            raise RuntimeError(f"{binary} did not start for {model}")
        self.kernels, self.macs = first[1], int(first[2])

    def step(self, _frame):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()) * 1e-6

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()


class Peer:
    """A function of one frame, timed here."""

    def __init__(self, run):
        self.run = run

    def step(self, frame):
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


def convert(command, cache):
    done = subprocess.run(command, cwd=cache, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def mnn_peer(path, cache):
    import MNN

    file = cache / f"{path.stem}.mnn"
    if not file.exists():
        convert(["mnnconvert", "-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(file), "--bizCode", "peers"], cache)
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


def ncnn_peer(path, shape, cache):
    import ncnn

    folder = cache / f"{path.stem}.pnnx"
    folder.mkdir(exist_ok=True)
    base = folder / path.stem.replace(".", "_").replace("-", "_")
    if not base.with_suffix(".ncnn.param").exists():
        copy = base.with_suffix(".onnx")
        copy.write_bytes(path.read_bytes())
        convert(["pnnx", copy.name, "inputshape=[" + ",".join(map(str, shape)) + "]"], folder)
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


CONVERTED = {
    "MNN f32": lambda path, shape, cache: mnn_peer(path, cache),
    "ncnn f32": ncnn_peer,
}


def probe(name, path, file):
    """In a process of its own, for not every model that converts runs, and not every failure is an exception."""
    frame = np.load(file)
    CONVERTED[name](path, list(frame.shape), path.parent).step(frame)


def survives(name, path, frame, cache):
    file = cache / "probe.npy"
    np.save(file, frame)
    done = subprocess.run([sys.executable, __file__, "--probe", name, str(path), str(file)], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"died with status {done.returncode}"])[-1])


def converted_peer(name, path, frame, reference, cache):
    survives(name, path, frame, cache)
    peer = CONVERTED[name](path, list(frame.shape), cache)
    if not right(peer, reference, frame):
        raise RuntimeError("its outputs are not those of ONNX Runtime")
    return peer


def right(peer, reference, frame):
    """Whether a peer's outputs are the reference's, in any order and shape."""
    found = getattr(peer, "outputs", peer.run)(frame)
    wanted = reference.run(frame)
    rest = [np.sort(np.ravel(x)) for x in found]
    for w in (np.sort(np.ravel(x)) for x in wanted):
        k = next((k for k, f in enumerate(rest) if f.shape == w.shape and np.abs(f - w).max() <= 0.02 * max(1e-3, np.abs(w).max())), None)
        if k is None:
            return False
        rest.pop(k)
    return True


def measure(model, arguments):
    frames, source = setup.frames(model)
    cache = pathlib.Path(arguments.cache)
    file = cache / f"{model}.npy"
    # Integer inputs travel as they are; `steps` reads float32, uint8 and int8.
    np.save(file, frames.reshape((-1,) + frames.shape[2:]) if frames.shape[1] == 1 else frames)
    ready, quantised, already = setup.models(model, frames, cache)
    engines, failed = {}, []
    makers = {"Quiescent int8": lambda: Quiescent(arguments.steps, model, str(file))}
    if not already:
        makers["ORT f32"] = lambda: onnxruntime_peer(ready)
        makers["OpenVINO f32"] = lambda: openvino_peer(ready, list(frames.shape[1:]))
        for name in CONVERTED:
            makers[name] = lambda name=name: converted_peer(name, ready, frames[0], engines["ORT f32"], cache)
    if quantised:
        makers["ORT int8"] = lambda: onnxruntime_peer(quantised)
        makers["OpenVINO int8"] = lambda: openvino_peer(quantised, list(frames.shape[1:]))
    for name, make in makers.items():
        try:
            engines[name] = make()
            for frame in frames[:3]:
                engines[name].step(frame)
        except Exception as error:  # A peer that cannot run a model is a row of the table.
            engines.pop(name, None)
            failed.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
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


COLUMNS = ["Quiescent int8", "ORT f32", "ORT int8", "OpenVINO f32", "OpenVINO int8", "MNN f32", "ncnn f32"]
HEAD = (
    "| model | MMAC | " + " | ".join(COLUMNS) + " | best peer | ratio of minima | ratio of medians |\n"
    "|---|---|" + "---|" * len(COLUMNS) + "---|---|---|"
)


def others():
    """Versions of the peers that need not be there."""
    found = ""
    for name, version in (("MNN", lambda m: m.version()), ("ncnn", lambda m: m.__version__)):
        try:
            found += f"{name} {version(__import__(name))}, "
        except ImportError:
            pass
    return found


def processor():
    for line in open("/proc/cpuinfo", encoding="ascii"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=10, help="stop a model's rounds after this long (at least 10 rounds)")
    parser.add_argument("--steps", default=str(setup.ROOT / "target/release/steps"))
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
