"""mlbe: similarities of photos (n, n), of videos (n, n) and between both -> latent bits (n, K), most probable given
them.

Multimodal latent binary embedding (Zhen and Yeung, KDD 2012). Codes are latent: the similarity of two photos is
Gaussian around u_i^T diag(w_x) u_j, that of two videos around v_i^T diag(w_y) v_j, both with precision theta, and
whether photo i and video j show one person is Bernoulli with log-odds u_i^T diag(w) v_j; w_x, w_y, w >= 0 have
half-normal priors of precision phi, bits are even beforehand. Found by alternating maxima: each bit in turn by the sign
of its log-odds, w_x and w_y by ridge regression cut at 0, w by projected gradient steps. A new photo or video has
similarities to the 600 drawn training photos or videos alone, and gets the bits that are most probable given those,
from the signs of the ridge solution on, sweep by sweep until nothing changes (at most 10). Which pairs of a photo and a
video are observed is open: here all, those of two people weighing so much less that both kinds count alike. If every
pair counted the same, 99 of 100 would be of two people, and the likelihood would spend bits on saying so: constant, 1
on photos and -1 on videos. Also chosen here: similarity is the cosine of centred vectors; bits are +-1 instead of 0 and
1; theta = 1, phi = 1, 8 sweeps; start at canonical directions.
"""

import numpy as np

from dhhcli.base.arrays import Matrix
from dhhcli.research.baselines.base import Method, Training, Videowise
from dhhcli.research.baselines.cross_modal.cvh import directions
from dhhcli.research.baselines.cross_modal.spaces import Space, spaces
from dhhcli.research.baselines.linear_layer import Layer, videowise
from dhhcli.research.baselines.sampling import pairs, whole_people

THINGS, SWEEPS, THETA, PHI = 600, 8, 1.0, 1.0


def cosines(X: Matrix, Y: Matrix) -> Matrix:
    """Cosines of rows (n, m)."""
    return np.asarray(
        (X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12))
        @ (Y / np.maximum(np.linalg.norm(Y, axis=1, keepdims=True), 1e-12)).T
    )


def evenly_seen(same: Matrix) -> Matrix:
    """How much each pair of a photo and a video counts (n, m): 1 for one person, and all pairs of two as much as those.

    Raises ValueError where all pairs, or none, are of one person.
    """
    of_one = same.sum()
    if not 0 < of_one < same.size:
        raise ValueError("pairs of one person and pairs of two are needed")
    return np.where(same > 0, 1.0, of_one / (same.size - of_one))


def log_posterior(
    U: Matrix, V: Matrix, S: tuple[Matrix, Matrix], same: Matrix, seen: Matrix, w: tuple[Matrix, Matrix, Matrix]
) -> float:
    """Logarithm of the joint density up to a constant, every pair i != j of one kind counted twice."""
    total = -PHI / 2 * sum(float(each @ each) for each in w)
    for codes, similarity, weight in zip((U, V), S, w[:2], strict=True):
        error = similarity - (codes * weight) @ codes.T
        np.fill_diagonal(error, 0)
        total -= THETA / 2 * float(np.square(error).sum())
    odds = (U * w[2]) @ V.T
    return total + float((seen * (same * odds - np.logaddexp(0, odds))).sum())


def sweep(U: Matrix, V: Matrix, S: Matrix, same: Matrix, seen: Matrix, own: Matrix, cross: Matrix) -> None:
    """Set every bit of U (n, K), in place, to its more probable value given all others; V: codes of the other kind."""
    inner, odds = (U * own) @ U.T, (U * cross) @ V.T
    for i in range(len(U)):
        for k in range(U.shape[1]):
            # both values of the bit: what it adds to row i of inner and odds, and what is left without it
            step, push = own[k] * U[:, k], cross[k] * V[:, k]
            rest, base = inner[i] - U[i, k] * step, odds[i] - U[i, k] * push
            error = S[i] - rest
            gain = 4 * THETA * float(error @ step - error[i] * step[i])  # row and column, without the diagonal
            gain += 2 * float((seen[i] * same[i]) @ push)
            gain -= float(seen[i] @ (np.logaddexp(0, base + push) - np.logaddexp(0, base - push)))
            new = 1.0 if gain >= 0 else -1.0
            if new != U[i, k]:
                inner[i], odds[i] = rest + new * step, base + new * push
                inner[:, i] = inner[i]
                U[i, k] = new


