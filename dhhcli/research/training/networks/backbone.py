"""backbone: crops (n, 3, s, s) float in [-1, 1] -> features (n, d), d = 320 in training.

Table II of Qiao et al. (TIP 2019), after the CASIA-WebFace net of Yi et al. (2014): five blocks of two 3x3
convolutions, max pooling between them, global average pooling at the end, no ReLU after the last convolution.
1.75 M weights, 0.31 G multiply-adds for a 64x64 crop. The global average makes it indifferent to the input's
size, which training uses (small crops first).

Deviation: ``batch_norm=True`` (our default) puts batch normalisation after every convolution; the paper's net
has none.
"""

import torch
from torch import Tensor, nn

FEATURES = 320
BLOCKS = ((32, 64), (64, 128), (96, 192), (128, 256), (160, FEATURES))


class Backbone(nn.Module):
    """The Table II network; ``features`` other than 320 is the width of conv5_2 (see ``append_linear``)."""

    def __init__(self, *, batch_norm: bool = True, features: int = FEATURES) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for number, block in enumerate((*BLOCKS[:-1], (BLOCKS[-1][0], features))):
            if number:
                layers.append(nn.MaxPool2d(2))
            for width in block:
                layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                channels = width
        layers.pop()  # no ReLU after conv5_2
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, crops: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, d)."""
        features: Tensor = self.layers(crops).mean(dim=(2, 3))
        return features


def to_input(crops: Tensor) -> Tensor:
    """Crops (n, s, s, 3) uint8 BGR -> input (n, 3, s, s) float32 in [-1, 1], channels last in memory."""
    return crops.permute(0, 3, 1, 2).to(torch.float32).sub(127.5).div(127.5)


@torch.no_grad()
def fold_batch_norm(backbone: Backbone) -> Backbone:
    """The same function without batch normalisation: its evaluation map goes into the convolution."""
    folded = Backbone(batch_norm=False)
    source = [layer for layer in backbone.layers if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    targets = [layer for layer in folded.layers if isinstance(layer, nn.Conv2d)]
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in source):
        folded.load_state_dict(backbone.state_dict())
        return folded.eval()
    for target, convolution, norm in zip(targets, source[::2], source[1::2], strict=True):
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert target.bias is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        target.weight.copy_(convolution.weight * gain[:, None, None, None])
        target.bias.copy_(norm.bias - norm.running_mean * gain)
    return folded.eval()


@torch.no_grad()
def append_linear(folded: Backbone, matrix: Tensor, offset: Tensor) -> Backbone:
    """A folded backbone composed with x -> matrix @ x + offset.

    Nothing non-linear stands between conv5_2 and the global average, so the map goes into that convolution
    exactly, and a map to fewer numbers makes it narrower.

    Args:
        folded: a backbone without batch normalisation, of d features.
        matrix: (e, d).
        offset: (e,).
    """
    composed = Backbone(batch_norm=False, features=len(matrix))
    *others, last = folded.layers
    for target, source in zip(composed.layers, others, strict=False):
        target.load_state_dict(source.state_dict())
    narrow = composed.layers[-1]
    assert isinstance(last, nn.Conv2d)
    assert isinstance(narrow, nn.Conv2d)
    assert last.bias is not None
    assert narrow.bias is not None
    narrow.weight.copy_(torch.einsum("ij,jkyx->ikyx", matrix, last.weight))
    narrow.bias.copy_(matrix @ last.bias + offset)
    return composed.eval()
