#!/usr/bin/env python3
"""Gated frames of Quiescent beside dense inferences of the peers, in one run.

    cargo build --release -p quiescent-benches
    QUIESCENT_ASSETS=... taskset -c 1 python benches/peers/gated.py MODEL ARTIFACT CLIP SCALE [MODEL ARTIFACT CLIP SCALE ...] [--frames 200] [--rounds 20]

MODEL is one of the asset set, ARTIFACT what `frontier --save` (or `convert`) made of it with gates, CLIP a video. In every round the clip runs
once gated at SCALE and once dense, from a cold start, and each peer infers for as long as the gated pass took; rounds follow one another on one core. Times are
means over a pass's frames, the first apart, and of a peer's turn the least; of all rounds the least and the median. Peers are those of
`peers.py`, each at its best of f32 and int8; a frame costs them the same whatever it shows.
"""
import argparse
import pathlib
import statistics
import time

import peers
import setup


class Pass(peers.Server):
    """The program `gated`; a step is a pass, its time that of a frame."""

    def __init__(self, *command):
        super().__init__(*command)
        self.kernels, self.work, self.timed = self.facts[0], float(self.facts[1]), int(self.facts[2])


def measure(model, artifact, clip, scale, arguments):
    frames, _ = setup.frames(model)
    ours = {name: Pass(arguments.gated, artifact, clip, str(arguments.frames), mode) for name, mode in (("gated", scale), ("dense", "dense"))}
    engines, failed = peers.start(peers.makers(model, frames, pathlib.Path(arguments.cache), arguments.tract), frames)
    times = {name: [] for name in [*ours, *engines]}
    for r in range(arguments.rounds):
        for name, engine in ours.items():
            times[name].append(engine.step(None))
        turn = times["gated"][-1] * ours["gated"].timed * 1e-3
        for name, engine in engines.items():
            end, taken = time.monotonic() + turn, []
            while not taken or time.monotonic() < end:
                taken.append(engine.step(frames[(r + len(taken)) % len(frames)]))
            times[name].append(min(taken))
    for engine in [*ours.values(), *engines.values()]:
        engine.close()
    return times, failed, ours["gated"]


def table_row(model, clip, scale, times, gated):
    least = {name: min(t) for name, t in times.items()}
    middle = {name: statistics.median(t) for name, t in times.items()}
    others = [name for name in times if name not in ("gated", "dense")]
    best = min(others, key=least.get)
    best_middle = min(middle[name] for name in others)
    saved = 1 - least["gated"] / least["dense"]
    cells = [model, pathlib.Path(clip).stem, scale, f"{100 * gated.work:.1f} %"]
    cells += [f"{least[name]:.3f} / {middle[name]:.3f}" for name in ("gated", "dense", best)]
    cells += [best, f"{least[best] / least['gated']:.1f}", f"{best_middle / middle['gated']:.1f}", f"{saved / (1 - gated.work):.2f}"]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="MODEL ARTIFACT CLIP SCALE")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--gated", default=str(setup.ROOT / "target/release/gated"))
    parser.add_argument("--tract", default=str(setup.ROOT / "target/release/tract"))
    parser.add_argument("--cache", default="/tmp/quiescent-peers")
    arguments = parser.parse_args()
    if len(arguments.runs) % 4:
        parser.error("MODEL ARTIFACT CLIP SCALE, four for each run")
    pathlib.Path(arguments.cache).mkdir(parents=True, exist_ok=True)
    columns = ["model", "clip", "scale", "work left", "gated ms", "dense ms", "fastest peer ms", "which", "ratio of minima", "of medians", "time saved / work saved"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    notes = []
    for k in range(0, len(arguments.runs), 4):
        model, artifact, clip, scale = arguments.runs[k : k + 4]
        times, failed, gated = measure(model, artifact, clip, scale, arguments)
        print(table_row(model, clip, scale, times, gated), flush=True)
        notes += [f"{model}: {f}" for f in failed]
    for note in dict.fromkeys(notes):
        print("-", note)
    print(f"- {peers.processor()}, kernels {gated.kernels}, {peers.others()}{arguments.rounds} rounds of {arguments.frames} frames")


if __name__ == "__main__":
    main()
