"""feature_map: vectors (n, r) -> (n, w): what methods that are not linear bend in front of their linear layer.

DHH hashes by a layer that is linear in a photo's features or in a video's log-covariance. Some of its rivals do so
after a bend. All that they need is an affine map z = W x + c (r -> q numbers) and one of five functions of it:

    gaussian   exp(-|z - p_j|^2 / width)            m numbers     kernel machines (KSH, HER)
    local      z softmax_j(-|z - p_j|^2 / width)    m q numbers   hyperplanes that turn with the place (PLMH)
    tanh       tanh(z)                              q numbers     a hidden layer (MM-NN)
    cosine     cos(z)                               q numbers     waves (SH)
    settled    the signs h (m,) = +-1 that a sweep no longer changes where h_k = sgn(t_k - sum_{l != k} h_l G_kl),
               t_j = p_j^T z / |z|, from the signs of (G + I)^-1 t on    (MLBE)

with m points p_j. They are no part of the network's ONNX: half of them bend log-covariances, which no network gives,
and methods on one backbone share its file and its cached features. Arrays in the safetensors of the hash layers, named
in the record and computed by numpy, keep loading weights free of anybody's code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

Kind = Literal["gaussian", "local", "tanh", "cosine", "settled"]
KINDS: Final = get_args(Kind)
POINTED: Final = ("gaussian", "local", "settled")  # have points
SWEEPS: Final = 10  # of `settled`, at most
Array = npt.NDArray[np.floating[Any]]


def _none() -> Array:
    return np.empty((0, 0))


@dataclass(frozen=True, eq=False)
class Expansion:
    """Arrays of one bend; float32 where they come from a file, float64 where they are fitted."""

    kind: Kind
    weight: Array  # (q, r)
    bias: Array  # (q,)
    points: Array = field(default_factory=_none)  # (m, q)
    width: float = 1.0
    gram: Array = field(default_factory=_none)  # (m, m) G, symmetric

    @property
    def size(self) -> int:
        """How many numbers come out, w."""
        match self.kind:
            case "tanh" | "cosine":
                return len(self.bias)
            case "local":
                return len(self.points) * len(self.bias)
        return len(self.points)

    def __call__(self, x: Array) -> Array:
        """(n, r) -> (n, w), of x's own type; what follows the affine map is computed in float64."""
        z = (x @ self.weight.T + self.bias).astype(np.float64)
        match self.kind:
            case "gaussian":
                found = np.exp(-self._apart(z))
            case "local":
                apart = self._apart(z)
                near = np.exp(apart.min(axis=1, keepdims=True) - apart)
                shares = near / near.sum(axis=1, keepdims=True)
                found = (shares[:, :, None] * z[:, None, :]).reshape(len(z), self.size)
            case "tanh":
                found = np.tanh(z)
            case "cosine":
                found = np.cos(z)
            case "settled":
                length = np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
                found = settle(z / length @ self.points.T, self.gram.astype(np.float64))
        return np.asarray(found, x.dtype)

    def _apart(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Squared distances to the points (n, m), over the width."""
        points = self.points.astype(np.float64)
        squares = np.square(z).sum(axis=1)[:, None] + np.square(points).sum(axis=1) - 2 * z @ points.T
        return np.asarray(np.maximum(squares, 0) / self.width)

    def arrays(self) -> dict[str, Array]:
        """Everything but the kind, by the names that ``from_arrays`` reads."""
        found = {"weight": self.weight, "bias": self.bias}
        if self.kind in POINTED:
            found["points"] = self.points
        if self.kind in ("gaussian", "local"):
            found["width"] = np.array([self.width])
        if self.kind == "settled":
            found["gram"] = self.gram
        return found


def from_arrays(kind: str, arrays: Mapping[str, npt.NDArray[np.float32]]) -> Expansion:
    """An expansion out of a file.

    Raises:
        ValueError: an array is missing or of another form, the width is not positive, or the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    try:
        weight, bias = arrays["weight"], arrays["bias"]
        points = arrays["points"] if kind in POINTED else _none()
        width = float(arrays["width"].reshape(())) if kind in ("gaussian", "local") else 1.0
        gram = arrays["gram"] if kind == "settled" else _none()
    except KeyError as error:
        raise ValueError(f"{kind} without {error}") from None
    q, m = len(bias), len(points)
    right = bias.ndim == 1 and weight.ndim == 2 and len(weight) == q > 0
    if kind in POINTED:
        right = right and points.shape == (m, q) and m > 0
    if kind == "settled":
        right = right and gram.shape == (m, m)
    if not right:
        raise ValueError(f"{kind} of {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}")
    if not 0 < width < np.inf:
        raise ValueError(f"{kind} of width {width}")
    return Expansion(kind, weight, bias, points, width, gram)  # type: ignore[arg-type]  # one of KINDS


def settle(target: npt.NDArray[np.float64], gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Signs (n, m) that maximise h^T t - h^T G h / 2, bit by bit, for targets t (n, m) and G (m, m).

    From the signs of the ridge solution on, at most ten sweeps; a tie is +1.
    """
    m = len(gram)
    H = np.where(np.linalg.solve(gram + np.eye(m), target.T).T >= 0, 1.0, -1.0)
    for _ in range(SWEEPS):
        before = H.copy()
        for k in range(m):
            H[:, k] = np.where(target[:, k] - H @ gram[:, k] + H[:, k] * gram[k, k] >= 0, 1.0, -1.0)
        if np.array_equal(H, before):
            break
    return H
