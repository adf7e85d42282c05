"""The rivals between photos and videos, each against a closed form, scikit-learn or a slow twin."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rivalry import D, made_people, mean_ap
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel

from dhhcli.research.baselines.base import Covariance
from dhhcli.research.baselines.cross_modal import cmssh, cvh, her, mlbe, mm_nn, pdh, plmh
from dhhcli.research.baselines.cross_modal.projections import canonical
from dhhcli.research.baselines.cross_modal.spaces import Space, principal, spaces
from dhhcli.research.baselines.linear_layer import log_covariances
from dhhcli.research.baselines.sampling import pairs, strangers, whole_people

pytestmark = pytest.mark.slow

Matrix = np.ndarray[Any, np.dtype[np.float64]]


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(1, 30), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_samples_hold_whole_people_and_pairs_of_one_or_two(people: list[int], most: int, seed: int) -> None:
    whose, rng = np.array(people), np.random.default_rng(seed)
    rows = whole_people(whose, most, rng)
    assert len(set(rows.tolist())) == len(rows) == min(most, len(whose))
    cut = [p for p in np.unique(whose[rows]) if (whose[rows] == p).sum() < (whose == p).sum()]
    assert len(cut) <= 1
    i, j = pairs(whose, whose, 20, rng)
    assert (whose[i] == whose[j]).all()
    if len(set(people)) > 1:
        i, j = strangers(whose, whose, 20, rng)
        assert (whose[i] != whose[j]).all()
    else:
        with pytest.raises(ValueError, match="one person"):
            strangers(whose, whose, 20, rng)
    with pytest.raises(ValueError, match="nobody"):
        pairs(whose, whose + 10, 20, rng)


def test_principal_directions_are_scikit_learn_s() -> None:
    raw = np.random.default_rng(0).normal(size=(30, 50)) * np.linspace(3, 0.1, 50)
    found = principal(raw, 5)
    expected = PCA(5, svd_solver="full").fit(raw).components_
    np.testing.assert_allclose(np.abs(found.T @ expected.T), np.eye(5), atol=1e-8)
    assert principal(raw[:4], 5).shape == (50, 3)  # four points span three directions


def test_spaces_are_centred_and_of_mean_length_one() -> None:
    made = made_people()
    both = spaces(made.training)
    for each in (both.photos, both.videos):
        np.testing.assert_allclose(each.mean(axis=0), 0, atol=1e-7)
        assert np.sqrt(np.square(each).sum(axis=1)).mean() == pytest.approx(1)
    np.testing.assert_allclose(both.of_photos(made.training.features), both.photos)
    np.testing.assert_allclose(both.of_videos(made.training.videos), both.videos)


def test_cvh_correlations_are_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(400, 2))
    X = common @ rng.normal(size=(2, 5)) + rng.normal(size=(400, 5))
    Y = common @ rng.normal(size=(2, 4)) + rng.normal(size=(400, 4))
    a, b, values = cvh.directions(X, Y, 2, ridge=0)
    x, y = CCA(2, scale=False, max_iter=5000, tol=1e-10).fit(X, Y).transform(X, Y)
    expected = [np.corrcoef(x[:, k], y[:, k])[0, 1] for k in range(2)]
    np.testing.assert_allclose(values, expected, atol=1e-6)
    found = [np.corrcoef(X @ a[:, k], Y @ b[:, k])[0, 1] for k in range(2)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_cmssh_boosts_as_adaboost_does() -> None:
    """After a round the bit is worth nothing under the new weights, and weights are those of the textbook's loop."""
    rng = np.random.default_rng(0)
    w, agree = rng.random(50), np.where(rng.random(50) < 0.7, 1.0, -1.0)
    w /= w.sum()
    new = cmssh.boost(w, agree)
    assert new.sum() == pytest.approx(1)
    assert (new * agree).sum() == pytest.approx(0, abs=1e-12)
    error = sum(w[i] for i in range(50) if agree[i] < 0)
    slow = [w[i] * (np.sqrt((1 - error) / error) if agree[i] < 0 else np.sqrt(error / (1 - error))) for i in range(50)]
    np.testing.assert_allclose(new, np.array(slow) / sum(slow))


def test_cmssh_offsets_are_the_best_of_the_grid() -> None:
    rng = np.random.default_rng(1)
    X, Y, s = rng.normal(size=(60, 4)), rng.normal(size=(60, 3)), np.where(rng.random(60) < 0.5, 1.0, -1.0)
    Y[:, 0] += s * X[:, 0]
    w = np.full(60, 1 / 60)
    a, c, b, e = cmssh.weak(X, Y, s, w)
    C = sum(w[i] * s[i] * np.outer(X[i], Y[i]) for i in range(60))
    assert a @ C @ b == pytest.approx(np.linalg.norm(C, 2))

    def worth(c: float, e: float) -> float:
        return float((w * s * np.where(X @ a + c >= 0, 1, -1) * np.where(Y @ b + e >= 0, 1, -1)).sum())

    grid = [(-np.quantile(X @ a, p), -np.quantile(Y @ b, q)) for p in cmssh.QUANTILES for q in cmssh.QUANTILES]
    assert worth(c, e) == pytest.approx(max(worth(*both) for both in grid))


