"""ResNeSt with two splits (Zhang et al. 2020), as ModelScope's general recognition uses it.

Its sizes are read off the weights, so that one class serves the published network (101 layers, 157 million weights) and a tiny one.
The names of the modules are those of the checkpoint; only the mathematics is written anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from deployments.models.recogniser_protocol import ModelMismatch

RADIX, EXPANSION = 2, 4
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """What differs between two networks of this kind."""

    stem: int
    width: int
    depths: tuple[int, ...]
    classes: int

    @classmethod
    def of(cls, state: State) -> Sizes:
        """The sizes of the network that has these weights. Raises ModelMismatch where it is none of this kind."""
        try:
            depths = [len({name.split(".")[1] for name in state if name.startswith(f"layer{k}.")}) for k in (1, 2, 3, 4)]
            stem, width = state["conv1.0.weight"].shape[0], state["layer1.0.conv1.weight"].shape[0]
            classes = state["fc.weight"].shape[0]
        except KeyError as error:
            raise ModelMismatch(f"the weights hold no {error.args[0]}: they are not of a ResNeSt with a deep stem") from None
        if not all(depths):
            raise ModelMismatch("the weights hold no layer1 to layer4: they are not of a ResNeSt")
        return cls(stem, width, tuple(depths), classes)


def load(state: State) -> ResNeSt:
    """The network with these weights. Raises ModelMismatch that names what is missing, too much or of another shape."""
    model = ResNeSt(Sizes.of(state))
    wanted = {name: value.shape for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    missing = sorted(wanted.keys() - state.keys())
    extra = sorted(name for name in state.keys() - wanted.keys() if not name.endswith("num_batches_tracked"))
    wrong = sorted(name for name in wanted.keys() & state.keys() if wanted[name] != state[name].shape)
    for what, names in (("lack", missing), ("hold unknown", extra), ("have another shape for", wrong)):
        if names:
            rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ModelMismatch(f"the weights {what} {', '.join(names[:3])}{rest}: they are not of this network")
    model.load_state_dict(dict(state), strict=False)  # strict but for the counters of batch norms, which only training reads
    return model.eval()


class ResNeSt(nn.Module):
    """The whole network: normalised pictures (n, 3, h, w) in, logits out."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        stem = sizes.stem
        self.conv1 = nn.Sequential(
            _conv(3, stem, 3, 2), nn.BatchNorm2d(stem), nn.ReLU(),
            _conv(stem, stem, 3), nn.BatchNorm2d(stem), nn.ReLU(),
            _conv(stem, 2 * stem, 3),
        )  # fmt: skip
        self.bn1 = nn.BatchNorm2d(2 * stem)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 2 * stem
        for number, depth in enumerate(sizes.depths):
            width = sizes.width * 2**number
            blocks = [_Block(channels, width, 2 if number else 1, pooled=number > 0)]
            channels = width * EXPANSION
            blocks += [_Block(channels, width, 1, pooled=False) for _ in range(depth - 1)]
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, sizes.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        for number in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class _Block(nn.Module):
    """A bottleneck; `pooled`: shrinking is left to an average pool behind the split attention."""

    def __init__(self, channels: int, width: int, stride: int, *, pooled: bool) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1, self.bn1 = _conv(channels, width, 1), nn.BatchNorm2d(width)
        self.conv2 = _SplitAttention(width)
        self.pool = nn.AvgPool2d(3, stride, 1) if pooled else nn.Identity()
        self.conv3, self.bn3 = _conv(width, out, 1), nn.BatchNorm2d(out)
        self.downsample = (
            nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False), _conv(channels, out, 1), nn.BatchNorm2d(out)
            )
            if stride > 1 or channels != out
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        inside = functional.relu(self.bn1(self.conv1(x)))
        inside = self.bn3(self.conv3(self.pool(self.conv2(inside))))
        return functional.relu(inside + self.downsample(x))


class _SplitAttention(nn.Module):
    """Two groups of features, weighted against each other by what the whole picture holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels * RADIX // 4, 32)
        self.conv = nn.Conv2d(channels, channels * RADIX, 3, padding=1, groups=RADIX, bias=False)
        self.bn0 = nn.BatchNorm2d(channels * RADIX)
        self.fc1, self.bn1 = nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner)
        self.fc2 = nn.Conv2d(inner, channels * RADIX, 1)

    def forward(self, x: Tensor) -> Tensor:
        splits = functional.relu(self.bn0(self.conv(x))).unflatten(1, (RADIX, -1))
        pooled = functional.adaptive_avg_pool2d(splits.sum(1), 1)
        weights = self.fc2(functional.relu(self.bn1(self.fc1(pooled)))).unflatten(1, (RADIX, -1)).softmax(1)
        return (weights * splits).sum(1)


def _conv(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