def own_weights(U: Matrix, S: Matrix) -> Matrix:
    """Ridge solution (K,) of S_ij ~ sum_k w_k u_ik u_jk over i != j, cut at 0."""
    n, K = U.shape
    gram = np.square(U.T @ U) - n  # sum over i != j of u_ik u_jk u_il u_jl; the diagonal terms are all 1
    right = np.einsum("ik,ij,jk->k", U, S, U, optimize=True) - np.trace(S)
    return np.asarray(np.maximum(np.linalg.solve(THETA * gram + PHI * np.eye(K), THETA * right), 0))


def cross_weights(U: Matrix, V: Matrix, same: Matrix, seen: Matrix, w: Matrix, steps: int = 20) -> Matrix:
    """Projected gradient ascent on the Bernoulli terms, from w on."""
    rate = 1.0 / (0.25 * seen.sum() + PHI)  # inverse of a bound on the curvature along one weight
    for _ in range(steps):
        error = seen * (same - 1 / (1 + np.exp(-np.clip((U * w) @ V.T, -50, 50))))
        w = np.maximum(w + rate / len(w) * (np.einsum("ik,ij,jk->k", U, error, V, optimize=True) - PHI * w), 0)
    return np.asarray(w)


def new_bits(space: Space, X: Matrix, U: Matrix, w: Matrix) -> Layer:
    """Most probable codes of new things, given their similarities to training things X (n, q) with codes U (n, K).

    Similarities S ~ H A^T with A = U diag(w); the terms of H are h^T A^T s - h^T A^T A h / 2. As s are cosines, A^T s
    is linear in the new thing over its length, and the training things need not be kept (feature_map.py, ``settled``).
    """
    A = U * w
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    return Layer(np.eye(len(w)), np.zeros(len(w)), space.expansion("settled", A.T @ unit, gram=A.T @ A))


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Codes of training things, and the weights they came with."""
    both = spaces(training)
    rows = whole_people(both.photo_people, THINGS, rng)
    filmed = np.flatnonzero(np.isin(both.video_people, both.photo_people[rows]))
    filmed = np.sort(rng.choice(filmed, min(THINGS, len(filmed)), replace=False))
    X, Y, people, video_people = (
        both.photos[rows],
        both.videos[filmed],
        both.photo_people[rows],
        both.video_people[filmed],
    )
    i, j = pairs(people, video_people, 4 * THINGS, rng)
    a, b, _ = directions(X[i], Y[j], bits, 1e-1)
    starts = [each @ turn for each, turn in ((X, a), (Y, b))]
    more = rng.normal(size=(2, max(len(X), len(Y)), max(bits - a.shape[1], 0)))
    U, V = (
        np.where(np.concatenate([start, extra[: len(start)]], axis=1) >= 0, 1.0, -1.0)
        for start, extra in zip(starts, more, strict=True)
    )
    S = cosines(X, X), cosines(Y, Y)
    same = (people[:, None] == video_people).astype(np.float64)
    seen = evenly_seen(same)
    cross = np.full(bits, 1 / bits)
    for _ in range(SWEEPS):
        photo, video = own_weights(U, S[0]), own_weights(V, S[1])
        cross = cross_weights(U, V, same, seen, cross)
        sweep(U, V, S[0], same, seen, photo, cross)
        sweep(V, U, S[1], same.T, seen.T, video, cross)
    layers = new_bits(both.photo_space, X, U, photo), new_bits(both.video_space, Y, V, video)
    return videowise(*layers, both.covariance)


METHOD = Method("mlbe", "video-wise", fit)
