"""training/networks/backbone.py: the paper's Table II, and two rewritings that must not change the function."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dhhcli.research.training.networks.backbone import (
    BLOCKS,
    FEATURES,
    Backbone,
    append_linear,
    fold_batch_norm,
    to_input,
)


def crops(n: int = 4, size: int = 64) -> Tensor:
    rng = np.random.default_rng(0)
    return to_input(torch.from_numpy(rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)))


def trained_looking(*, batch_norm: bool = True) -> Backbone:
    """A backbone whose batch normalisation and biases are not the initial ones, in evaluation mode."""
    torch.manual_seed(0)
    backbone = Backbone(batch_norm=batch_norm)
    for layer in backbone.layers:
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.3, 3.0)
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    return backbone.eval()


def convolutions(backbone: Backbone) -> list[nn.Conv2d]:
    return [layer for layer in backbone.layers if isinstance(layer, nn.Conv2d)]


def test_widths_are_those_of_table_2() -> None:
    layers = convolutions(Backbone(batch_norm=False))
    assert [layer.out_channels for layer in layers] == [32, 64, 64, 128, 96, 192, 128, 256, 160, 320]
    assert [layer.in_channels for layer in layers] == [3, 32, 64, 64, 128, 96, 192, 128, 256, 160]
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in layers} == {((3, 3), (1, 1), (1, 1))}
    assert BLOCKS[-1][-1] == FEATURES == 320


def test_order_of_layers() -> None:
    letters = {nn.Conv2d: "c", nn.ReLU: "r", nn.MaxPool2d: "p", nn.BatchNorm2d: "b"}
    plain = "".join(letters[type(layer)] for layer in Backbone(batch_norm=False).layers)
    assert plain == "crcrp" * 4 + "crc"  # no ReLU after conv5_2
    normalised = "".join(letters[type(layer)] for layer in Backbone().layers)
    assert normalised == "cbrcbrp" * 4 + "cbrcb"


def test_weights_and_multiply_adds_are_those_of_the_paper() -> None:
    backbone = Backbone(batch_norm=False)
    weights = sum(layer.weight.numel() for layer in convolutions(backbone))
    assert weights == 1_751_904  # 1.75 M
    assert sum(p.numel() for p in backbone.parameters()) == weights + 1440  # and a bias a channel
    counted = []

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        counted.append(output[0].numel() * layer.in_channels * 9)

    for layer in convolutions(backbone):
        layer.register_forward_hook(count)
    with torch.no_grad():
        backbone(crops(1))
    assert sum(counted) / 1e9 == pytest.approx(0.31, abs=0.005)


@pytest.mark.parametrize("size", [40, 52, 64])
def test_any_size_gives_320_features(size: int) -> None:
    with torch.no_grad():
        features = trained_looking()(crops(2, size))
    assert features.shape == (2, 320)
    assert (features < 0).any()


def test_input_is_between_minus_one_and_one() -> None:
    picture = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
    picture[0, 1, 2] = torch.tensor([0, 255, 51], dtype=torch.uint8)
    made = to_input(picture)
    assert made.shape == (1, 3, 2, 3)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made[0, :, 1, 2], torch.tensor([-1.0, 1.0, -0.6]))
    assert (made[0, :, 0, 0] == -1).all()


def test_folding_batch_norm_keeps_the_function() -> None:
    backbone = trained_looking()
    folded = fold_batch_norm(backbone)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.layers)
    with torch.no_grad():
        expected, found = backbone(crops()), folded(crops())
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_folding_a_plain_backbone_copies_it() -> None:
    backbone = trained_looking(batch_norm=False)
    folded = fold_batch_norm(backbone)
    with torch.no_grad():
        before = backbone(crops(2))
        torch.testing.assert_close(folded(crops(2)), before)
        convolutions(folded)[0].weight.zero_()
        torch.testing.assert_close(backbone(crops(2)), before)  # a copy, not the same weights


@pytest.mark.parametrize(("size", "wanted"), [(40, FEATURES), (64, FEATURES), (64, 5)])
def test_an_appended_linear_map_is_the_map_of_the_features(size: int, wanted: int) -> None:
    folded = fold_batch_norm(trained_looking())
    rng = np.random.default_rng(1)
    matrix = torch.from_numpy(rng.normal(size=(wanted, FEATURES)).astype(np.float32)) / FEATURES**0.5
    offset = torch.from_numpy(rng.normal(size=wanted).astype(np.float32))
    with torch.no_grad():
        before = folded(crops(3, size))
        found = append_linear(folded, matrix, offset)(crops(3, size))
        torch.testing.assert_close(found, before @ matrix.T + offset, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(folded(crops(3, size)), before)  # untouched
