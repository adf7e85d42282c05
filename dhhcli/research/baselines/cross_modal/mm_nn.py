"""mm_nn: pairs of a photo (p,) and a video (q,), of one person or of two -> two small networks with K outputs each.

Multimodal similarity-preserving hashing (Masci, Bronstein, Bronstein and Schmidhuber, PAMI 2014, section 3). A network
for each kind, coupled by contrastive terms: squared distance of outputs for one person, squared shortfall of the
distance to a margin for two, between photos and videos and, with weight alpha = 0.5, within either kind. Outputs are
tanh, bits their signs. Left open and chosen here: one hidden layer of 128 tanh units, inputs as in spaces.py times 4,
margin 2 sqrt(K) / sqrt(2), Adam at 2e-3 for 800 batches of 256 pairs, half of them of one person.
"""

import numpy as np
import torch
from torch import Tensor, nn

from dhhcli.models.feature_map import Expansion
from dhhcli.research.baselines.base import Method, Training, Videowise
from dhhcli.research.baselines.cross_modal.spaces import Space, spaces
from dhhcli.research.baselines.linear_layer import Layer, videowise
from dhhcli.research.baselines.sampling import pairs, strangers

HIDDEN, STEPS, BATCH, RATE, ALPHA, GAIN = 128, 800, 256, 2e-3, 0.5, 4.0


def network(inputs: int, bits: int, rng: np.random.Generator) -> nn.Sequential:
    """Two layers, started as Glorot and Bengio did, from numpy's generator."""
    layers = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, bits)
    with torch.no_grad():
        for layer in layers:
            fan = layer.weight.shape
            layer.weight.copy_(torch.from_numpy(rng.normal(0, np.sqrt(2 / sum(fan)), fan)))
            layer.bias.zero_()
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh())


def contrastive(a: Tensor, b: Tensor, same: Tensor, margin: float) -> Tensor:
    """Mean over pairs of outputs (n, K): half the squared distance, or half the squared shortfall to the margin."""
    squared = (a - b).square().sum(dim=1)
    short = (margin - (squared + 1e-12).sqrt()).clamp(min=0).square()
    return torch.where(same, squared, short).mean() / 2


def layer(net: nn.Sequential, space: Space) -> Layer:
    """A network on GAIN times the vectors of a space as a layer of the raw ones; the last tanh keeps signs."""
    weight, bias, last, last_bias = (p.detach().numpy().astype(np.float64) for p in net.parameters())
    first = space.layer(GAIN * weight, bias)
    return Layer(last, last_bias, Expansion("tanh", first.weight, first.bias))


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Both networks."""
    both = spaces(training)
    X, Y = (torch.from_numpy((GAIN * each).astype(np.float32)) for each in (both.photos, both.videos))
    nets = network(X.shape[1], bits, rng), network(Y.shape[1], bits, rng)
    optimiser = torch.optim.Adam([p for net in nets for p in net.parameters()], lr=RATE)
    margin = float(np.sqrt(2 * bits))
    same = torch.arange(BATCH) < BATCH // 2
    whose = both.photo_people, both.video_people
    for _ in range(STEPS):
        loss = torch.zeros(())
        for i, j, weight in ((0, 1, 1.0), (0, 0, ALPHA), (1, 1, ALPHA)):
            drawn = [draw(whose[i], whose[j], BATCH // 2, rng) for draw in (pairs, strangers)]
            a, b = (torch.from_numpy(np.concatenate([each[side] for each in drawn])) for side in (0, 1))
            loss = loss + weight * contrastive(nets[i]((X, Y)[i][a]), nets[j]((X, Y)[j][b]), same, margin)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return videowise(layer(nets[0], both.photo_space), layer(nets[1], both.video_space), both.covariance)


METHOD = Method("mm-nn", "video-wise", fit)
