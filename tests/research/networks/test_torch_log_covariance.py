"""log_covariance.py: values against log_covariance.py, gradients against differences and the paper's."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dhhcli.base.arrays import Matrix
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.log_covariance import EPS, log_covariance
from dhhcli.research.training.networks import log_covariance as logcov
from dhhcli.research.training.networks.hash_model import HashModel

# Spectra: all different; two and three that meet; zero ones; everything zero; nearly meeting.
SPECTRA = {
    "distinct": (3.0, 1.7, 0.6, 0.2),
    "repeated": (1.3, 1.3, 1.3, 0.4),
    "nearly repeated": (1.3, 1.3 + 1e-9, 0.4, 0.4 + 1e-6),
    "zero": (2.0, 0.0, 0.0, 0.0),
    "repeated and zero": (0.7, 0.7, 0.0, 0.0),
    "all zero": (0.0, 0.0, 0.0, 0.0),
    "below eps": (1e-2, 3e-3, 1e-3, 0.0),
    "wide": (40.0, 1.0, 1e-2, 1e-5),
}


def with_spectrum(values: tuple[float, ...], m: int, d: int, seed: int = 0) -> Tensor:
    """One (1, m, d) set of frames with these singular values (the rest zero), float64."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.normal(size=(m, m)))[0]
    V = np.linalg.qr(rng.normal(size=(d, d)))[0]
    S = np.zeros((m, d))
    k = min(m, d, len(values))
    S[np.arange(k), np.arange(k)] = values[:k]
    return torch.from_numpy(U @ S @ V.T)[None]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def gradient(D: Tensor, A: Tensor, eps: float = EPS) -> Tensor:
    """d<A, Y>/dD for one set (m, d)."""
    leaf = D.clone().requires_grad_()
    (logcov.log_covariance_matrix(leaf[None], eps=eps)[0] * A).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize(("m", "d"), [(1, 6), (4, 6), (6, 6), (7, 6), (25, 6)])
def test_numpy_and_torch_agree(m: int, d: int, divide: bool) -> None:
    D = normal(3, m, d)
    counts = torch.full((3,), m) if divide else None
    found = logcov.log_covariance(D, counts=counts)
    assert found.shape == (3, d * (d + 1) // 2)
    for row, features in zip(found, D, strict=True):
        np.testing.assert_allclose(row, log_covariance(features.numpy(), divide=divide), atol=1e-10)


@pytest.mark.parametrize(("spread", "length"), [(0.0, 30.0), (1e-3, 30.0), (0.3, 3.0)])
def test_float32_agrees_even_where_frames_are_nearly_identical(spread: float, length: float) -> None:
    face, noise = normal(1, 64), normal(12, 64, seed=1)
    D = (length * (face / face.norm() + spread * noise / 8)).float()
    found = logcov.log_covariance(D[None])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0], log_covariance(D.numpy()), atol=1e-4)


@pytest.mark.parametrize("m", [2, 4, 5, 8])  # d = 5: fewer frames than features, as many, more
@pytest.mark.parametrize("name", SPECTRA)
def test_gradcheck(name: str, m: int) -> None:
    """Against finite differences. eps 0.05 keeps their own error small where singular values are zero."""
    D = with_spectrum(SPECTRA[name], m, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: logcov.log_covariance(x, eps=0.05), (D,), eps=1e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 1, 1), (2, 3, 5), (2, 7, 3)])
def test_gradcheck_at_the_default_eps(shape: tuple[int, int, int]) -> None:
    D = normal(*shape).requires_grad_()
    counts = torch.full(shape[:1], 2)
    assert torch.autograd.gradcheck(logcov.log_covariance, (D,), atol=1e-5)
    assert torch.autograd.gradcheck(lambda x: logcov.log_covariance(x, counts=counts), (D,), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in SPECTRA if name != "below eps"])  # where scipy doubts itself
@pytest.mark.parametrize("m", [3, 5, 9])  # d = 5
def test_is_the_matrix_logarithm(name: str, m: int) -> None:
    D = with_spectrum(SPECTRA[name], m, 5)
    expected = scipy.linalg.logm(D[0].numpy().T @ D[0].numpy() + EPS * np.eye(5))
    np.testing.assert_allclose(logcov.log_covariance_matrix(D)[0], expected, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(6)), d=st.sampled_from([3, 8]), seed=st.integers(0, 1000))
