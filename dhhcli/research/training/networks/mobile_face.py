"""mobile_face: crops (n, s, s, 3) uint8 BGR -> features (n, 128), by MobileNet v1 as SFace has it.

Howard et al., MobileNets (2017); Zhong et al., SFace (IEEE TIP 2021), whose published weights are a start to train
from (``tools/make_sface.py``). Crops are enlarged inside, to ``side`` pixels.

Batch norm is folded into the convolutions. Activations are PReLUs whose slopes one factor scales, so training can
take them to ReLU by and by (``set_keep``); what remains at 0 is a plain ReLU network that runs in integers.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

# output channels and stride of each depthwise + pointwise pair after the first convolution
PAIRS: Final = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
FIRST: Final = 32
FEATURES: Final = 128
NATIVE: Final = 112  # the side that SFace was trained at: its last map is 7x7


class Slope(nn.Module):
    """PReLU (n, c, h, w) whose slopes are scaled by ``keep``: 1 as given, 0 a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(channels))
        self.keep = 1.0

    def forward(self, inputs: Tensor) -> Tensor:
        if self.keep == 0:
            return functional.relu(inputs)
        return functional.prelu(inputs, (self.slope * self.keep).to(inputs.dtype))


class MobileFace(nn.Module):
    """Crops (n, 64, 64, 3) uint8 BGR -> features (n, 128), not normalised: short where the picture is poor.

    Args:
        side: pixels to which crops are enlarged inside (a multiple of 16); the last map is ``side / 16`` squared.
    """

    def __init__(self, side: int = 80) -> None:
        super().__init__()
        self.side = side
        layers: list[nn.Module] = [nn.Conv2d(3, FIRST, 3, 1, 1), Slope(FIRST)]
        width = FIRST
        for channels, stride in PAIRS:
            layers += [nn.Conv2d(width, width, 3, stride, 1, groups=width), Slope(width)]
            layers += [nn.Conv2d(width, channels, 1), Slope(channels)]
            width = channels
        self.layers = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, FEATURES, side // 16)

    def forward(self, crops: Tensor) -> Tensor:
        return self.maps(crops)[-1]

    def resize(self, crops: Tensor) -> Tensor:
        """Crops (n, s, s, 3) uint8 -> what the first convolution sees, (n, 3, side, side)."""
        values = (crops.permute(0, 3, 1, 2).float() - 127.5) / 128
        if values.shape[2] != self.side:
            values = functional.interpolate(values, (self.side, self.side), mode="bilinear", align_corners=False)
        return values

    def maps(self, crops: Tensor, at: tuple[int, ...] = ()) -> list[Tensor]:
        """The activations after layers ``at`` (n, c, h, w), ascending, and the features (n, 128)."""
        values = self.resize(crops)
        kept = []
        for number, layer in enumerate(self.layers):
            values = layer(values)
            if number in at:
                kept.append(values)
        return [*kept, self.last(values).flatten(1)]

    def set_keep(self, keep: float) -> None:
        """Scale all slopes by ``keep``."""
        for layer in self.layers:
            if isinstance(layer, Slope):
                layer.keep = keep

    def bake(self) -> None:
        """Write the present factor into the slopes, which then count in full."""
        for layer in self.layers:
            if isinstance(layer, Slope):
                with torch.no_grad():
                    layer.slope.mul_(layer.keep)
                layer.keep = 1.0


def resized_state(state: Mapping[str, Tensor], side: int) -> dict[str, Tensor]:
    """The state for another side: the last layer's (128, 1024, k, k) places averaged to ``side / 16`` squared."""
    last = state["last.weight"]
    old, new = last.shape[-1], side // 16
    out = dict(state)
    if old != new:
        share = _shares(old, new)
        out["last.weight"] = torch.einsum("ocyx,yi,xj->ocij", last, share, share)
    return out


def _shares(old: int, new: int) -> Tensor:
    """(old, new): how the weight of each old place falls to the new ones, by what they cover; rows sum to 1."""
    edges = torch.arange(old + 1, dtype=torch.float64) * new / old
    cells = torch.arange(new, dtype=torch.float64)
    low = torch.maximum(edges[:-1, None], cells[None])
    high = torch.minimum(edges[1:, None], cells[None] + 1)
    cover = (high - low).clamp(min=0)
    return (cover / cover.sum(1, keepdim=True)).float()
