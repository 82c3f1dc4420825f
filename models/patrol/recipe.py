"""Makes everything in this folder from seeds: frames to learn from, the trained detector, its ONNX file, the two clips,
and the figures in expected.json. `python recipe.py` does it all; README.md says how long it takes and with what.

    python recipe.py [train] [finish] [clips] [look] [--work DIR] [--steps N]

train   draws the training frames and trains; leaves the parameters in DIR/params.npz
finish  writes patrol.onnx, checks it, compares ONNX Runtime with JAX where it is installed, measures AP50
clips   draws calibration.y4m, evaluation.y4m and its labels, evaluation.json and .csv
look    draws detections on every fifth frame of the evaluation clip into DIR/look.png (needs OpenCV)
"""

import argparse
import json
import os
import pathlib
import platform
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import numpy as np
import onnx

import clips
import network
import pool
import scenes
import score
import training

HERE = pathlib.Path(__file__).resolve().parent
# First seeds and numbers of scenes, moments of each. The ranges do not meet, nor do they those in clips.py.
TRAINING = (100_000, 3000, 3)
HELD_OUT = (900_000, 300, 2)
SEED = 11
STEPS = 4000


def train(work, steps):
    began = time.process_time()
    images, labels = pool.make(*TRAINING)
    print(f"{len(images)} training frames drawn in {time.process_time() - began:.0f} s", flush=True)
    params, macs = training.train(images, labels, steps, SEED)
    np.savez(work / "params.npz", macs=macs, steps=steps, seconds=time.process_time() - began, **params)


def run_all(params, images):
    """Raw detections [n, N, 8] with JAX."""
    parts = [np.asarray(training.run(params, images[k:k + 20].astype(np.float32) / 255)) for k in range(0, len(images), 20)]
    return np.concatenate(parts)


def finish(work):
    stored = dict(np.load(work / "params.npz"))
    macs, steps, seconds = (stored.pop(k).item() for k in ("macs", "steps", "seconds"))
    model = network.to_onnx(stored, HERE / "patrol.onnx", scenes.H, scenes.W)
    images, labels = pool.make(*HELD_OUT)
    raw = run_all(stored, images)
    ap = score.average_precision(raw, labels)
    clip, rows = clips.write(clips.evaluation(), work / "evaluation.y4m")
    number = lambda o: {**o, "class": scenes.CLASSES.index(o["class"])}
    clip_labels = np.stack([pool.table([number(o) for o in r["objects"]]) for r in rows])
    clip_ap = score.average_precision(run_all(stored, clip), clip_labels)
    operators = {}
    for node in model.graph.node:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    figures = {
        "held_out_frames": len(images),
        "held_out_ap50": dict(zip(scenes.CLASSES, np.round(ap, 4).tolist())),
        "held_out_ap50_mean": round(float(np.mean(ap)), 4),
        "evaluation_clip_ap50": dict(zip(scenes.CLASSES, np.round(clip_ap, 4).tolist())),
        "evaluation_clip_ap50_mean": round(float(np.mean(clip_ap)), 4),
        "parameters": int(sum(v.size for k, v in stored.items() if not k.endswith(training.STATISTICS))),
        "multiply_accumulates": int(macs),
        "operators": dict(sorted(operators.items())),
        "onnxruntime_against_jax": compare(raw[:40], images[:40]),
        "training": {"frames": TRAINING[1] * TRAINING[2], "steps": steps, "batch": training.BATCH, "cpu_seconds": round(seconds)},
        "versions": {"python": platform.python_version()} | {m.__name__: m.__version__ for m in (jax, np, onnx)},
    }
    (HERE / "expected.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


def session():
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime.InferenceSession(str(HERE / "patrol.onnx"), providers=["CPUExecutionProvider"])


def compare(raw, images):
    """Largest difference between the exported file under ONNX Runtime and JAX, over all outputs of these frames."""
    s = session()
    if s is None:
        return "onnxruntime not installed"
    x = images.astype(np.float32).transpose(0, 3, 1, 2) / 255
    worst = max(float(np.abs(s.run(None, {"image": x[k:k + 1]})[0][0] - raw[k]).max()) for k in range(len(x)))
    if worst > 1e-3:
        raise SystemExit(f"patrol.onnx differs from the trained network by {worst}")
    return f"max difference {worst:.1e} over {len(x)} frames"


def draw_clips():
    clips.write(clips.calibration(), HERE / "calibration.y4m")
    clips.write(clips.evaluation(), HERE / "evaluation.y4m", HERE / "evaluation")


def look(work):
    import cv2
    s, tiles = session(), []
    frames, rows = clips.write(clips.evaluation(), work / "evaluation.y4m")
    for k in range(0, len(frames), 5):
        tile = cv2.resize(frames[k][..., ::-1], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST).copy()
        raw = s.run(None, {"image": frames[k].astype(np.float32).transpose(2, 0, 1)[None] / 255})[0][0]
        marks = [(o["box"], (255, 255, 255), "") for o in rows[k]["objects"]]
        marks += [(b, (0, 0, 255), f"{scenes.CLASSES[c]} {p:.2f}") for c, p, b in score.detections(raw)]
        for b, colour, text in marks:
            x1, y1, x2, y2 = (int(round(2 * float(v))) for v in b)
            cv2.rectangle(tile, (x1, y1), (x2, y2), colour, 1)
            cv2.putText(tile, text, (x1, y1 - 2), 0, 0.35, colour, 1)
        cv2.putText(tile, str(k), (2, 12), 0, 0.4, (0, 255, 255), 1)
        tiles.append(tile)
    cv2.imwrite(str(work / "look.png"), np.vstack([np.hstack(tiles[i:i + 6]) for i in range(0, len(tiles) // 6 * 6, 6)]))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("what", nargs="*", metavar="train|finish|clips|look", help="default: train finish clips")
    args.add_argument("--work", type=pathlib.Path, default=HERE / "work", help="intermediate files (default: work/)")
    args.add_argument("--steps", type=int, default=STEPS)
    a = args.parse_args()
    jobs = {"train": lambda: train(a.work, a.steps), "finish": lambda: finish(a.work), "clips": draw_clips, "look": lambda: look(a.work)}
    for name in a.what or ("train", "finish", "clips"):
        if name not in jobs:
            args.error(f"no step named {name!r}: {', '.join(jobs)}")
    a.work.mkdir(parents=True, exist_ok=True)
    for name in a.what or ("train", "finish", "clips"):
        jobs[name]()


if __name__ == "__main__":
    main()
