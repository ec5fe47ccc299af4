"""Trains the motion model of `lite` and writes weights, configuration and curves.

    nice -n 10 python -m deployments.models.training.train [--clips N] [--steps N] [--out FILE]

Everything comes from the seed: clips, initial weights, batches and noise levels. Whether a second run gives
the same bits was not tried.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from deployments.models.motion_ddim import draw_motion
from deployments.models.motion_net import CHANNELS, MotionNet
from deployments.models.training.data import Corpus, make_corpus

HERE = Path(__file__).parent
WEIGHTS = HERE.parent / "weights" / "motion.safetensors"


@dataclass(frozen=True)
class Config:
    """What a run was made of; written beside its curves."""

    clips: int = 2000
    steps: int = 3000
    seed: int = 20261122
    batch: int = 32
    frames: int = 128
    """Motion frames of a window: 2.56 s, three times the network's reach."""
    levels: int = 2
    """Noise levels drawn for each window that was listened to."""
    rate: float = 2e-3
    warm_up: int = 200
    decay: float = 0.01
    average: float = 0.999
    """Share of the old value in the running average of the weights, which is what is kept."""


def loss_of(net: MotionNet, mel: Tensor, motion: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    """Mean squared error of v at random noise levels, for motion (n, CHANNELS, frames) of unit spread."""
    heard = net.listen(mel).repeat(levels, 1, 1)
    motion = motion.repeat(levels, 1, 1)
    level = torch.rand(len(motion), generator=generator)
    noise = torch.randn(motion.shape, generator=generator)
    angle = level[:, None, None] * (torch.pi / 2)
    v = angle.cos() * noise - angle.sin() * motion
    return (net(angle.cos() * motion + angle.sin() * noise, heard, level) - v).square().mean()


def opening_error(net: MotionNet, corpus: Corpus, steps: int, clips: int = 12) -> float:
    """Mean absolute error of `open` (shut counts as 0) on the first clips of a corpus."""
    errors = []
    for start, end in list(zip(corpus.starts, corpus.ends, strict=True))[:clips]:
        mel, motion = corpus.mels[:, 2 * start : 2 * end].float(), corpus.motion[:, start:end].float()
        drawn = draw_motion(net, mel, motion.shape[1], steps=steps, seed=0, on_step=lambda k, n: None)
        errors.append((drawn[0].clamp(min=0) - motion[0].clamp(min=0)).abs().mean())
    return float(torch.stack(errors).mean())


def train(config: Config, out: Path, curves: Path, report_every: int = 500) -> MotionNet:
    """The trained network in evaluation mode.

    Every `report_every` steps a line of figures goes to `curves` and to the terminal, and the weights so far to `out`.
    """
    torch.manual_seed(config.seed)
    began = time.monotonic()
    corpus, held_out = (
        make_corpus(config.clips, config.seed),
        make_corpus(max(4, config.clips // 60), config.seed + 1, held_out=True),
    )
    print(f"{corpus.hours:.2f} h of training clips, {held_out.hours:.2f} h held out, {time.monotonic() - began:.0f} s", flush=True)
    net = MotionNet()
    net.mean.copy_(corpus.motion.float().mean(1, keepdim=True))
    net.spread.copy_(corpus.motion.float().std(1, keepdim=True))
    averaged = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=config.decay)
    rng, generator = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)
    rows: list[dict[str, float]] = []
    running = 0.0
    for step in range(1, config.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * _rate(step, config)
        mel, motion = corpus.batch(config.batch, config.frames, rng)
        with torch.autocast("cpu", torch.bfloat16):  # 1.7 times as fast as float32 on the CPU that it was trained on
            loss = loss_of(net, mel, (motion - net.mean) / net.spread, config.levels, generator)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        _average(averaged, net, min(config.average, step / (step + 10)))
        running += (loss.item() - running) * (0.02 if step > 50 else 1 / step)
        if step % report_every == 0 or step == config.steps:
            rows.append({"step": step, "loss": running} | _figures(averaged, held_out))
            print(f"{time.monotonic() - began:.0f} s", {k: round(v, 4) for k, v in rows[-1].items()}, flush=True)
            _write(curves, rows)
            save(averaged, out, config)
    return averaged.eval()


def _average(kept: MotionNet, net: MotionNet, share: float) -> None:
    """Moves `kept` towards `net`; `share` of the old value stays."""
    with torch.no_grad():
        for old, new in zip(kept.parameters(), net.parameters(), strict=True):
            old.lerp_(new, 1 - share)


def _rate(step: int, config: Config) -> float:
    """Linear warm-up, then half a cosine."""
    return min(step / config.warm_up, 0.01 + 0.5 + 0.5 * float(np.cos(np.pi * step / config.steps)))


@torch.inference_mode()
def _figures(net: MotionNet, held_out: Corpus) -> dict[str, float]:
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    mel, motion = held_out.batch(64, 128, rng)
    loss = loss_of(net, mel, (motion - net.mean) / net.spread, 4, generator).item()
    return {"held_out_loss": loss} | {f"opening_error_{n}": opening_error(net, held_out, n) for n in (1, 25)}


def _write(path: Path, rows: list[dict[str, float]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows({k: round(v, 5) for k, v in row.items()} for row in rows)


def save(net: MotionNet, path: Path, config: Config) -> None:
    """Writes the weights in half precision, with the configuration as metadata."""
    tensors = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    save_file(tensors, path, {"config": json.dumps(asdict(config)), "channels": ",".join(CHANNELS)})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=Config.clips)
    parser.add_argument("--steps", type=int, default=Config.steps)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--curves", type=Path, default=HERE / "curves.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = Config(clips=arguments.clips, steps=arguments.steps)
    train(config, arguments.out, arguments.curves)


if __name__ == "__main__":
    main()
