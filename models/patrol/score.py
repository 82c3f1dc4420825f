"""Detections from the raw grid, and average precision at IoU 0.5: area under the precision-recall curve with precision
made monotone, per class. A detection that only matches an unclear object is neither right nor wrong."""

import numpy as np

import scenes
import training


def iou(a, b):
    """a [n, 4], b [m, 4] -> [n, m]."""
    lt = np.maximum(a[:, None, :2], b[None, :, :2])
    rb = np.minimum(a[:, None, 2:], b[None, :, 2:])
    wh = np.clip(rb - lt, 0, None)
    both = wh[..., 0] * wh[..., 1]
    area = lambda q: (q[:, 2] - q[:, 0]) * (q[:, 3] - q[:, 1])
    return both / (area(a)[:, None] + area(b)[None] - both + 1e-9)


def detections(raw, at_least=0.3, nms=0.5):
    """Raw [N, 8] -> list of (class, score, box), best first; suppression within a class."""
    boxes = np.asarray(training.decode(raw))
    scores = raw[:, 4:5] * raw[:, 5:]
    cls, best = scores.argmax(1), scores.max(1)
    kept = []
    for k in np.argsort(-best, kind="stable"):
        if best[k] < at_least:
            break
        if all(c != cls[k] or iou(boxes[k:k + 1], b[None])[0, 0] <= nms for c, _, b in kept):
            kept.append((int(cls[k]), float(best[k]), boxes[k]))
    return kept


def average_precision(raws, labels):
    """Returns AP50 per class; raws [n, N, 8], labels [n, MOST, 6]."""
    found = [detections(r, 0.01) for r in raws]
    result = []
    for c in range(len(scenes.CLASSES)):
        rows, total = [], 0
        for dets, lab in zip(found, labels):
            mine = lab[(lab[:, 5] > 0) & (lab[:, 0] == c)]
            total += int((mine[:, 5] == 1).sum())
            used = np.zeros(len(mine), bool)
            for k, s, b in dets:
                if k != c:
                    continue
                o = iou(b[None], mine[:, 1:5])[0]
                wanted = np.where((mine[:, 5] == 1) & ~used & (o >= 0.5), o, 0)
                if wanted.any():
                    used[wanted.argmax()] = True
                    rows.append((s, 1))
                elif not ((mine[:, 5] == 2) & (o >= 0.5)).any():
                    rows.append((s, 0))
        rows.sort(key=lambda r: -r[0])
        hit = np.cumsum([r[1] for r in rows])
        precision = hit / np.arange(1, len(rows) + 1)
        recall = hit / max(total, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        result.append(float((np.diff(np.concatenate([[0], recall])) * envelope).sum()))
    return result
