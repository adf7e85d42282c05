"""losses: relaxed codes of stills (n, K) and tracks (n, K) with identities -> triplet loss, a scalar.

Equations 3 to 5 of Qiao et al. (TIP 2019), relaxed codes b in (0, 1)^K and squared Euclidean distance:

    J(u, v, w) = max(0, alpha + |b_u - b_v|^2 - |b_u - b_w|^2),   v the same person as u, w another,
    J = mean over still/track triplets + lambda1 mean over still triplets + lambda2 mean over track triplets.

Beside it stands a contrastive loss that the paper does not have: most triplets of a batch of many people are satisfied
and say nothing, while a softmax over everybody keeps weighing who is mistaken for whom. The last two are terms that
several of the rivals (baselines/deep/image_networks.py) share.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class TripletTerms:
    """The three means of equation 5; the total weighs them."""

    cross: Tensor
    still: Tensor
    track: Tensor

    def total(self, lambda1: float, lambda2: float) -> Tensor:
        """cross + lambda1 * still + lambda2 * track."""
        return self.cross + lambda1 * self.still + lambda2 * self.track


def triplet_sum(
    anchors: Tensor, others: Tensor, anchor_ids: Tensor, other_ids: Tensor, alpha: float, *, same: bool
) -> tuple[Tensor, Tensor]:
    """Sum of J over every valid triplet (anchor; positive, negative among the others), and their number.

    Args:
        anchors: (a, K) relaxed codes.
        others: (b, K) relaxed codes; ``same``: they are the anchors themselves, and nobody is their own
            positive.
        anchor_ids: (a,) identities.
        other_ids: (b,) identities.
        alpha: margin.
        same: see ``others``.

    Returns:
        Two scalars. The work is one (a, b, b) tensor: 27,000 numbers for the paper's batch.
    """
    distance = (anchors[:, None] - others[None]).square().sum(dim=2)  # (a, b)
    positive = anchor_ids[:, None] == other_ids[None]
    negative = ~positive
    if same:
        positive = positive & ~torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    hinge = (alpha + distance[:, :, None] - distance[:, None, :]).clamp_min(0)  # (a, positive, negative)
    valid = positive[:, :, None] & negative[:, None, :]
    return (hinge * valid).sum(), valid.sum()


def heterogeneous_triplets(
    stills: Tensor, tracks: Tensor, still_ids: Tensor, track_ids: Tensor, alpha: float
) -> TripletTerms:
    """All three means of equation 5 over every valid triplet of the batch; 0 where there is none.

    The cross term takes stills as anchors against tracks and tracks as anchors against stills.
    """
    a, n_a = triplet_sum(stills, tracks, still_ids, track_ids, alpha, same=False)
    b, n_b = triplet_sum(tracks, stills, track_ids, still_ids, alpha, same=False)
    s, n_s = triplet_sum(stills, stills, still_ids, still_ids, alpha, same=True)
    t, n_t = triplet_sum(tracks, tracks, track_ids, track_ids, alpha, same=True)
    return TripletTerms(
        cross=(a + b) / (n_a + n_b).clamp_min(1), still=s / n_s.clamp_min(1), track=t / n_t.clamp_min(1)
    )


def contrast(anchors: Tensor, others: Tensor, anchor_ids: Tensor, other_ids: Tensor, scale: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, L_out) between two kinds of codes -> scalar.

    Similarity is the inner product of the codes as signs in (-1, 1), divided by K: 1 - 2 Hamming / K on binary codes.

    Args:
        anchors: (a, K) relaxed codes in (0, 1).
        others: (b, K) relaxed codes of the other kind; anchors are not among them.
        anchor_ids: (a,) identities.
        other_ids: (b,) identities; an anchor nobody of whom is there counts nothing.
        scale: inverse temperature.
    """
    logits = scale * (2 * anchors - 1) @ (2 * others - 1).T / anchors.shape[1]
    same = (anchor_ids[:, None] == other_ids[None]).to(logits.dtype)
    each = -(functional.log_softmax(logits, dim=1) * same).sum(dim=1) / same.sum(dim=1).clamp_min(1)
    valid = same.any(dim=1)
    return (each * valid).sum() / valid.sum().clamp_min(1)


def centre_loss(features: Tensor, centres: Tensor) -> Tensor:
    """Half the squared distance of each item (n, d) to its person's centre (n, d) -> (n,).

    Equation 2 of Wen et al. (ECCV 2016), an item at a time.
    """
    return (features - centres).square().sum(dim=1) / 2


def towards_one(values: Tensor) -> Tensor:
    """How far the sizes of relaxed codes (n, K) in (-1, 1) are from 1: sum over the bits of | |h| - 1 | -> (n,)."""
    return (values.abs() - 1).abs().sum(dim=1)
