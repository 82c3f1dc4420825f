"""Drawn scenes for the patrol detector: a fixed camera, a static background, a few moving things, and what cameras add.

Nothing here is filmed. A scene is drawn from one seed: a textured background (sky or wall, ground, road, buildings,
windows, fences, crates), a cast of actors of three classes (walker, car, ball) that follow simple paths, things in
front that hide them (posts, a low wall), and nuisances that are no objects: soft shadows, slow drift of the light, a
sudden exposure step, a flickering lamp, a swaying bush, Gaussian sensor noise that is new in every frame.

Shapes are signed distances in pixels turned into coverage (clip(0.5 - d, 0, 1)), so edges are smooth and motion is
sub-pixel. Frames are [H, W, 3] RGB; drawing is in float 0..255, `Scene.frame` returns u8. A box is [x1, y1, x2, y2] in
pixels, the extent of the actor's own coverage above one half, cut at the frame's edge; its shadow does not count, and
what hides it does not shrink it. An actor that shows less than MIN_SHOWN of itself is marked `unclear`: neither a
detection nor a miss.
"""

from dataclasses import dataclass, field

import numpy as np

W, H = 128, 96
CLASSES = ("walker", "car", "ball")
MIN_SHOWN = 0.35
MIN_PIXELS = 14


# Distances: each function returns a function of the pixel centres (x, y).

def disc(cx, cy, r):
    return lambda x, y: np.hypot(x - cx, y - cy) - r


def box(cx, cy, half_w, half_h, r=0.0):
    def d(x, y):
        dx = np.abs(x - cx) - (half_w - r)
        dy = np.abs(y - cy) - (half_h - r)
        return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - r
    return d


def capsule(x1, y1, x2, y2, r):
    ex, ey = x2 - x1, y2 - y1
    n = max(ex * ex + ey * ey, 1e-6)

    def d(x, y):
        u = np.clip(((x - x1) * ex + (y - y1) * ey) / n, 0, 1)
        return np.hypot(x - x1 - u * ex, y - y1 - u * ey) - r
    return d


def convex(*points):
    """A convex polygon, clockwise on the screen (y down)."""
    def d(x, y):
        far = None
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
            ex, ey = bx - ax, by - ay
            s = ((x - ax) * ey - (y - ay) * ex) / max(np.hypot(ex, ey), 1e-6)
            far = s if far is None else np.maximum(far, s)
        return far
    return d


def coverage(distance, x, y):
    return np.clip(0.5 - distance(x, y), 0, 1).astype(np.float32)


XS, YS = np.meshgrid(np.arange(W, dtype=np.float32) + 0.5, np.arange(H, dtype=np.float32) + 0.5)


def fill(img, distance, colour, strength=1.0):
    a = coverage(distance, XS, YS)[..., None] * strength
    img += a * (np.asarray(colour, np.float32) - img)


def smooth_noise(rng, h, w, cell):
    """Values in about -1..1 that vary over `cell` pixels."""
    gh, gw = int(h / cell) + 3, int(w / cell) + 3
    g = rng.uniform(-1, 1, (gh, gw)).astype(np.float32)
    y, x = np.arange(h) / cell, np.arange(w) / cell
    iy, ix = y.astype(int), x.astype(int)
    fy, fx = (y - iy)[:, None].astype(np.float32), (x - ix)[None].astype(np.float32)
    top = g[iy][:, ix] * (1 - fx) + g[iy][:, ix + 1] * fx
    low = g[iy + 1][:, ix] * (1 - fx) + g[iy + 1][:, ix + 1] * fx
    return top * (1 - fy) + low * fy


def tint(rng, lo, hi, spread=25):
    return np.clip(rng.uniform(lo, hi) + rng.uniform(-spread, spread, 3), 0, 255).astype(np.float32)


# The background.

