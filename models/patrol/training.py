"""Training of the patrol detector with JAX on one CPU core: AdamW with a cosine schedule, an average of the weights, and
batch-norm statistics measured again at the end under the averaged weights.

Targets: an object belongs to stride 8 if its longer side is below 26 pixels and to stride 16 above 22, between them to
both. A cell is positive if its centre lies within one stride of the object's centre, in x and in y, or if it holds that
centre; of two candidates the smaller object wins. Cells whose centre lies in an unclear object count for nothing.
Loss: binary cross-entropy on objectness (all cells) and classes (positives), 1 - IoU and a small L1 on the encoded box
(positives), each a sum over the batch divided by the number of positives.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

import network
import scenes

SMALL_BELOW, LARGE_ABOVE = 26.0, 22.0
BATCH = 16
STATISTICS = (".mean", ".var")


def grid():
    """Cell columns, rows and strides of all cells, in the order of the output."""
    gx, gy, st = [], [], []
    for s in network.STRIDES:
        y, x = np.mgrid[0:scenes.H // s, 0:scenes.W // s]
        gx.append(x.ravel()), gy.append(y.ravel()), st.append(np.full(x.size, s))
    return tuple(np.concatenate(v).astype(np.float32) for v in (gx, gy, st))


GX, GY, ST = grid()


def decode(raw):
    """Raw rows [..., N, 4+] to boxes x1, y1, x2, y2 in pixels."""
    cx, cy = (raw[..., 0] + GX) * ST, (raw[..., 1] + GY) * ST
    w, h = jnp.exp(jnp.minimum(raw[..., 2], 4)) * ST, jnp.exp(jnp.minimum(raw[..., 3], 4)) * ST
    return jnp.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1)


def assign(labels):
    """[B, pool.MOST, 6] to (positive [B, N], ignored [B, N], box [B, N, 4], class [B, N])."""
    cx, cy = (GX + 0.5) * ST, (GY + 0.5) * ST
    x1, y1, x2, y2 = (labels[:, None, :, i] for i in (1, 2, 3, 4))
    kind = labels[:, None, :, 5]
    mx, my, side = (x1 + x2) / 2, (y1 + y2) / 2, jnp.maximum(x2 - x1, y2 - y1)
    px, py, s = cx[None, :, None], cy[None, :, None], ST[None, :, None]
    level = jnp.where(s == 8, side < SMALL_BELOW, side > LARGE_ABOVE)
    inside = (px > x1) & (px < x2) & (py > y1) & (py < y2)
    home = (jnp.floor(mx / s) == px / s - 0.5) & (jnp.floor(my / s) == py / s - 0.5)
    near = (jnp.abs(px - mx) < s) & (jnp.abs(py - my) < s) & inside
    hit = (kind == 1) & level & (home | near)
    which = jnp.argmin(jnp.where(hit, (x2 - x1) * (y2 - y1), jnp.inf), -1)
    chosen = jnp.take_along_axis(labels, which[..., None], 1)
    positive = hit.any(-1)
    return positive, ((kind == 2) & inside).any(-1) & ~positive, chosen[..., 1:5], chosen[..., 0]


def bce(logit, target):
    return jnp.maximum(logit, 0) - logit * target + jnp.log1p(jnp.exp(-jnp.abs(logit)))


def overlap(a, b):
    wh = jnp.maximum(jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2]), 0)
    both = wh[..., 0] * wh[..., 1]
    area = lambda q: (q[..., 2] - q[..., 0]) * (q[..., 3] - q[..., 1])
    return both / (area(a) + area(b) - both + 1e-6)


def loss(raw, labels):
    positive, ignored, target, cls = assign(labels)
    n = jnp.maximum(positive.sum(), 1)
    obj = jnp.where(ignored, 0, bce(raw[..., 4], positive.astype(jnp.float32))).sum() / n
    kinds = bce(raw[..., 5:], jax.nn.one_hot(cls, len(scenes.CLASSES))).sum(-1)
    encoded = jnp.stack([(target[..., 0] + target[..., 2]) / 2 / ST - GX, (target[..., 1] + target[..., 3]) / 2 / ST - GY,
                         jnp.log(jnp.maximum(target[..., 2] - target[..., 0], 1) / ST),
                         jnp.log(jnp.maximum(target[..., 3] - target[..., 1], 1) / ST)], -1)
    iou = 1 - overlap(decode(raw), target)
    off = jnp.abs(raw[..., :4] - encoded).sum(-1)
    mean = lambda v: jnp.where(positive, v, 0).sum() / n
    parts = jnp.stack([obj, mean(kinds), mean(iou), mean(off)])
    return (parts * jnp.array([1.0, 1.0, 2.5, 0.5])).sum(), parts


def batch(rng, images, labels):
    """A batch with mirrored pictures, changed gain and exchanged colour channels. Images are f32 0..1."""
    pick = rng.integers(0, len(images), BATCH)
    x, l = images[pick].astype(np.float32) / 255, labels[pick].copy()
    for k in range(BATCH):
        if rng.random() < 0.5:
            x[k] = x[k, :, ::-1]
            l[k, :, [1, 3]] = (scenes.W - l[k, :, [3, 1]]) * (l[k, :, 5] > 0)
        if rng.random() < 0.5:
            x[k] = x[k][..., rng.permutation(3)]
        x[k] *= rng.uniform(0.7, 1.25)
    return np.clip(x, 0, 1), l


@functools.partial(jax.jit, donate_argnums=(0, 1, 2, 3))
def step(params, m, v, average, x, labels, rate, count):
    def objective(p):
        g = network.Jax(p, "train", logits=True)
        total, parts = loss(network.patrol(g, x, len(scenes.CLASSES)), labels)
        return total, (parts, g.stats)
    (total, (parts, stats)), grads = jax.value_and_grad(objective, has_aux=True)(params)
    size = jnp.sqrt(sum((g * g).sum() for k, g in grads.items() if not k.endswith(STATISTICS)))
    clip = jnp.minimum(1.0, 10.0 / (size + 1e-6))
    new, nm, nv, na = {}, {}, {}, {}
    keep = jnp.minimum(0.998, (1 + count) / (10 + count))
    for k, p in params.items():
        if k.endswith(STATISTICS):
            new[k], nm[k], nv[k] = 0.97 * p + 0.03 * stats[k], m[k], v[k]
        else:
            g = grads[k] * clip
            nm[k] = 0.9 * m[k] + 0.1 * g
            nv[k] = 0.99 * v[k] + 0.01 * g * g
            d = nm[k] / (1 - 0.9 ** count) / (jnp.sqrt(nv[k] / (1 - 0.99 ** count)) + 1e-8)
            new[k] = p - rate * (d + (1e-2 * p if k.endswith(".w") else 0))
        na[k] = keep * average[k] + (1 - keep) * new[k]
    return new, nm, nv, na, total, parts


def make(seed):
    params = {}
    g = network.Jax(params, "make", np.random.default_rng(seed))
    network.patrol(g, jnp.zeros((1, scenes.H, scenes.W, 3)), len(scenes.CLASSES))
    return {k: jnp.asarray(p) for k, p in params.items()}, g.macs


@jax.jit
def run(params, x):
    return network.patrol(network.Jax(params), x, len(scenes.CLASSES))


@jax.jit
def statistics(params, x):
    g = network.Jax(params, "train")
    network.patrol(g, x, len(scenes.CLASSES))
    return g.stats


def train(images, labels, steps, seed, peak=4e-3, every=100, watch=None):
    rng = np.random.default_rng(seed)
    params, macs = make(seed)
    m, v = ({k: jnp.zeros_like(p) for k, p in params.items()} for _ in range(2))
    average = {k: p.copy() for k, p in params.items()}
    began, seen = time.time(), 0
    for i in range(1, steps + 1):
        rate = peak * min(i / 150, 0.5 * (1 + np.cos(np.pi * i / steps)) + 0.005)
        x, l = batch(rng, images, labels)
        params, m, v, average, total, parts = step(params, m, v, average, x, l, rate, float(i))
        if i % every == 0:
            print(f"step {i} loss {float(total):.3f} obj/cls/iou/l1", np.round(np.asarray(parts), 3), f"{time.time() - began:.0f} s", flush=True)
            if watch:
                watch(i, average)
    sums = None
    for _ in range(60):
        s = statistics(average, batch(rng, images, labels)[0])
        sums = s if sums is None else {k: sums[k] + s[k] for k in s}
    average.update({k: q / 60 for k, q in sums.items()})
    return {k: np.asarray(p) for k, p in average.items()}, macs