def test_the_order_of_the_frames_does_not_matter(order: list[int], d: int, seed: int) -> None:
    """Nor to the gradient, whose rows follow the frames; with more frames than features as with fewer."""
    D, A = normal(6, d, seed=seed), normal(d, d, seed=seed + 1)
    torch.testing.assert_close(
        logcov.log_covariance(D[order][None]), logcov.log_covariance(D[None]), atol=1e-10, rtol=0
    )
    exact = gradient(D, A)
    torch.testing.assert_close(gradient(D[order], A), exact[order], atol=1e-9 * float(exact.abs().max()), rtol=0)


def test_vector_and_matrix_are_each_other() -> None:
    """Packing is an isometry, and unpacking its inverse and transpose."""
    Y = normal(2, 6, 6)
    Y = Y + Y.mT
    vectors = logcov.pack_triangle(Y)
    assert vectors.shape == (2, 21)
    torch.testing.assert_close(logcov.unpack_triangle(vectors), Y)
    torch.testing.assert_close(vectors.square().sum(dim=1), Y.square().sum(dim=(1, 2)))
    v = normal(2, 21, seed=1)
    torch.testing.assert_close((vectors * v).sum(), (Y * logcov.unpack_triangle(v)).sum())


def equation_13(D: Matrix, A: Matrix, eps: float, *, guarded: bool = True) -> Matrix:
    """The paper's gradient d<A, Y>/dD, Y = V log(S^T S + eps I) V^T, D = U S V^T, A symmetric.

    dL/dV = 2 A V log(S^T S + eps I) and dL/dS = 2 S (S^T S + eps I)^-1 V^T A V, carried to D by
    U (2 S (K^T o (V^T dL/dV))_sym + (dL/dS)_diag) V^T with K_ij = 1 / (s_i^2 - s_j^2), 0 on the diagonal.
    Pairs of two null directions are multiplied by a zero row of S, so their K does not matter. ``guarded``: K is 0
    where two squares are exactly equal, as implementations have it; else as printed. In the precision of D.
    """
    m, d = D.shape
    U, s, Vt = np.linalg.svd(D, full_matrices=True)
    S = np.zeros((m, d), D.dtype)
    S[np.arange(len(s)), np.arange(len(s))] = s
    squares = np.zeros(d, D.dtype)
    squares[: len(s)] = s**2
    K = np.zeros((d, d), D.dtype)
    for i in range(d):
        for j in range(d):
            if i != j and (squares[i] != squares[j] or not guarded):
                K[i, j] = 1 / (squares[i] - squares[j])
    V = Vt.T
    dV = 2 * A @ V @ np.diag(np.log(squares + eps))
    dS = 2 * S @ np.diag(1 / (squares + eps)) @ V.T @ A @ V
    inner = K.T * (V.T @ dV)
    only_diagonal = np.zeros((m, d), D.dtype)
    np.fill_diagonal(only_diagonal, np.diag(dS))
    return np.asarray(U @ (2 * S @ ((inner + inner.T) / 2) + only_diagonal) @ Vt)