def test_pdh_independent_bits_are_the_nearest_orthogonal_columns() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random((40, 3)) < 0.5, 1.0, -1.0)
    found = pdh.independent(values)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-12)
    centred = values - values.mean(axis=0)
    best = float((found * centred).sum())
    for _ in range(200):
        turned = np.linalg.qr(found + 0.3 * rng.normal(size=found.shape))[0]
        assert float((turned * centred).sum()) <= best + 1e-9


def latent(n: int = 8, m: int = 7, K: int = 3) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    U, V = (np.where(rng.random((size, K)) < 0.5, 1.0, -1.0) for size in (n, m))
    S = tuple((lambda X: mlbe.cosines(X, X))(rng.normal(size=(size, 4))) for size in (n, m))
    same = (rng.random((n, m)) < 0.3).astype(float)
    return U, V, S, same, rng.random((n, m)) + 0.1, tuple(rng.random(K) for _ in range(3))


def test_mlbe_sweep_is_the_slow_one() -> None:
    """Every bit set to the value of larger log-posterior, computed as a whole each time."""
    U, V, S, same, seen, w = latent()
    slow = U.copy()
    for i, k in itertools.product(range(len(U)), range(U.shape[1])):
        both = []
        for value in (-1.0, 1.0):
            slow[i, k] = value
            both.append(mlbe.log_posterior(slow, V, S, same, seen, w))
        slow[i, k] = 1.0 if both[1] >= both[0] else -1.0
    mlbe.sweep(U, V, S[0], same, seen, w[0], w[2])
    np.testing.assert_array_equal(U, slow)


def test_mlbe_weights_are_maxima() -> None:
    U, V, S, same, seen, w = latent()
    best = mlbe.own_weights(U, S[0])
    value = mlbe.log_posterior(U, V, S, same, seen, (best, w[1], w[2]))
    for k, step in itertools.product(np.flatnonzero(best), (-0.01, 0.01)):
        if (best == 0).any():
            break  # cut at 0: the others are then no maximum of what is left
        moved = best + step * np.eye(3)[k]
        assert mlbe.log_posterior(U, V, S, same, seen, (moved, w[1], w[2])) <= value
    values = [mlbe.log_posterior(U, V, S, same, seen, (w[0], w[1], w[2]))]
    cross = w[2]
    for _ in range(3):
        cross = mlbe.cross_weights(U, V, same, seen, cross)
        values.append(mlbe.log_posterior(U, V, S, same, seen, (w[0], w[1], cross)))
    assert values == sorted(values)
    assert (cross >= 0).all()


def test_mlbe_sees_as_much_of_one_person_as_of_two() -> None:
    same = (np.arange(30).reshape(5, 6) % 7 == 0).astype(float)
    seen = mlbe.evenly_seen(same)
    assert (seen[same > 0] == 1).all()
    assert seen[same == 0].sum() == pytest.approx(same.sum())
    assert len(set(seen[same == 0].tolist())) == 1
    for one_kind in (np.ones((2, 2)), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="pairs of two are needed"):
            mlbe.evenly_seen(one_kind)


def test_mlbe_spends_no_bit_on_most_pairs_being_of_two_people() -> None:
    """With forty people one pair in forty is of one; a bit that is 1 on photos and 0 on videos would say so."""
    made = made_people(people=40, photos=6, videos=3)
    fitted = mlbe.fit(made.training, 12, np.random.default_rng(0))
    for bits in (fitted.still_bits(made.training.features), fitted.video_bits(made.training.videos)):
        ones = bits.mean(axis=0)
        assert ((ones > 0.05) & (ones < 0.95)).all()


def test_mlbe_own_weights_recover_those_that_made_the_similarities() -> None:
    rng = np.random.default_rng(2)
    U, w = np.where(rng.random((200, 3)) < 0.5, 1.0, -1.0), np.array([0.5, 0.2, 0.1])
    np.testing.assert_allclose(mlbe.own_weights(U, (U * w) @ U.T), w, rtol=1e-3)


def test_mlbe_new_bits_are_the_most_probable_of_all() -> None:
    """Given cosines to training things, by going through all codes; they are what no single bit can better."""
    rng = np.random.default_rng(2)
    X, U, w = rng.normal(size=(30, 5)), np.where(rng.random((30, 4)) < 0.5, 1.0, -1.0), np.array([0.5, 0.2, 0.1, 0.3])
    new = rng.normal(size=(40, 5)) + 0.3
    found = mlbe.new_bits(Space(np.full(5, 0.3), None, 2.0), X, U, w)(new)
    codes = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    best = 0
    for bits, similarity in zip(found, mlbe.cosines(new - 0.3, X), strict=True):

        def error(code: Matrix, similarity: Matrix = similarity) -> float:
            return float(np.square(similarity - (code * w) @ U.T).sum())

        code = np.where(bits, 1.0, -1.0)
        best += error(code) <= min(map(error, codes)) + 1e-9
        for k in range(4):
            turned = code.copy()
            turned[k] *= -1
            assert error(code) <= error(turned) + 1e-9
    assert best >= 36


