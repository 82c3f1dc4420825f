"""The two clips that travel with the model, drawn with seeds that training never sees, and their labels.

Stored as Y4M, 4:2:0: raw, so the sensor noise is in it as drawn, and readable without a decoder. Labels come twice:
JSON (every object, by frame) and the CSV that the tool's AP50 reads: frame, x, y, w, h, class, evaluate, where
evaluate is 0 for an unclear object and for the empty box that marks a frame without objects as labelled, so that
false alarms in it count. Each clip is a list of takes: a scene, its cast and how long it lasts; between takes is a
hard cut. Time runs on through a clip.
"""

import json

import numpy as np

import scenes
from scenes import Actor, Scene

FPS = 12


def calibration():
    """Two places; every class, a quiet start, a dimmer second half, a flickering lamp."""
    cast = [Actor("walker", 21, 38, x=-10, foot=86, at=0.5, vx=36), Actor("car", 22, 50, x=150, foot=80, at=1.2, vx=-62)]
    yield Scene(700_010, cast, noise=1.6, gain=0.95, step=(1e9, 1), bush=True, lamp=False, front=False), 34
    cast = [Actor("ball", 24, 16, x=-8, foot=84, at=2.9, vx=58), Actor("walker", 25, 30, x=100, foot=72, at=3.9, vx=-13)]
    yield Scene(700_001, cast, noise=2.2, gain=0.8, step=(1e9, 1), bush=False, lamp=True, front=False), 26


def evaluation():
    """Quiet for a second; a walker crosses, stops, is passed by a car; quiet again, then the exposure steps down; cut to
    a second place, where someone stands while a ball goes by, and then only stands."""
    cast = [Actor("walker", 31, 40, x=-12, foot=90, at=1.0, vx=44, pause=(2.2, 0.9)),
            Actor("car", 32, 46, x=160, foot=74, at=2.3, vx=-78)]
    yield Scene(800_005, cast, noise=1.4, gain=0.95, drift=0.04, step=(5.9, 0.78), bush=True, lamp=False, front=False), 84
    cast = [Actor("walker", 33, 34, x=74, foot=80, at=7.0, vx=0.6), Actor("ball", 34, 15, x=-10, foot=88, at=7.2, vx=70)]
    yield Scene(800_010, cast, noise=1.2, gain=0.9, step=(1e9, 1), bush=False, lamp=False, front=True), 36


def play(takes):
    """Yields (yuv planes, labels, take) for each frame."""
    n = 0
    for k, (scene, frames) in enumerate(takes):
        for _ in range(frames):
            img, labels = scene.frame(n / FPS)
            yield scenes.to_yuv(img), labels, k
            n += 1


def write(takes, path, labels_path=None):
    rows, images = [], []
    with open(path, "wb") as f:
        f.write(f"YUV4MPEG2 W{scenes.W} H{scenes.H} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for planes, labels, take in play(takes):
            f.write(b"FRAME\n" + b"".join(p.tobytes() for p in planes))
            images.append(scenes.to_rgb(*planes))
            rows.append({"take": take, "objects": [dict(o, **{"class": scenes.CLASSES[o["class"]]}) for o in labels]})
    if labels_path:
        labels_path.with_suffix(".json").write_text(as_json(rows))
        labels_path.with_suffix(".csv").write_text(as_csv(rows))
    return np.stack(images), rows


def as_json(rows):
    head = {"classes": scenes.CLASSES, "width": scenes.W, "height": scenes.H, "fps": FPS, "boxes": "x1 y1 x2 y2, pixels"}
    lines = ",\n".join("    " + json.dumps(r) for r in rows)
    return json.dumps(head)[:-1] + ',\n  "frames": [\n' + lines + "\n  ]}\n"


def as_csv(rows):
    lines = ["frame,x,y,w,h,class,evaluate"]
    for n, row in enumerate(rows):
        for o in row["objects"]:
            x1, y1, x2, y2 = o["box"]
            lines.append(f"{n},{x1},{y1},{x2 - x1},{y2 - y1},{scenes.CLASSES.index(o['class'])},{int(not o['unclear'])}")
        if not row["objects"]:
            lines.append(f"{n},0,0,0,0,0,0")
    return "\n".join(lines) + "\n"