def background(rng):
    """Returns (image, horizon row)."""
    horizon = rng.uniform(0.25, 0.6) * H
    upper, ground = tint(rng, 90, 215), tint(rng, 55, 165)
    t = (YS / H)[..., None]
    img = np.where(YS[..., None] < horizon, upper * (1 - 0.35 * t), ground * (0.75 + 0.4 * t)).astype(np.float32)
    for _ in range(rng.integers(0, 5)):
        building(rng, img, horizon)
    if rng.random() < 0.6:
        road(rng, img, horizon)
    for _ in range(rng.integers(1, 5)):
        rng.choice([fence, window, crate, patch, post])(rng, img, horizon)
    for cell, amount in ((20, 9), (6, 6), (1.6, 5)):
        img += (smooth_noise(rng, H, W, cell) * rng.uniform(0.3, 1) * amount)[..., None]
    return np.clip(img, 4, 250), horizon


def building(rng, img, horizon):
    x, w, h = rng.uniform(-10, W), rng.uniform(14, 48), rng.uniform(10, 0.95 * horizon)
    wall, pane = tint(rng, 60, 190), tint(rng, 25, 240)
    fill(img, box(x + w / 2, horizon - h / 2, w / 2, h / 2), wall)
    step = rng.uniform(6, 10)
    for wy in np.arange(horizon - h + 3, horizon - 4, step):
        for wx in np.arange(x + 3, x + w - 4, step):
            if rng.random() < 0.85:
                fill(img, box(wx + 1.7, wy + 1.7, step * 0.26, step * 0.3), pane)


def road(rng, img, horizon):
    asphalt, paint = tint(rng, 50, 110, 8), tint(rng, 170, 240, 8)
    if rng.random() < 0.6:
        y, h = rng.uniform(horizon + 4, H - 8), rng.uniform(14, 34)
        fill(img, box(W / 2, y, W, h / 2), asphalt)
        gap, phase = rng.uniform(10, 24), rng.uniform(0, 20)
        for x in np.arange(-phase, W, gap):
            fill(img, box(x, y, gap * 0.25, 0.9), paint)
    else:
        vx, half, foot = rng.uniform(20, 108), rng.uniform(20, 60), rng.uniform(20, 108)
        fill(img, convex((vx - 3, horizon), (vx + 3, horizon), (foot + half, H), (foot - half, H)), asphalt)
        fill(img, convex((vx - 0.3, horizon), (vx + 0.3, horizon), (foot + 1.5, H), (foot - 1.5, H)), paint)


def fence(rng, img, horizon):
    x, y = rng.uniform(0, W), horizon + rng.uniform(-6, 14)
    w, h, step = rng.uniform(20, 70), rng.uniform(8, 20), rng.uniform(3, 7)
    colour = tint(rng, 40, 220)
    for sx in np.arange(x - w / 2, x + w / 2, step):
        fill(img, box(sx, y - h / 2, 0.7, h / 2), colour)
    for sy in (y - h * 0.8, y - h * 0.3):
        fill(img, box(x, sy, w / 2, 0.7), colour)


def window(rng, img, horizon):
    x, y, w, h = rng.uniform(0, W), rng.uniform(0, horizon), rng.uniform(8, 24), rng.uniform(8, 26)
    frame, glass = tint(rng, 40, 220), tint(rng, 120, 245)
    fill(img, box(x, y, w / 2 + 1.5, h / 2 + 1.5), frame)
    fill(img, box(x, y, w / 2, h / 2), glass)
    fill(img, box(x, y, 0.7, h / 2), frame)
    fill(img, box(x, y, w / 2, 0.7), frame)


def crate(rng, img, horizon):
    x, y, w, h = rng.uniform(0, W), rng.uniform(horizon, H), rng.uniform(6, 26), rng.uniform(6, 22)
    colour = tint(rng, 40, 210)
    fill(img, box(x, y - h / 2, w / 2, h / 2, 0.8), colour)
    fill(img, capsule(x - w / 2 + 1, y - h + 1, x + w / 2 - 1, y - 1, 0.6), colour * 0.7)
    fill(img, box(x, y - h + 1, w / 2, 1), colour * 1.2)


