"""Generated images for trials without files or network: ten shapes, textured, coloured, turned, on a busy ground.

The class is the shape. The colours of shape and ground lean towards the class, so that a net finds something early;
texture, place, size, angle and noise say nothing.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

CLASSES = ("disk", "ring", "square", "frame", "triangle", "cross", "bar", "crescent", "star", "dots")
TRAIN_SIZE, TEST_SIZE = 10_000, 2_000
CHUNK = 500  # images painted at a time, with a generator of their own
MOST_AT_ONCE = 4  # chunks: both bound the memory at large image sizes
TURN = 0.5  # radians a shape may be turned, either way
TEXTURE = 0.2  # amplitude of the waves, of a range of 1
NOISE = 0.06  # standard deviation of the pixels, of a range of 1
HINT = 0.3  # share of a colour that the class decides
SHAPE_HINTS = ["#f00", "#0f0", "#ff0", "#00f", "#f0f", "#0ff", "#000", "#fff", "#f00", "#00f"]
GROUND_HINTS = [*SHAPE_HINTS[3:], *SHAPE_HINTS[:3]]

Floats = NDArray[Any]  # float32


class Uniform(Protocol):
    """Draws one number per image: (n, *shape), by default (n, 1, 1)."""

    def __call__(self, low: float, high: float, *shape: int) -> Floats: ...


def paint_split(split: str, *, image_size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, S, S, 3) and labels (N,) of `train` (N = 10,000) or `test` (N = 2,000); labels go round in turn."""
    size, stream = {"train": (TRAIN_SIZE, 0), "test": (TEST_SIZE, 1)}[split]
    labels = np.arange(size) % len(CLASSES)

    def paint_chunk(start: int) -> NDArray[np.uint8]:
        return paint(labels[start : start + CHUNK], np.random.default_rng([stream, start]), image_size=image_size)

    with ThreadPoolExecutor(MOST_AT_ONCE) as threads:  # numpy lets them compute side by side
        chunks = list(threads.map(paint_chunk, range(0, size, CHUNK)))
    return np.concatenate(chunks), labels.astype(np.int64)


def paint(labels: NDArray[np.int64], rng: np.random.Generator, *, image_size: int) -> NDArray[np.uint8]:
    """One image (S, S, 3) per label."""
    n = len(labels)

    def uniform(low: float, high: float, *shape: int) -> Floats:
        return rng.uniform(low, high, (n, *(shape or (1, 1)))).astype(np.float32)

    axis = (np.arange(image_size, dtype=np.float32) + 0.5) / image_size * 2 - 1
    x, y = np.meshgrid(axis, axis)  # (S, S) each, in -1 .. 1
    angle, scale = uniform(-TURN, TURN), uniform(0.6, 0.95)
    dx, dy = x - uniform(-0.25, 0.25), y - uniform(-0.25, 0.25)  # (n, S, S)
    u = (np.cos(angle) * dx + np.sin(angle) * dy) / scale
    v = (np.cos(angle) * dy - np.sin(angle) * dx) / scale

    distance = np.empty_like(u)
    for label in range(len(CLASSES)):
        chosen = labels == label
        distance[chosen] = shape_distance(CLASSES[label], u[chosen], v[chosen])
    edge = 0.7 * image_size * scale  # about one pixel of soft edge
    cover = (1 / (1 + np.exp(np.clip(4 * edge * distance, -30, 30))))[..., None]  # (n, S, S, 1)

    def surface(hints: list[str]) -> Floats:
        """A colour that leans towards its class's hint, under a texture: (n, S, S, 3)."""
        hint = np.array([[digit == "f" for digit in colour[1:]] for colour in hints], np.float32)[labels]
        colour = HINT * hint[:, None, None, :] + (1 - HINT) * uniform(0, 1, 1, 1, 3)
        return colour + TEXTURE * waves(x, y, uniform)[..., None] * uniform(-1, 1, 1, 1, 3)

    ground, shape = surface(GROUND_HINTS), surface(SHAPE_HINTS)
    image = ground + cover * (shape - ground)
    image += NOISE * rng.standard_normal(image.shape, dtype=np.float32)
    pixels: NDArray[np.uint8] = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels


def waves(x: Floats, y: Floats, uniform: Uniform) -> Floats:
    """A texture of two crossed waves of random direction, frequency and phase, (n, S, S) in -1 .. 1."""
    total = np.zeros((1, 1, 1), np.float32)
    for _ in range(2):
        angle, frequency, phase = uniform(0, np.pi), uniform(2, 9), uniform(0, 2 * np.pi)
        total = total + 0.5 * np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return total


def shape_distance(name: str, u: Floats, v: Floats) -> Floats:
    """Below zero inside the shape, above zero outside; about 1 is the radius. Any shape of u and v."""
    radius = np.hypot(u, v)
    box = np.maximum(np.abs(u), np.abs(v))
    match name:
        case "disk":
            return radius - 0.8
        case "ring":
            return np.abs(radius - 0.7) - 0.2
        case "square":
            return box - 0.7
        case "frame":
            return np.abs(box - 0.65) - 0.18
        case "triangle":
            return np.maximum(np.maximum(0.87 * u + 0.5 * v, -0.87 * u + 0.5 * v), -v) - 0.45
        case "cross":
            return np.maximum(box - 0.85, np.minimum(np.abs(u), np.abs(v)) - 0.25)
        case "bar":
            return np.maximum(np.abs(u) - 0.95, np.abs(v) - 0.3)
        case "crescent":
            return np.maximum(radius - 0.85, 0.7 - np.hypot(u - 0.45, v))
        case "star":
            return radius - 0.6 - 0.3 * np.cos(5 * np.arctan2(v, u))
        case "dots":
            return np.minimum(np.hypot(u - 0.5, v), np.hypot(u + 0.5, v)) - 0.4
    raise ValueError(f"{name}: no such shape; choose {', '.join(CLASSES)}")
