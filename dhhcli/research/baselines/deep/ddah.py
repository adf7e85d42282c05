"""ddah: crops (n, 3, s, s) in [-1, 1] -> hash values (n, K), by a network that learns where and at what to look.

Discriminative Deep Attention-Aware Hashing (Xiong et al., PRICAI 2019), for stills, s = 32 or 64 here. A *face spatial
network* (three 2x2 convolutions of stride 2 with 32, 64, 128 channels, a 1x1, three transposed convolutions back with
skip additions, a 1x1 to one channel) makes a mask, min-max normalised to [0, 1] picture by picture. The
*attention-aware hash network* (convolutions 3x3-32, 2x2-64, 2x2-128 with pooling, 2x2-256) sees the picture times its
mask; channels of its last two stages are weighed (flattened, FC 512, FC C, min-max normalised), both go into FC 1024
and FC K with batch normalisation: the hash values h, whose signs are the bits. A classifier reads tanh(h).

The network runs on the masked picture (a) and on the picture itself (b):

    L = cross entropy + 0.001 sum_k | |h_k| - 1 |,       hash network: L_a + L_b,
    spatial network: max(0, m - L_b + L_a), so that it gains where the mask helps.

One backward pass does both: L_b does not depend on the mask, so the second loss has L_a's gradient with respect to it,
or none.

Chosen here, where the paper leaves it open: the margin m, ReLU and batch normalisation after every convolution of both
networks, no padding of the 2x2 convolutions, no skip into the last transposed convolution. Deviations: the running
statistics of batch normalisation, used afterwards, are those of masked pictures alone, which is what is hashed then;
codes of several lengths may share both networks, each with its own FC K and classifier, their losses averaged (one
length: the paper's).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dhhcli.research.training.networks.losses import towards_one

MARGIN = 0.1
QUANTISATION = 0.001
FLAT = 1e-6  # least range that min-max normalisation divides by


def min_max(values: Tensor) -> Tensor:
    """(n, ...) -> the same in [0, 1], each item by its own least and largest value; 0 where they are one."""
    flat = values.flatten(1).float()
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    return ((flat - low) / (high - low).clamp_min(FLAT)).view_as(values)


def _stage(convolution: nn.Module, channels: int, *, pool: bool = False) -> nn.Sequential:
    layers = [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class SpatialNet(nn.Module):
    """Where to look: crops (n, 3, s, s) -> mask (n, 1, s, s) in [0, 1]; s is a multiple of 8."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128)
        self.down = nn.ModuleList(_stage(nn.Conv2d(a, b, 2, stride=2, bias=False), b) for a, b in pairwise(widths))
        self.middle = _stage(nn.Conv2d(128, 128, 1, bias=False), 128)
        back = (128, 64, 32, 32)
        self.up = nn.ModuleList(_stage(nn.ConvTranspose2d(a, b, 2, stride=2, bias=False), b) for a, b in pairwise(back))
        self.last = nn.Conv2d(32, 1, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, 1, s, s) float32."""
        skips: list[Tensor] = []
        x = crops
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        x = self.middle(x)
        for stage, skip in zip(self.up, (skips[1], skips[0], None), strict=True):
            x = stage(x) if skip is None else stage(x) + skip
        return min_max(self.last(x))


class ChannelAttention(nn.Module):
    """At what to look: maps (n, C, h, h) -> the same, each channel times its weight in [0, 1]."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * side * side, 512), nn.ReLU(inplace=True), nn.Linear(512, channels)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(n, C, h, h) -> (n, C, h, h)."""
        return maps * min_max(self.weigh(maps))[:, :, None, None].to(maps.dtype)


class AttentionNet(nn.Module):
    """Crops (n, 3, s, s), masked or not -> (n, 1024)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        third = ((size // 2 - 1) // 2 - 1) // 2  # sides of the maps of the last two stages
        fourth = third - 1
        self.first = nn.Sequential(
            _stage(nn.Conv2d(3, 32, 3, padding=1, bias=False), 32, pool=True),
            _stage(nn.Conv2d(32, 64, 2, bias=False), 64, pool=True),
            _stage(nn.Conv2d(64, 128, 2, bias=False), 128, pool=True),
        )
        self.second = _stage(nn.Conv2d(128, 256, 2, bias=False), 256)
        self.attend_first = ChannelAttention(128, third)
        self.attend_second = ChannelAttention(256, fourth)
        self.join = nn.Sequential(
            nn.Linear(128 * third**2 + 256 * fourth**2, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(inplace=True)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, 1024)."""
        third = self.first(crops)
        fourth = self.second(third)
        both = torch.cat([self.attend_first(third).flatten(1), self.attend_second(fourth).flatten(1)], dim=1)
        joined: Tensor = self.join(both)
        return joined


class Ddah(nn.Module):
    """Both networks, and for each length of code its hash layer and classifier.

    Args:
        lengths: K of every code.
        people: whom the classifiers tell apart.
        size: side s of the crops, 32 or 64.
        margin: m of the face spatial loss.
        quantisation: weight of the quantisation loss.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        people: int,
        *,
        size: int = 32,
        margin: float = MARGIN,
        quantisation: float = QUANTISATION,
    ) -> None:
        super().__init__()
        self.margin, self.quantisation = margin, quantisation
        self.spatial = SpatialNet()
        self.hashing = AttentionNet(size)
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(1024, K, bias=False), nn.BatchNorm1d(K)) for K in lengths)
        self.classes = nn.ModuleList(nn.Linear(K, people) for K in lengths)

    def forward(self, crops: Tensor) -> Tensor:
        """Hash values (n, sum of all K) of masked crops (n, 3, s, s); a bit is 1 where its value is not negative."""
        joined = self.hashing(crops * self.spatial(crops))
        return torch.cat([head(joined) for head in self.heads], dim=1)

    def losses(self, crops: Tensor, who: Tensor, mean: Callable[[Tensor], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What to descend, and its terms.

        Args:
            crops: (n, 3, s, s).
            who: (n,) people.
            mean: of one number an item (n,), over the whole batch.
        """
        mask = self.spatial(crops)
        masked = self._loss(crops * mask, who, mean)
        with _statistics_kept(self):
            plain = self._loss(crops, who, mean)
        spatial = spatial_loss(masked, plain, self.margin)
        if mask.requires_grad:
            helps_too_little = (spatial.detach() > 0).to(mask.dtype)
            mask.register_hook(lambda gradient: gradient * helps_too_little)
        return masked + plain, {"masked": masked, "plain": plain, "spatial": spatial}

    def _loss(self, crops: Tensor, who: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        joined = self.hashing(crops)
        total: Tensor = joined.new_zeros((), dtype=torch.float32)
        for head, classes in zip(self.heads, self.classes, strict=True):
            values = head(joined).float()
            each = functional.cross_entropy(classes(torch.tanh(values)).float(), who, reduction="none")
            total = total + mean(each + self.quantisation * towards_one(values)) / len(self.heads)
        return total


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch normalisation by the batch, as in training, but its running statistics stay as they are."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def spatial_loss(masked: Tensor, plain: Tensor, margin: float) -> Tensor:
    """The face spatial loss of two scalars: max(0, m - L_b + L_a)."""
    return (margin - plain + masked).clamp_min(0)