@pytest.mark.parametrize(
    ("m", "values"),
    [
        (3, (3.0, 1.7, 0.6)),
        (4, (3.0, 1.7, 0.6, 0.2)),
        (5, (4.0, 2.5, 1.5, 0.7, 0.1)),
        (8, (4.0, 2.5, 1.5, 0.7, 0.1)),
    ],
)
def test_agrees_with_the_papers_equation_13(m: int, values: tuple[float, ...]) -> None:
    D = with_spectrum(values, m, 5)[0]
    A = normal(5, 5, seed=2)
    A = A + A.T
    expected = equation_13(D.numpy(), A.numpy(), EPS)
    np.testing.assert_allclose(gradient(D, A), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_stays_right_where_equation_13_blows_up() -> None:
    """Where two singular values meet the paper divides by zero; the gradient is continuous there."""
    A = normal(5, 5, seed=2)
    A = A + A.T
    apart = with_spectrum((2.0, 1.0 + 1e-3, 1.0 - 1e-3), 3, 5)[0]
    meeting = with_spectrum((2.0, 1.0, 1.0), 3, 5)[0]
    assert (gradient(meeting, A) - gradient(apart, A)).abs().max() < 0.02 * gradient(apart, A).abs().max()


def test_equation_13_as_printed_is_no_number_where_singular_values_meet() -> None:
    """Three orthogonal frames of one length: 1 / 0. Ours is the limit, here -2 A / (1 + eps) without cross terms."""
    D, A = np.eye(3, 5), normal(5, 5, seed=2).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        printed = equation_13(D, A + A.T, EPS, guarded=False)
    assert np.isnan(printed).any()
    ours = gradient(torch.from_numpy(D), torch.from_numpy(A + A.T))
    assert torch.isfinite(ours).all()
    assert 0 < float(ours.abs().max()) < 100


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4, 1e-5])
def test_equation_13_loses_its_digits_as_singular_values_meet(gap: float) -> None:
    """In float32, as networks are trained: its error grows like 1 / gap, ours does not."""
    D = with_spectrum((4.0, 3.0 + gap, 3.0), 3, 5)[0]
    A = normal(5, 5, seed=2)
    A = A + A.T
    exact = gradient(D, A)
    paper = equation_13(D.float().numpy(), A.float().numpy(), EPS)
    size = float(exact.norm())
    assert float((gradient(D.float(), A.float()) - exact).norm()) < 2e-6 * size + 1e-6
    lost = float((torch.from_numpy(paper) - exact).norm()) / size
    assert lost > 2e-9 / gap


def test_equation_13_explodes_where_frames_are_repeated() -> None:
    """Every frame twice, as film on television shows it: singular values of rounding, which nearly meet one another.

    Guarded against exact equality, equation 13 stays a number in float32, and is one of the wrong size.
    """
    D, A = normal(6, 20).repeat(2, 1), normal(20, 20, seed=2)
    A = A + A.T
    exact = gradient(D.float().double(), A)
    paper = torch.from_numpy(equation_13(D.float().numpy(), A.float().numpy(), EPS))
    assert float((paper - exact).norm()) > 1e3 * float(exact.norm())
    assert float((gradient(D.float(), A.float()) - exact).norm()) < 1e-5 * float(exact.norm())