def patch(rng, img, horizon):
    """A stain, a shadow of something outside the picture, a bed of plants."""
    fill(img, box(rng.uniform(0, W), rng.uniform(0, H), rng.uniform(6, 30), rng.uniform(3, 12), 3), tint(rng, 30, 220), 0.5)


def post(rng, img, horizon):
    x, foot, h = rng.uniform(0, W), rng.uniform(horizon, H), rng.uniform(14, 60)
    colour = tint(rng, 30, 200)
    fill(img, box(x, foot - h / 2, rng.uniform(0.8, 2), h / 2), colour)
    if rng.random() < 0.5:
        fill(img, box(x, foot - h, rng.uniform(3, 6), rng.uniform(2, 5)), tint(rng, 60, 230))


# Actors.

@dataclass
class Actor:
    """One moving thing. `size` is its length scale in pixels, (x, foot) where its middle and its lowest point are at
    time `at`, `vx` and `vy` pixels a second; it stands still for `pause` = (start, length) seconds."""
    kind: str
    seed: int
    size: float
    x: float
    foot: float
    at: float
    vx: float
    vy: float = 0.0
    pause: tuple = (1e9, 0.0)
    parts: list = field(default_factory=list)

    def moved(self, t):
        start, length = self.pause
        held = min(max(t - start, 0.0), length) - min(max(self.at - start, 0.0), length)
        return t - self.at - held

    def draw(self, t):
        """Returns (rgb [h, w, 3], coverage [h, w], x0, y0) over a patch that may lie outside the frame."""
        gone = self.moved(t)
        x, foot = self.x + self.vx * gone, self.foot + self.vy * gone
        rng = np.random.default_rng(self.seed)
        parts, half_w, height = SHAPES[self.kind](rng, self.size, gone, self.vx, x, foot)
        x0, x1 = int(np.floor(x - half_w)) - 2, int(np.ceil(x + half_w)) + 2
        y0, y1 = int(np.floor(foot - height)) - 2, int(np.ceil(foot)) + 3
        px, py = np.meshgrid(np.arange(x0, x1, dtype=np.float32) + 0.5, np.arange(y0, y1, dtype=np.float32) + 0.5)
        rgb = np.zeros(px.shape + (3,), np.float32)
        cov = np.zeros(px.shape, np.float32)
        for distance, colour in parts:
            a = coverage(distance, px, py)
            out = a + cov * (1 - a)
            blend = (a / np.maximum(out, 1e-6))[..., None]
            rgb += blend * (np.asarray(colour, np.float32) - rgb)
            cov = out
        rgb *= (1.08 - 0.25 * np.clip((py - foot + height) / height, 0, 1))[..., None]
        return rgb, cov, x0, y0


def walker(rng, size, gone, vx, x, foot):
    h = size
    skin, shirt, trousers = tint(rng, 70, 220, 20), tint(rng, 20, 235, 60), tint(rng, 15, 160, 35)
    build = rng.uniform(0.085, 0.12) * h
    swing = np.sin(gone * abs(vx) / h * 7 + rng.uniform(0, 6)) * (0.14 * h if abs(vx) > 0 else 0.03 * h)
    hip, neck = foot - 0.46 * h, foot - 0.80 * h
    thick = 0.055 * h + 0.4
    parts = [
        (capsule(x, neck + 0.06 * h, x - swing * 0.9, hip + 0.04 * h, thick * 0.75), shirt * 0.8),
        (capsule(x - 0.02 * h, hip, x + swing, foot - thick, thick), trousers * 0.85),
        (capsule(x + 0.02 * h, hip, x - swing, foot - thick, thick), trousers),
        (capsule(x, neck + 0.05 * h, x, hip, build), shirt),
        (capsule(x, neck + 0.06 * h, x + swing * 0.9, hip + 0.04 * h, thick * 0.75), shirt * 0.9),
        (disc(x + np.sign(vx) * 0.015 * h, foot - 0.9 * h, 0.092 * h), skin),
    ]
    if rng.random() < 0.6:
        parts.append((box(x, foot - 0.955 * h, 0.085 * h, 0.04 * h, 0.03 * h), tint(rng, 15, 120, 30)))
    return parts, 0.3 * h, h


