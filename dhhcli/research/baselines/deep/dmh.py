"""dmh: crops (n, 3, s, s) in [-1, 1] -> hash values (n, K), by densely connected layers and an average of maps.

Deep Metric Hashing (Pan, master's thesis, 2019), for stills, s = 32 or 64 here. Every layer of a block sees the maps of
all layers before it (DenseNet: Huang et al., CVPR 2017). The hash module is a convolution to K maps and their global
average instead of a fully connected layer; bits are the signs. Loss, jointly: softmax + centre + quantisation loss.

Sizes and weights are not published. Chosen here: DenseNet-BC (bottlenecks of four times the growth, transitions that
halve the channels), growth 24, a 3x3 convolution of stride 2 to 48 channels, blocks of 6, 8 and 8 layers: 0.34 G
multiply-adds for a 64x64 crop (Qiao et al.'s backbone: 0.31), 1.0 M weights at 48 bits; a 3x3 convolution to K maps; on
u = tanh(h)

    cross entropy of a linear classifier + 0.01 centre loss (Wen et al., ECCV 2016) + 0.1 mean_k (1 - |u_k|).

Centres are parameters, trained with the rest but without weight decay. Codes of several lengths may share the blocks,
each with its own hash module, classifier and centres, their losses averaged.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dhhcli.research.training.networks.losses import centre_loss, towards_one

GROWTH = 24
LAYERS = (6, 8, 8)
CENTRE = 0.01
QUANTISATION = 0.1


def _norm_relu_conv(channels: int, width: int, side: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, side, padding=side // 2, bias=False)
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), convolution]


class DenseBlock(nn.Module):
    """Maps (n, C, h, h) -> (n, C + layers * growth, h, h)."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                *_norm_relu_conv(channels + number * GROWTH, 4 * GROWTH, 1), *_norm_relu_conv(4 * GROWTH, GROWTH, 3)
            )
            for number in range(layers)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(n, C, h, h) -> (n, C + layers * growth, h, h)."""
        for layer in self.layers:
            maps = torch.cat([maps, layer(maps)], dim=1)
        return maps


class _Head(nn.Module):
    """What one length of code has of its own."""

    def __init__(self, channels: int, bits: int, people: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(channels, bits, 3, padding=1)
        self.classes = nn.Linear(bits, people)
        self.centres = nn.Parameter(torch.zeros(people, bits))

    def forward(self, maps: Tensor) -> Tensor:
        values: Tensor = self.maps(maps).mean(dim=(2, 3))
        return values.float()


class Dmh(nn.Module):
    """The network, and for each length of code its hash module and classifier.

    Args:
        lengths: K of every code.
        people: whom the classifiers tell apart.
        quantisation: weight of the quantisation loss.
        centre: weight of the centre loss.
    """

    def __init__(
        self, lengths: Sequence[int], people: int, *, quantisation: float = QUANTISATION, centre: float = CENTRE
    ) -> None:
        super().__init__()
        self.quantisation, self.centre = quantisation, centre
        channels = 2 * GROWTH
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)]
        for number, count in enumerate(LAYERS):
            if number:
                layers += [*_norm_relu_conv(channels, channels // 2, 1), nn.AvgPool2d(2)]
                channels //= 2
            layers.append(DenseBlock(channels, count))
            channels += count * GROWTH
        layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.maps = nn.Sequential(*layers)
        self.heads = nn.ModuleList(_Head(channels, K, people) for K in lengths)

    def forward(self, crops: Tensor) -> Tensor:
        """Hash values (n, sum of all K); a bit is 1 where its value is not negative."""
        maps = self.maps(crops)
        return torch.cat([head(maps) for head in self.heads], dim=1)

    def losses(self, crops: Tensor, who: Tensor, mean: Callable[[Tensor], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What to descend, and its terms; arguments as in research/baselines/deep/ddah.py."""
        maps = self.maps(crops)
        terms = dict.fromkeys(("classify", "centre", "quantise"), maps.new_zeros((), dtype=torch.float32))
        for head in self.heads:
            assert isinstance(head, _Head)
            codes = torch.tanh(head(maps))
            logits = head.classes(codes).float()
            for name, each in {
                "classify": functional.cross_entropy(logits, who, reduction="none"),
                "centre": centre_loss(codes, head.centres[who]),
                "quantise": towards_one(codes) / codes.shape[1],
            }.items():
                terms[name] = terms[name] + mean(each) / len(self.heads)
        return terms["classify"] + self.centre * terms["centre"] + self.quantisation * terms["quantise"], terms