def test_mm_nn_loss_is_that_of_loops() -> None:
    rng = np.random.default_rng(0)
    a, b, same = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), rng.random(6) < 0.5
    slow = []
    for i in range(6):
        distance = float(np.linalg.norm(a[i] - b[i]))
        slow.append(0.5 * distance**2 if same[i] else 0.5 * max(0.0, 2.5 - distance) ** 2)
    found = mm_nn.contrastive(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(same), 2.5)
    assert float(found) == pytest.approx(np.mean(slow), rel=1e-6)


def test_mm_nn_gets_better_with_training(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:  # noqa: ARG001
    made, found = made_people(spread=0.8), []
    for steps in (1, 150):
        monkeypatch.setattr(mm_nn, "STEPS", steps)
        fitted = mm_nn.fit(made.training, 8, np.random.default_rng(0))
        found.append(mean_ap(fitted.stills(made.stills), fitted.videos(made.tracks), made))
    assert found[1] > found[0] + 0.2


def test_plmh_with_one_anchor_is_canonical_correlation() -> None:
    """One basis: beta is 1, nothing is apart; then its directions are those of scipy's generalised eigenproblem."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    alone = plmh.Local(X, rng, anchors=1)
    np.testing.assert_allclose(alone(X), X)
    np.testing.assert_allclose(alone.apart(4), 0, atol=1e-12)
    np.testing.assert_allclose(plmh.bound(X, alone, 4), X.T @ X / 30)
    cross, left, right = X.T @ Y / 30, X.T @ X / 30, Y.T @ Y / 30
    a, b, values = canonical(cross, left, right, 0, 2)
    whole = np.block([[np.zeros((4, 4)), cross], [cross.T, np.zeros((3, 3))]])
    expected = scipy.linalg.eigh(whole, scipy.linalg.block_diag(left, right), eigvals_only=True)[::-1]
    np.testing.assert_allclose(values, expected[:2], atol=1e-8)
    np.testing.assert_allclose(np.diag(a.T @ cross @ b), values, atol=1e-8)
    np.testing.assert_allclose(a.T @ left @ a, np.eye(2), atol=1e-8)


def test_plmh_mixes_hyperplanes_by_place() -> None:
    """The local form of a bit is the hyperplane sum beta_c(x) w_c, by loops; apart is the squared distance of bases."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 4))
    local = plmh.Local(X, rng, anchors=3)
    bases = rng.normal(size=(3, 4))
    beta = local.weights(X)
    np.testing.assert_allclose(beta.sum(axis=1), 1)
    slow = [sum(beta[i, c] * float(bases[c] @ X[i]) for c in range(3)) for i in range(20)]
    np.testing.assert_allclose(local(X) @ bases.ravel(), slow)
    spread = sum(float(np.square(base - bases.mean(axis=0)).sum()) for base in bases)
    assert bases.ravel() @ local.apart(4) @ bases.ravel() == pytest.approx(spread)


def test_her_kernels_are_scikit_learn_s_and_log_euclidean() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    space = her.KernelSpace(X, rng, most=15)
    gamma = 1 / (2 * space.width**2)
    inner = (space(space.landmarks) + space.mean) @ (space(space.landmarks) + space.mean).T
    np.testing.assert_allclose(inner, rbf_kernel(space.landmarks, gamma=gamma), atol=1e-5)
    # of two videos: the Gaussian of the distance of matrix logarithms, by scipy
    covariance = Covariance(0.3, divide=True, homogeneous=True)
    tracks = [rng.normal(size=(6, 3)).astype(np.float32) for _ in range(2)]
    logs = []
    for frames in tracks:
        F = np.concatenate([frames, np.ones((6, 1))], axis=1)
        logs.append(scipy.linalg.logm(F.T @ F / 6 + 0.3 * np.eye(4)))
    vectors = log_covariances(tracks, covariance)
    distance = np.linalg.norm(logs[0] - logs[1])
    assert rbf_kernel(vectors[:1], vectors[1:], gamma=0.1)[0, 0] == pytest.approx(np.exp(-0.1 * distance**2), rel=1e-5)


def test_more_bits_than_dimensions() -> None:
    """Where directions end, methods draw others, or say that they cannot."""
    training = made_people(people=4, photos=6).training
    with pytest.raises(Exception, match=f"cvh: {D + 5} bits of"):
        cvh.fit(training, D + 5, np.random.default_rng(0))
    for one in (her, mlbe, pdh):
        fitted = one.fit(training, D + 5, np.random.default_rng(0))
        assert fitted.still_bits(training.features).shape == (len(training.features), D + 5)