def car(rng, size, gone, vx, x, foot):
    n, h = size, size * rng.uniform(0.36, 0.46)
    s = 1.0 if vx >= 0 else -1.0
    body, glass = tint(rng, 30, 235, 70), tint(rng, 30, 190, 20)
    wheel = 0.24 * h
    low, mid, top = foot - 0.6 * wheel, foot - 0.52 * h, foot - h
    rear, front = rng.uniform(0.28, 0.46), rng.uniform(0.10, 0.26)
    a, b, c, d = x - s * rear * n, x - s * (rear - 0.10) * n, x + s * front * 0.7 * n, x + s * (front + 0.08) * n

    def cabin(shrink, bottom):
        pts = [(a + s * shrink, bottom), (b + s * shrink, top + shrink), (c - s * shrink, top + shrink), (d - s * shrink, bottom)]
        return convex(*(pts if s > 0 else pts[::-1]))
    post_x = x - s * (rear - front) * 0.4 * n
    parts = [
        (cabin(0, mid + 1), body * 0.92),
        (cabin(0.035 * n, mid), glass),
        (box(post_x, (mid + top) / 2, 0.02 * n, (mid - top) / 2), body * 0.92),
        (box(x, (mid + low) / 2, n / 2, (low - mid) / 2, 0.09 * h), body),
        (box(x, low - 0.06 * h, n * 0.48, 0.05 * h), body * 0.55),
        (disc(x + s * 0.46 * n, mid + 0.16 * h, 0.07 * h), (245, 240, 200)),
        (disc(x - s * 0.47 * n, mid + 0.15 * h, 0.06 * h), (200, 30, 30)),
    ]
    for at in (-0.29, 0.3):
        parts.append((disc(x + at * n, foot - wheel, wheel), (22, 22, 25)))
        parts.append((disc(x + at * n, foot - wheel, wheel * 0.5), (150, 150, 155)))
    return parts, n / 2 + 1, h


def ball(rng, size, gone, vx, x, foot):
    r = size / 2
    main, band = tint(rng, 90, 240, 80), tint(rng, 20, 235, 70)
    hop = rng.uniform(0, 0.9) * size
    cy = foot - r - hop * abs(np.sin(gone * 4.0 + rng.uniform(0, 3)))
    turn = gone * vx / r * 0.5 + rng.uniform(0, 6)
    ux, uy = np.cos(turn) * r, np.sin(turn) * r
    inside = disc(x, cy, r)

    def stripe(px, py):
        return np.maximum(capsule(x - ux, cy - uy, x + ux, cy + uy, 0.28 * r)(px, py), inside(px, py))
    parts = [(inside, main * 0.62), (disc(x - 0.08 * r, cy - 0.1 * r, 0.87 * r), main), (stripe, band),
             (disc(x - 0.35 * r, cy - 0.4 * r, 0.2 * r), (250, 250, 250))]
    return parts, r + 1, 2 * r + hop + 1


SHAPES = {"walker": walker, "car": car, "ball": ball}
SIZES = {"walker": (19, 46), "car": (24, 58), "ball": (8, 21)}


def any_actor(rng, horizon, at, kind=None):
    """An actor in or near the picture at time `at`; lower in the picture means nearer and larger."""
    kind = kind or CLASSES[rng.integers(3)]
    lo, hi = SIZES[kind]
    near = rng.uniform(0, 1)
    size = lo + (hi - lo) * np.clip(near + rng.uniform(-0.25, 0.25), 0, 1)
    foot = horizon + 6 + near * (H - horizon - 4) + rng.uniform(-3, 3)
    if kind == "ball" and rng.random() < 0.4:
        foot = rng.uniform(size + 2, H - 2)
    speed = {"walker": 0.45, "car": 1.0, "ball": 1.8}[kind] * size * rng.uniform(0.3, 1.3) * rng.choice([-1, 1])
    if rng.random() < 0.15:
        speed *= 0.02
    return Actor(kind, int(rng.integers(2**31)), float(size), rng.uniform(4, W - 4), float(max(foot, 0.8 * size * 0.5)), at,
                 float(speed), vy=float(rng.uniform(-2, 2)))


