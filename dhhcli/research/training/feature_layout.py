"""feature_layout: trained backbone + features (n, 320) of known people -> the same network, d features laid out anew.

The matrix logarithm is not indifferent to how features are scaled and centred: eps decides which eigenvalues
count, and directions that vary for reasons other than who it is crowd out those that matter. Nothing
non-linear stands between the last convolution and the average, so any linear map of the features folds into
that convolution exactly. The layout (a deviation from the paper, which takes the features as they come):

    0..d-2    the d - 1 directions that tell people apart best (Fisher's discriminants, the scatter within people shrunk
              towards a multiple of the identity: Friedman, JASA 1989), centred on the training people and scaled so
              that the squared length is ``power`` on average
    d-1       1 on every picture: D^T D then holds the mean of the frames besides their second moments
              (Lovric, Min-Oo and Ruh, J. Multivariate Analysis 2000), and the sign of the mean is not lost

With d = 128 the video layer has 8,256 inputs where 320 features have 51,360, and the real-valued features retrieve as
well as all 320 (docs/research/experiments.md).
"""

import torch
from torch import Tensor, nn

from dhhcli.research.training.networks.backbone import Backbone, append_linear, fold_batch_norm


@torch.no_grad()
def layout(features: Tensor, identity: Tensor, *, size: int, shrink: float, power: float) -> tuple[Tensor, Tensor]:
    """Matrix (size, d) and offset (size,) of the map above.

    Args:
        features: (n, d) of photos of training people.
        identity: (n,); people with one photo say nothing about the scatter within people, but count for the mean.
        size: features wanted, the constant one included; at most d + 1.
        shrink: weight of the identity, in units of the mean variance within people.
        power: mean squared length of the centred features, the constant one not counted.

    Raises:
        ValueError: ``size`` is larger than d + 1.
    """
    d = features.shape[1]
    if not 1 < size <= d + 1:
        raise ValueError(f"{d} features cannot be laid out as {size}; 2 to {d + 1} can")
    F = features.double()
    centred = F - F.mean(dim=0)
    _, person, counts = torch.unique(identity, return_inverse=True, return_counts=True)
    means = torch.zeros(len(counts), d, dtype=torch.float64).index_add_(0, person, centred) / counts[:, None]
    residual = centred - means[person]
    S = residual.T @ residual / max(1, len(F) - len(counts))  # within people
    known = means[counts > 1] if (counts > 1).any() else means
    B = known.T @ known / len(known)  # between people
    unit = torch.diagonal(S).mean().clamp_min(1e-12)
    root = torch.linalg.cholesky(S + shrink * unit * torch.eye(d, dtype=torch.float64))
    inverse = torch.linalg.solve_triangular(root, torch.eye(d, dtype=torch.float64), upper=False)
    vectors = torch.linalg.eigh(inverse @ B @ inverse.T).eigenvectors.flip(1)  # eigh sorts upwards
    directions = vectors[:, : size - 1].T @ inverse
    length = (centred @ directions.T).square().sum(dim=1).mean().clamp_min(1e-12)
    matrix = torch.zeros(size, d, dtype=torch.float64)
    matrix[:-1] = directions * (power / length).sqrt()
    offset = -matrix @ F.mean(dim=0)
    offset[-1] = 1.0
    return matrix.float(), offset.float()


class Conditioned(nn.Module):
    """A backbone with its layout behind it: (n, 3, s, s) -> (n, d) float32. The layout itself is not trained."""

    matrix: Tensor
    offset: Tensor

    def __init__(self, backbone: Backbone, matrix: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("matrix", matrix)
        self.register_buffer("offset", offset)

    def forward(self, crops: Tensor) -> Tensor:
        return self.lay_out(self.backbone(crops))

    def lay_out(self, features: Tensor) -> Tensor:
        """Features (n, 320) of the backbone -> (n, d)."""
        with torch.autocast(features.device.type, enabled=False):  # the constant has to stay exactly 1
            return features.float() @ self.matrix.T + self.offset

    def folded(self) -> Backbone:
        """The same function as one backbone without batch normalisation, which is what ships."""
        return append_linear(fold_batch_norm(self.backbone), self.matrix, self.offset)
