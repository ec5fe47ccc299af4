"""A ModelScope directory gives probabilities and as many labels as asked for; what does not fit is refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deployments.models.facemesh import Pixels
from deployments.models.recogniser import Recogniser
from deployments.models.recogniser_modelscope import LABELS, WEIGHTS, ModelScopeRecogniser
from deployments.models.recogniser_protocol import ModelMismatch
from deployments.models.recogniser_resnest import ResNeSt, Sizes

TINY = Sizes(stem=8, width=8, depths=(1, 2, 1, 1), classes=7)


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return ResNeSt(TINY).state_dict()


def written(folder: Path, weights: object, labels: int = TINY.classes) -> Path:
    torch.save(weights, folder / WEIGHTS)
    # As the published file has it: the label is the last field but for its line's end.
    (folder / LABELS).write_text("".join(f"{k}\t标签{k}\n" for k in range(labels)), "utf-8")
    return folder


def test_the_published_sizes_are_those_of_the_published_network() -> None:
    with torch.device("meta"):
        model = ResNeSt(Sizes(stem=64, width=64, depths=(3, 4, 23, 3), classes=54_092))
    assert sum(one.numel() for one in model.parameters()) == pytest.approx(157.06e6, rel=1e-3)
    assert Sizes.of(model.state_dict()).depths == (3, 4, 23, 3)
    assert model.state_dict()["layer2.0.downsample.1.weight"].shape == (512, 256, 1, 1)
    assert model.state_dict()["layer1.0.conv2.fc1.weight"].shape == (32, 64, 1, 1)


def test_a_directory_gives_probabilities_and_three_labels(tmp_path: Path, astronaut: Pixels) -> None:
    classifier = ModelScopeRecogniser(written(tmp_path, {"state_dict": {f"module.{k}": v for k, v in state().items()}}))
    recogniser = Recogniser(classifier)
    picture = np.ascontiguousarray(astronaut[300:500, 300:500])
    found = recogniser.classify([recogniser.prepare(picture)] * 2)
    assert [one.label.chinese[:2] for one in found[0].candidates] == ["标签"] * 3
    assert 0 < sum(one.score for one in found[0].candidates) <= 1
    assert found[0].logits == TINY.classes
    assert found[0].candidates == found[1].candidates, "a batch is a batch of pictures"
    assert classifier.version.startswith("modelscope-resnest-")


def test_the_same_weights_give_the_same_logits_as_the_network_itself(tmp_path: Path) -> None:
    classifier = ModelScopeRecogniser(written(tmp_path, state()))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    plain = ResNeSt(TINY)
    plain.load_state_dict(state())
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        expected = plain.eval()((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
    assert classifier.logits(pixels) == pytest.approx(expected.numpy(), abs=1e-4)


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    weights = state()
    del weights["layer2.0.conv2.fc1.bias"]
    with pytest.raises(ModelMismatch, match=r"lack layer2\.0\.conv2\.fc1\.bias"):
        ModelScopeRecogniser(written(tmp_path, weights))


def test_a_weight_of_another_shape_is_named(tmp_path: Path) -> None:
    weights = state() | {"layer3.0.conv1.weight": torch.zeros(3, 3, 1, 1)}
    with pytest.raises(ModelMismatch, match=r"another shape for layer3\.0\.conv1\.weight"):
        ModelScopeRecogniser(written(tmp_path, weights))


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match=r"no conv1\.0\.weight"):
        ModelScopeRecogniser(written(tmp_path, {f"layer{k}.0.x": torch.zeros(1) for k in (1, 2, 3, 4)}))


def test_labels_of_another_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match=r"8 labels.*7 classes"):
        ModelScopeRecogniser(written(tmp_path, state(), labels=8))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    written(tmp_path, state())
    torch.save(Path, tmp_path / WEIGHTS)
    with pytest.raises(ModelMismatch, match="no file of weights"):
        ModelScopeRecogniser(tmp_path)


def test_a_label_that_is_missing_is_named_by_its_line(tmp_path: Path) -> None:
    written(tmp_path, state())
    (tmp_path / LABELS).write_text("0\ta\n1\n", "utf-8")
    with pytest.raises(ModelMismatch, match="line 2"):
        ModelScopeRecogniser(tmp_path)
