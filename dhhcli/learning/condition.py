"""condition: trained backbone + teacher head -> the same network, features laid out for the log-covariance.

The matrix logarithm is not indifferent to how features are scaled and centred: eps decides which eigenvalues
count, and directions that vary for reasons other than who it is crowd out those that matter. Nothing
non-linear stands between the last convolution and the average, so any linear map of the features folds into
that convolution exactly. The layout (a deviation from the paper, which takes the features as they come):

    0..127    the teacher's embedding as the student predicts it, centred on the training people,
              times ``gain``
    128..318  the directions the head does not use, centred, whitened, times ``rest``
    319       1 on every picture: D^T D then holds the mean of the frames besides their second moments
              (Lovric, Min-Oo and Ruh, J. Multivariate Analysis 2000), and the sign of the mean is not lost
"""

import torch
from torch import Tensor, nn

from .backbone import FEATURES, Backbone, append_linear, fold_batch_norm

TAUGHT = 128
HOMOGENEOUS = FEATURES - 1


@torch.no_grad()
def layout(features: Tensor, head: nn.Linear, *, gain: float, rest: float) -> tuple[Tensor, Tensor]:
    """Matrix (320, 320) and offset (320,) of the map above, fitted on training people's features (n, 320)."""
    F = features.double()
    W = head.weight.double()
    mean = F.mean(dim=0)  # centring cancels the head's bias
    # (192, 320), orthogonal to the head's rows
    complement = torch.linalg.svd(W, full_matrices=True).Vh[TAUGHT:]
    values, vectors = torch.linalg.eigh(complement @ torch.cov(F.T) @ complement.T)
    keep = slice(-(HOMOGENEOUS - TAUGHT), None)  # eigh sorts upwards: the 191 largest
    whiten = (vectors[:, keep] / values[keep].clamp_min(1e-8).sqrt()).T @ complement
    matrix = torch.zeros(FEATURES, FEATURES, dtype=torch.float64)
    matrix[:TAUGHT] = gain * W
    matrix[TAUGHT:HOMOGENEOUS] = rest * whiten
    offset = -matrix @ mean
    offset[HOMOGENEOUS] = 1.0
    return matrix.float(), offset.float()


class Conditioned(nn.Module):
    """A backbone with its layout behind it: (n, 3, s, s) -> (n, 320) float32. The layout itself is not trained."""

    matrix: Tensor
    offset: Tensor

    def __init__(self, backbone: Backbone, matrix: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("matrix", matrix)
        self.register_buffer("offset", offset)

    def forward(self, crops: Tensor) -> Tensor:
        features = self.backbone(crops).float()
        with torch.autocast(crops.device.type, enabled=False):  # the constant has to stay exactly 1
            laid_out: Tensor = features @ self.matrix.T + self.offset
            return laid_out

    def folded(self) -> Backbone:
        """The same function as one backbone without batch normalisation, which is what ships."""
        backbone = fold_batch_norm(self.backbone)
        append_linear(backbone, self.matrix, self.offset)
        return backbone
