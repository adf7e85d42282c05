"""dcbh: crops (n, 3, s, s) in [-1, 1] -> hash values (n, K), a softmax over six features behind every bit.

Deep Clustering and Block Hashing (Jang, Jeong, Lee and Cho, ACCV 2018), for stills, s = 32 or 64 here. A VGG-like
network (3x3 convolutions of 64, 64 | 128, 128 | 256, 256, 256 | 512, 512, 512 channels, batch normalisation and ReLU
after each, max pooling between stages); the global averages of stages three and four side by side; FC to 6 K, batch
normalisation, ReLU: the features. The *block hashing layer* cuts them into K blocks of six,

    h_k = max(softmax(block k)) - 0.5,   code tanh(h),   bit = h_k >= 0:  one of the six outweighs all others or not.

Loss: cross entropy on the codes + cross entropy on the features + 0.1 mean_k | 0.5 - |h_k| | + 1e-4 centre loss on the
features (Wen et al., ECCV 2016).

Chosen here: h in the quantisation term is what stands before tanh, which alone can reach 0.5; the features' batch
normalisation starts with the scale at which half of the bits are set (at a scale of 1, one in eight). Deviations:
centres are parameters, trained with the rest but without weight decay (Wen et al. move them by a rule of their own);
codes of several lengths may share the convolutions, each with its own FC, blocks and classifiers, their losses averaged
(one length: the paper's).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dhhcli.research.training.networks.losses import centre_loss

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
BLOCK = 6
QUANTISATION = 0.1
CENTRE = 1e-4
SCALE = 2.0  # of normalised features at first: a block's largest softmax of six is as often above 0.5 as below


def block_hash(features: Tensor) -> Tensor:
    """Features (n, 6 K) -> h (n, K), from 1/6 - 0.5 to 0.5."""
    blocks = features.view(-1, int(features.shape[1]) // BLOCK, BLOCK)
    return torch.softmax(blocks, dim=2).amax(dim=2) - 0.5


def block_quantisation(values: Tensor) -> Tensor:
    """h (n, K) -> (n,): mean over the bits of | 0.5 - |h| |."""
    return (0.5 - values.abs()).abs().mean(dim=1)


class _Head(nn.Module):
    """What one length of code has of its own."""

    def __init__(self, width: int, bits: int, people: int) -> None:
        super().__init__()
        wide = BLOCK * bits
        self.features = nn.Sequential(nn.Linear(width, wide, bias=False), nn.BatchNorm1d(wide), nn.ReLU(inplace=True))
        norm = self.features[1]
        assert isinstance(norm, nn.BatchNorm1d)
        nn.init.constant_(norm.weight, SCALE)
        self.code_classes = nn.Linear(bits, people)
        self.feature_classes = nn.Linear(wide, people)
        self.centres = nn.Parameter(torch.zeros(people, wide))

    def forward(self, pooled: Tensor) -> Tensor:
        features: Tensor = self.features(pooled)
        return features.float()


class Dcbh(nn.Module):
    """The network, and for each length of code its features and classifiers.

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
        self.stages = nn.ModuleList()
        channels = 3
        for widths in STAGES:
            layers: list[nn.Module] = []
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU(inplace=True))
                channels = width
            self.stages.append(nn.Sequential(*layers))
        self.heads = nn.ModuleList(_Head(STAGES[-2][-1] + STAGES[-1][-1], K, people) for K in lengths)

    def pooled(self, crops: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, 768): global averages of the last two stages."""
        x = crops
        averages = []
        for number, stage in enumerate(self.stages):
            x = stage(functional.max_pool2d(x, 2) if number else x)
            if number >= 2:
                averages.append(x.mean(dim=(2, 3)))
        return torch.cat(averages, dim=1)

    def forward(self, crops: Tensor) -> Tensor:
        """Hash values (n, sum of all K); a bit is 1 where its value is not negative."""
        pooled = self.pooled(crops)
        return torch.cat([block_hash(head(pooled)) for head in self.heads], dim=1)

    def losses(self, crops: Tensor, who: Tensor, mean: Callable[[Tensor], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What to descend, and its terms; arguments as in research/baselines/deep/ddah.py."""
        pooled = self.pooled(crops)
        terms = dict.fromkeys(("codes", "features", "quantise", "centre"), pooled.new_zeros((), dtype=torch.float32))
        for head in self.heads:
            assert isinstance(head, _Head)
            features = head(pooled)
            values = block_hash(features)
            code_logits = head.code_classes(torch.tanh(values)).float()
            feature_logits = head.feature_classes(features).float()
            for name, each in {
                "codes": functional.cross_entropy(code_logits, who, reduction="none"),
                "features": functional.cross_entropy(feature_logits, who, reduction="none"),
                "quantise": block_quantisation(values),
                "centre": centre_loss(features, head.centres[who]),
            }.items():
                terms[name] = terms[name] + mean(each) / len(self.heads)
        loss = terms["codes"] + terms["features"]
        return loss + self.quantisation * terms["quantise"] + self.centre * terms["centre"], terms
