"""relu: MobileFace with PReLUs + crops (n, 64, 64, 3) uint8 -> the nearest network with plain ReLUs, layer by layer.

PReLU is what keeps SFace slow (no kernel in integers). A ReLU that bends at a place of its own, channel by channel,
follows a PReLU as well as a ReLU can: where the signal never goes below, it is linear. The convolution after it is
fitted anew, by least squares, to give the PReLU network's values from what the ReLUs left. No gradient is taken; what
remains wrong is left to distillation (distil.py). docs/research/backbone.md has the figures.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dhhcli.research.training.networks.mobile_face import MobileFace, Slope

PLACES: Final = 48  # pixels of each picture that the fits of convolutions see
BEND_PLACES: Final = 16  # ... and those of the bends
QUANTILES: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
RIDGE: Final = 1e-3  # of the inputs' mean power
BETTER: Final = 1e-3  # correlation that a bend must gain before it leaves 0


@torch.no_grad()
def without_slopes(net: MobileFace, crops: Tensor, generator: torch.Generator) -> MobileFace:
    """The ReLU network (all slopes 0) nearest to ``net`` on crops (n, 64, 64, 3) uint8."""
    made = MobileFace(net.side)
    made.load_state_dict(net.state_dict())
    made.set_keep(0.0)
    there = here = net.resize(crops)
    scale, offset = torch.ones(1), torch.zeros(1)
    for number in range(0, len(net.layers), 2):
        conv, slope = net.layers[number], net.layers[number + 1]
        fitted, bent = made.layers[number], made.layers[number + 1]
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(fitted, nn.Conv2d)
        assert isinstance(bent, Slope)
        assert fitted.bias is not None
        there = conv(there)
        _refit(fitted, here, there, generator)
        here = fitted(here)
        at = _places(here, BEND_PLACES, generator)
        there = slope(there)
        place, scale, offset = _bend(_pick(here, at), _pick(there, at))
        fitted.bias -= place
        here = functional.relu(here - place[:, None, None])
        bent.slope.zero_()
    assert made.last.bias is not None
    made.last.bias += torch.einsum("ocyx,c->o", made.last.weight, offset)
    made.last.weight.mul_(scale[None, :, None, None])
    return made


@torch.no_grad()
def equalise(net: MobileFace, crops: Tensor, *, share: float = 0.75) -> None:
    """Give the channels of a ReLU network's maps alike ranges on crops (n, 64, 64, 3), in place; floats stay the same.

    In integers one scale has to do for a whole map. A ReLU lets a positive factor pass, so what a channel is divided
    by, the next layer's weights are multiplied by (Nagel et al., Data-Free Quantization, ICCV 2019). Before a depthwise
    layer, whose weights have a scale a channel, that is free; before a pointwise one it is done to the power ``share``.
    """
    values = net.resize(crops)
    convs = [layer for layer in net.layers if isinstance(layer, nn.Conv2d)]
    for conv, following in zip(convs, [*convs[1:], net.last], strict=True):
        assert conv.bias is not None
        values = functional.relu(conv(values))
        reach = torch.quantile(values.amax((2, 3)), 0.98, dim=0).clamp_min(1e-4)
        factor = reach / reach.mean()
        if following.groups == 1:
            factor = factor**share
        factor = factor.clamp(0.02, 50)
        conv.weight /= factor[:, None, None, None]
        conv.bias /= factor
        values = values / factor[:, None, None]
        following.weight *= factor[None, :, None, None] if following.groups == 1 else factor[:, None, None, None]


def _places(maps: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Flat places (n, count) of maps (n, c, h, w)."""
    return torch.randint(maps.shape[2] * maps.shape[3], (len(maps), count), generator=generator)


def _pick(maps: Tensor, at: Tensor) -> Tensor:
    """(n, c, h, w) -> (n * places, c) at flat places (n, places)."""
    flat = maps.flatten(2)
    return flat.gather(2, at[:, None].expand(-1, flat.shape[1], -1)).permute(0, 2, 1).reshape(-1, flat.shape[1])


def _solve(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression (..., n, d) -> (..., n, k): weights (..., d, k) and offsets (..., k)."""
    middle, aim = inputs.mean(-2, keepdim=True), targets.mean(-2, keepdim=True)
    x, y = inputs - middle, targets - aim
    gram = x.mT @ x
    power = gram.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    gram = gram + (RIDGE * power + 1e-6) * torch.eye(gram.shape[-1])
    weights = torch.linalg.solve(gram, x.mT @ y)
    return weights, (aim - middle @ weights).squeeze(-2)


def _refit(conv: nn.Conv2d, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> None:
    """Fit a depthwise 3x3, a pointwise or the first convolution to give ``targets`` from ``inputs`` (n, c, h, w)."""
    at = _places(targets, PLACES, generator)
    aims = _pick(targets, at)
    assert conv.bias is not None
    if conv.kernel_size == (1, 1):
        weights, offsets = _solve(_pick(inputs, at), aims)
        conv.weight.copy_(weights.mT[:, :, None, None])
    else:
        groups = [part.unsqueeze(1) for part in aims.unbind(1)] if conv.groups > 1 else [aims]
        seen = []
        for part, places in zip(torch.split(inputs, 16), torch.split(at, 16), strict=True):
            taps = functional.unfold(part, 3, padding=1, stride=conv.stride)
            taps = taps.reshape(len(part), conv.groups, -1, taps.shape[2])
            index = places[:, None, None].expand(-1, *taps.shape[1:3], -1)
            seen.append(taps.gather(3, index).permute(1, 0, 3, 2).flatten(1, 2))
        weights, offsets = _solve(torch.cat(seen, 1), torch.stack(groups))
        conv.weight.copy_(weights.mT.reshape(conv.weight.shape))
    conv.bias.copy_(offsets.flatten())


def _bend(values: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each channel's ReLU bends (c,), so that it follows ``wanted`` (n, c) best; the line to it (c,), (c,)."""
    best = torch.full((values.shape[1],), -1.0)
    place, scale, offset = torch.zeros_like(best), torch.ones_like(best), torch.zeros_like(best)
    aim = wanted - wanted.mean(0)
    for quantile in (None, *QUANTILES):
        at = torch.zeros_like(best) if quantile is None else values.quantile(quantile, 0)
        made = functional.relu(values - at)
        spread = made - made.mean(0)
        power = (spread * spread).sum(0) + 1e-9
        cross = (spread * aim).sum(0)
        fit = cross.abs() / (power * (aim * aim).sum(0) + 1e-12).sqrt()
        better = fit > best + BETTER
        slope = cross / power
        best = torch.where(better, fit, best)
        place = torch.where(better, at, place)
        scale = torch.where(better, slope, scale)
        offset = torch.where(better, wanted.mean(0) - slope * made.mean(0), offset)
    return place, scale, offset
