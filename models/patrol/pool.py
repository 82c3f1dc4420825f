"""Frames to learn from and to test on, drawn ahead of time: `make(first_seed, scenes, frames)` draws `frames` moments of
each of `scenes` scenes. Returns (images u8 [n, H, W, 3], labels f32 [n, MOST, 6]); a label row is class, x1, y1, x2, y2
and kind: 0 none, 1 object, 2 unclear. Frames pass through 4:2:0 as those of a clip do."""

import numpy as np

import scenes

MOST = 6


def table(labels):
    rows = np.zeros((MOST, 6), np.float32)
    for row, o in zip(rows, labels):
        row[:] = [o["class"], *o["box"], 2 if o["unclear"] else 1]
    return rows


def make(first_seed, count, frames):
    images, labels = [], []
    for seed in range(first_seed, first_seed + count):
        scene = scenes.Scene(seed)
        moments = np.random.default_rng((seed, 7)).uniform(3.6, 6.4, frames)
        for t in moments:
            img, found = scene.frame(float(t))
            images.append(scenes.to_rgb(*scenes.to_yuv(img)))
            labels.append(table(found))
    return np.stack(images), np.stack(labels)