@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-10, 1e-7, 4e-6, 6e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("middle", [0.0, 1e-9, 8e-7, 1e-6, 1e-3, 1.0, 100.0])
def test_divided_differences_lose_no_digits(middle: float, gap: float) -> None:
    """Against the mean of f' over the interval by Gauss-Legendre, f' from an integral that cancels nothing.

    f(x) = int_0^1 dt / (x t + eps), hence f'(x) = -int_0^1 t dt / (x t + eps)^2; t = (c^u - 1) / (c - 1) with
    c = 1 + x / eps makes the integrand smooth.
    """
    a, b = middle, middle + gap * (middle + EPS)

    def derivative(x: float) -> float:
        nodes, weights = np.polynomial.legendre.leggauss(60)
        u, w = (nodes + 1) / 2, weights / 2
        rate = np.log1p(x / EPS)
        if rate == 0:
            return -1 / (2 * EPS**2)
        t = np.expm1(rate * u) / (x / EPS)
        jacobian = rate * np.exp(rate * u) / (x / EPS)
        return float(-(w * t * jacobian / (x * t + EPS) ** 2).sum())

    nodes, weights = np.polynomial.legendre.leggauss(12)
    expected = sum(w / 2 * derivative(a + (b - a) * (n + 1) / 2) for n, w in zip(nodes, weights, strict=True))
    K = logcov.loewner(torch.tensor([[a, b]], dtype=torch.float64), EPS)[0]
    assert K[0, 1] == K[1, 0]
    assert float(K[0, 1]) == pytest.approx(expected, rel=1e-9)
    assert float(K[0, 0]) == pytest.approx(derivative(a), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", [1, 12, 40])  # d = 20
@pytest.mark.parametrize("kind", ["identical", "zero", "one of them zero", "rank two"])
def test_degenerate_frames_have_finite_gradients(kind: str, m: int, dtype: torch.dtype) -> None:
    D = normal(2, m, 20)
    if kind == "identical":
        D = D[:, :1].repeat(1, m, 1)
    elif kind == "zero":
        D = torch.zeros_like(D)
    elif kind == "one of them zero":
        D[:, 0] = 0
    else:
        D = D[:, torch.arange(m) % 2]
    D = D.to(dtype).requires_grad_()
    Y = logcov.log_covariance(D)
    assert Y.dtype == dtype
    (Y * normal(*Y.shape, seed=3).to(dtype)).sum().backward()  # type: ignore[no-untyped-call]
    assert D.grad is not None
    assert D.grad.dtype == dtype
    assert torch.isfinite(Y).all()
    assert torch.isfinite(D.grad).all()


@pytest.mark.parametrize("m", [6, 30])
def test_float32_gradient_of_identical_frames_is_right(m: int) -> None:
    """Not only finite: the same as in float64 to five digits."""
    face = normal(1, 20)
    D = (3 * face).repeat(m, 1)
    A = normal(20, 20, seed=4)
    exact = gradient(D.float().double(), A)
    assert (gradient(D.float(), A.float()).double() - exact).norm() < 1e-5 * exact.norm()


@pytest.mark.parametrize("m", [3, 6, 14])  # d = 8: padding to 10 crosses from m <= d to m > d
def test_padding_with_zero_frames_changes_nothing(m: int) -> None:
    D, A = normal(m, 8), normal(8, 8, seed=5)
    padded = torch.cat([D, torch.zeros(4, 8, dtype=D.dtype)])
    torch.testing.assert_close(logcov.log_covariance(padded[None]), logcov.log_covariance(D[None]), atol=1e-10, rtol=0)
    torch.testing.assert_close(gradient(padded, A)[:m], gradient(D, A), atol=1e-7, rtol=1e-7)
    counts = torch.tensor([m])
    torch.testing.assert_close(
        logcov.log_covariance(padded[None], counts=counts)[0],
        torch.from_numpy(log_covariance(D.numpy(), divide=True)),
        atol=1e-10,
        rtol=0,
    )


def test_a_batch_is_its_members_one_by_one() -> None:
    D = normal(4, 3, 6)
    together = logcov.log_covariance(D)
    for row, features in zip(together, D, strict=True):
        torch.testing.assert_close(row, logcov.log_covariance(features[None])[0])


@pytest.mark.parametrize("divide", [False, True])
def test_hash_layers_in_numpy_give_the_models_codes(divide: bool) -> None:
    """The trained layers and the shipped ones: tracks of different length, padded for torch only."""
    torch.manual_seed(0)
    model = HashModel(12, features=10, divide=divide).eval()
    tracks = [normal(m, 10, seed=m).float() for m in (1, 3, 7)]
    padded = torch.zeros(3, 7, 10)
    for row, track in enumerate(tracks):
        padded[row, : len(track)] = track
    stills = normal(5, 10, seed=9).float()
    layers = model.layers()
    assert layers.bits == 12
    with torch.no_grad():
        soft = model.hash_tracks(padded, torch.tensor([1, 3, 7]))
        still = model.hash_stills(stills)
    np.testing.assert_allclose(hash_tracks(layers, [t.numpy() for t in tracks]), soft, atol=1e-5)
    np.testing.assert_allclose(hash_stills(layers, stills.numpy()), still, atol=1e-6)
    assert hash_tracks(layers, []).shape == (0, 12)


def test_track_layer_can_start_like_the_still_layer() -> None:
    """A track of one repeated photo gets the photo's logits, up to the scale that the logarithm costs."""
    torch.manual_seed(0)
    model = HashModel(8, features=10, divide=True).eval()
    x = 0.3 * normal(10).float()
    x[9] = 1.0  # the feature that is 1 on every picture
    Y_row = log_covariance(x[None].numpy(), divide=True)
    rows, columns = np.triu_indices(10)
    per_unit = Y_row[(columns == 9) & (rows == 0)][0] / float(x[0])
    model.tracks_like_stills(1 / per_unit, 9)
    with torch.no_grad():
        track = model.hash_tracks(x[None, None], torch.tensor([1]))
        still = model.hash_stills(x[None])
    torch.testing.assert_close(track, still, atol=2e-3, rtol=0)
