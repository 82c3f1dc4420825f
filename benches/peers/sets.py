#!/usr/bin/env python3
"""Dense inference of the asset set's CNNs by several kernel sets, in turns.

    cargo build --release -p quiescent-benches
    QUIESCENT_ASSETS=... taskset -c 1 python benches/peers/sets.py avx512vnni avxvnni avx2 [--seconds 2] [--models MODEL ...]

The program `steps` runs once for each set; they take the same frames, one after the other, so that a slow moment of the machine hits all of
them. Cells are minima in ms; ratios are the first set's minimum over another's. The last row is the geometric mean.
"""
import argparse
import math
import pathlib
import time

import peers
import setup


def minima(model, arguments):
    frames, _ = setup.frames(model)
    file = setup.npy(model, frames, pathlib.Path(arguments.cache))
    engines = [peers.Quiescent(arguments.steps, model, str(file), name) for name in arguments.sets]
    best, end, rounds = [math.inf] * len(engines), time.monotonic() + arguments.seconds, 0
    while rounds < 10 or time.monotonic() < end:
        for k, engine in enumerate(engines):
            best[k] = min(best[k], engine.step(None))
        rounds += 1
    for engine in engines:
        engine.close()
    return engines[0].macs, best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--models", nargs="*", default=setup.MODELS)
    parser.add_argument("--seconds", type=float, default=2, help="for each model")
    parser.add_argument("--steps", default=str(setup.ROOT / "target/release/steps"))
    parser.add_argument("--cache", default="/tmp/quiescent-peers")
    arguments = parser.parse_args()
    pathlib.Path(arguments.cache).mkdir(parents=True, exist_ok=True)
    first, *others = arguments.sets
    columns = ["model", "MMAC", *arguments.sets, *(f"{name} / {first}" for name in others)]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    logs = [0.0] * len(others)
    for model in arguments.models:
        macs, best = minima(model, arguments)
        ratios = [best[0] / b for b in best[1:]]
        logs = [log + math.log(r) for log, r in zip(logs, ratios)]
        cells = [model, f"{macs / 1e6:.1f}", *(f"{b:.4f}" for b in best), *(f"{r:.2f}" for r in ratios)]
        print("| " + " | ".join(cells) + " |", flush=True)
    means = [f"{math.exp(log / len(arguments.models)):.2f}" for log in logs]
    print("| " + " | ".join(["geometric mean", "", *[""] * len(arguments.sets), *means]) + " |")


if __name__ == "__main__":
    main()
