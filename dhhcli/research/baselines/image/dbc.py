"""dbc: features (n, d) with people -> K hyperplanes whose bits people agree in and that can be predicted.

Discriminative binary codes (Rastegari, Farhadi and Forsyth, ECCV 2012, equations 1 to 4). Lower the distances of codes
of one person minus those of two (equation 1), under the constraint that every bit is the side of a large-margin
hyperplane: start at the signs of principal directions, then three times over give every person the bits that lower the
first term (svm.py), train a linear support vector machine a bit, and take its signs as the new bits. Deviations: the
paper moves single bits along the subgradient, here a person's bits move together; the two terms are weighed by the
number of their pairs. 4,000 photos of whole people.
"""

import numpy as np

from dhhcli.research.baselines.base import Framewise, Method, Training
from dhhcli.research.baselines.linear_layer import linear
from dhhcli.research.baselines.sampling import whole_people
from dhhcli.research.baselines.svm import class_bits, machines

PHOTOS, ROUNDS = 4000, 3


def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:
    """Hyperplanes."""
    rows = whole_people(training.feature_people, PHOTOS, rng)
    X = training.features[rows].astype(np.float64)
    names, group = np.unique(training.feature_people[rows], return_inverse=True)
    mean, scale = X.mean(axis=0), X.std()
    X = (X - mean) / scale
    turn = np.linalg.svd(X, full_matrices=False)[2]
    turn = np.concatenate([turn] * -(-bits // len(turn)))[:bits]
    turn = turn + 0.1 * rng.normal(size=turn.shape) / np.sqrt(X.shape[1])  # as many starts as seeds
    signs = np.where(X @ turn.T >= 0, 1.0, -1.0)
    for _ in range(ROUNDS):
        target = class_bits([signs], [group], len(names))[group]
        weight, bias = machines(X, target)
        signs = np.where(X @ weight.T + bias >= 0, 1.0, -1.0)
    return linear(weight / scale, bias - (weight / scale) @ mean)


METHOD = Method("dbc", "frame-wise", fit)