# The scene.

class Scene:
    """One camera position. `cast` defaults to 0..4 random actors around time 5 s; options in `how` override the random
    nuisances: noise (sigma), drift (share), step=(time, gain), lamp, bush, front (bool)."""

    def __init__(self, seed, cast=None, **how):
        rng = np.random.default_rng(seed)
        self.still, self.horizon = background(rng)
        self.noise = how.get("noise", rng.uniform(1.0, 3.0))
        self.gain = how.get("gain", rng.uniform(0.55, 1.1))
        self.drift = how.get("drift", rng.uniform(0.0, 0.08))
        self.drift_rate = rng.uniform(0.1, 0.5)
        self.step = how.get("step", (rng.uniform(4, 6), rng.uniform(0.65, 1.45)))
        self.lamp = self.bush = None
        if how.get("lamp", rng.random() < 0.35):
            cx, cy, r = rng.uniform(0, W), rng.uniform(0, H * 0.6), rng.uniform(8, 26)
            self.lamp = np.exp(-((XS - cx) ** 2 + (YS - cy) ** 2) / (2 * (r / 2) ** 2))[..., None] * rng.uniform(20, 70)
        if how.get("bush", rng.random() < 0.45):
            self.bush = self._bush(rng)
        self.front = self._front(rng) if how.get("front", rng.random() < 0.45) else None
        if cast is None:
            n = rng.choice(5, p=(0.06, 0.2, 0.3, 0.26, 0.18))
            cast = [any_actor(rng, self.horizon, 5.0) for _ in range(n)]
        self.cast = sorted(cast, key=lambda a: a.foot)
        self.light = (rng.uniform(-0.5, 0.9), rng.uniform(0.2, 0.5))
        self.seed = seed

    def _bush(self, rng):
        """A leafy texture wider than what is shown, and its soft mask; it slides by a few pixels as wind would push it."""
        w, h = rng.integers(18, 50), rng.integers(14, 44)
        x, y = int(rng.integers(-10, W - 10)), int(rng.integers(-6, max(1, int(self.horizon))))
        leaf = tint(rng, 40, 120, 15) + np.array([-15, 20, -20], np.float32)
        tex = leaf + (smooth_noise(rng, h, w + 16, 3) * 28 + smooth_noise(rng, h, w + 16, 1.5) * 16)[..., None]
        yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
        r = np.hypot((xx - w / 2) / (w / 2), (yy - h / 2) / (h / 2)) + smooth_noise(rng, h, w, 4) * 0.25
        return tex, np.clip((0.95 - r) * 5, 0, 1)[..., None], x, y, rng.uniform(1, 3.5), rng.uniform(1, 4)

    def _front(self, rng):
        """Posts or a low wall between the camera and the actors: (image, coverage)."""
        img, cov = np.zeros((H, W, 3), np.float32), np.zeros((H, W), np.float32)
        for _ in range(rng.integers(1, 3)):
            if rng.random() < 0.7:
                shape = box(rng.uniform(5, W - 5), H / 2, rng.uniform(1.5, 5), H)
            else:
                shape = box(rng.uniform(0, W), H, rng.uniform(15, 40), rng.uniform(8, 22))
            a = coverage(shape, XS, YS)
            colour = tint(rng, 30, 200) + (smooth_noise(rng, H, W, 3) * 8)[..., None]
            img += a[..., None] * (colour - img)
            cov = np.maximum(cov, a)
        return img, cov

    def _sway(self, img, t):
        tex, mask, x, y, reach, rate = self.bush
        h, w = mask.shape[:2]
        slide = 8 + reach * (np.sin(rate * t) + 0.4 * np.sin(2.3 * rate * t + 1))
        i = int(np.floor(slide))
        f = slide - i
        shown = tex[:, i:i + w] * (1 - f) + tex[:, i + 1:i + 1 + w] * f
        x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + w, W), min(y + h, H)
        a = mask[y1 - y:y2 - y, x1 - x:x2 - x]
        img[y1:y2, x1:x2] += a * (shown[y1 - y:y2 - y, x1 - x:x2 - x] - img[y1:y2, x1:x2])

    def _shadow(self, img, x, foot, width):
        shift, depth = self.light
        x1, x2 = max(int(x - 1.5 * width), 0), min(int(x + 1.5 * width) + 1, W)
        y1, y2 = max(int(foot - 0.3 * width), 0), min(int(foot + 0.3 * width) + 1, H)
        if x1 < x2 and y1 < y2:
            px, py = XS[y1:y2, x1:x2], YS[y1:y2, x1:x2]
            r = np.hypot((px - x - shift * 0.5 * width) / (0.75 * width), (py - foot) / (0.16 * width))
            img[y1:y2, x1:x2] *= 1 - depth * np.clip(1.3 - r, 0, 1)[..., None]

    def frame(self, t):
        """Returns (u8 [H, W, 3], labels): labels are dicts with class, box and unclear."""
        rng = np.random.default_rng((self.seed, int(round(t * 1000)) + 10**6))
        img = self.still.copy()
        if self.bush is not None:
            self._sway(img, t)
        owner = np.full((H, W), -1)
        found = []
        for k, actor in enumerate(self.cast):
            rgb, cov, x0, y0 = actor.draw(t)
            h, w = cov.shape
            x1, y1, x2, y2 = max(x0, 0), max(y0, 0), min(x0 + w, W), min(y0 + h, H)
            self._shadow(img, x0 + w / 2, y0 + h - 3, w - 4)
            if x1 >= x2 or y1 >= y2:
                continue
            here = (slice(y1, y2), slice(x1, x2))
            a = cov[y1 - y0:y2 - y0, x1 - x0:x2 - x0]
            img[here] += a[..., None] * (rgb[y1 - y0:y2 - y0, x1 - x0:x2 - x0] - img[here])
            solid = a > 0.5
            owner[here][solid] = k
            if solid.any():
                ys, xs = np.nonzero(solid)
                extent = [int(xs.min()) + x1, int(ys.min()) + y1, int(xs.max()) + x1 + 1, int(ys.max()) + y1 + 1]
                found.append((k, extent, int((cov > 0.5).sum())))
        if self.front is not None:
            over, cov = self.front
            img += cov[..., None] * (over - img)
            owner[cov > 0.5] = -1
        if self.lamp is not None:
            img += self.lamp * rng.uniform(0.3, 1.0)
        gain = self.gain * (1 + self.drift * np.sin(self.drift_rate * t)) * (self.step[1] if t >= self.step[0] else 1)
        img = img * gain + rng.normal(0, self.noise, img.shape)
        labels = []
        for k, extent, whole in found:
            shown = int((owner == k).sum())
            unclear = shown < MIN_SHOWN * whole or shown < MIN_PIXELS
            labels.append({"class": CLASSES.index(self.cast[k].kind), "box": extent, "unclear": bool(unclear)})
        return np.clip(np.rint(img), 0, 255).astype(np.uint8), labels


# 4:2:0, as the clips are stored: BT.601, video range; both ways, so that the detector is trained on what a clip gives.

def to_yuv(rgb):
    """u8 [H, W, 3] to (y [H, W], u [H/2, W/2], v [H/2, W/2]), u8."""
    r, g, b = np.moveaxis(rgb.astype(np.float32), -1, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    half = lambda p: p.reshape(H // 2, 2, W // 2, 2).mean((1, 3))
    code = lambda p: np.clip(np.rint(p), 0, 255).astype(np.uint8)
    return code(y), code(half(u)), code(half(v))


def to_rgb(y, u, v):
    y = (y.astype(np.float32) - 16) * (255 / 219)
    u, v = (np.repeat(np.repeat(p.astype(np.float32) - 128, 2, 0), 2, 1) * (255 / 224) for p in (u, v))
    rgb = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], -1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
