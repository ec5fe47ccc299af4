"""Labels are stated where the recogniser is sure, people are no clothes, and a picture that shows nothing is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from deployments.media.picture import decode_picture
from deployments.models.facemesh import Pixels
from deployments.models.recogniser import FLOOR, PORTRAIT_SIDE, TOP, Recogniser, Recognition, softmax
from deployments.models.recogniser_labels import PORTRAIT, imagenet_labels
from deployments.models.recogniser_lite import EfficientNetLite, build, graph_file, read_weights
from deployments.models.recogniser_protocol import ModelMismatch
from deployments.models.recogniser_view import BLANK_RANGE, DROPPED_SHARE, view
from telemetry.errors import RequestError

SAMPLES = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recogniser")


@pytest.fixture(scope="module")
def recogniser(cache: Path) -> Recogniser:
    return Recogniser(EfficientNetLite(cache))


def sample(name: str) -> Pixels:
    return decode_picture(SAMPLES / name).pixels


def seen(recogniser: Recogniser, picture: Pixels) -> Recognition:
    return recogniser.classify([recogniser.prepare(picture)])[0]


@pytest.mark.parametrize(
    ("name", "english", "chinese"), [("coffee.png", "espresso", "意式浓缩咖啡"), ("chelsea.png", "tiger cat", "虎猫")]
)
def test_a_clear_picture_gets_its_label_in_both_languages(recogniser: Recogniser, name: str, english: str, chinese: str) -> None:
    found = seen(recogniser, sample(name))
    assert found.label is not None
    assert (found.label.english, found.label.chinese) == (english, chinese)
    scores = [one.score for one in found.candidates]
    assert len(scores) == TOP
    assert scores == sorted(scores, reverse=True)
    assert found.logits == 1000


def test_below_the_floor_nothing_is_stated_and_the_candidates_stay(recogniser: Recogniser) -> None:
    found = seen(recogniser, sample("grass.png"))
    assert found.low_confidence
    assert found.label is None
    assert found.candidates[0].score < FLOOR
    assert "low_confidence" in found.warnings


def test_a_person_is_a_portrait_and_never_a_piece_of_clothing(recogniser: Recogniser, astronaut: Pixels) -> None:
    found = seen(recogniser, astronaut)
    assert found.label == PORTRAIT
    assert found.faces == 1
    assert not any(one.label.worn for one in found.candidates)
    bare = recogniser.classifier.logits(view(astronaut, recogniser.classifier.frame).pixels[None])[0]
    assert imagenet_labels()[int(bare.argmax())].worn, "without the detector a piece of clothing would have come first"


def test_a_small_face_takes_the_clothes_away_and_does_not_make_a_portrait(recogniser: Recogniser, astronaut: Pixels) -> None:
    scene = np.full((1400, 1400, 3), 90, np.uint8)
    scene[400:912, 300:812] = astronaut
    found = seen(recogniser, scene)
    assert found.faces == 1
    assert found.candidates[0].label != PORTRAIT
    assert not any(one.label.worn for one in found.candidates)
    assert PORTRAIT_SIDE > 90 / 1400


def test_a_batch_answers_as_single_pictures_do(recogniser: Recogniser, astronaut: Pixels) -> None:
    pictures = [sample("coffee.png"), astronaut, sample("chelsea.png")]
    together = recogniser.classify([recogniser.prepare(one) for one in pictures])
    for alone, one in zip([seen(recogniser, picture) for picture in pictures], together, strict=True):
        assert [c.label for c in one.candidates] == [c.label for c in alone.candidates]
        assert [c.score for c in one.candidates] == pytest.approx([c.score for c in alone.candidates], abs=1e-4)


@pytest.mark.parametrize(("value", "words"), [(0, "all zeros"), (130, "one colour")])
def test_a_constant_picture_is_refused_before_the_network(recogniser: Recogniser, value: int, words: str) -> None:
    with pytest.raises(RequestError, match=words) as raised:
        recogniser.prepare(np.full((300, 400, 3), value, np.uint8))
    assert raised.value.type == "image_blank"


def test_what_is_almost_constant_counts_as_blank_and_texture_does_not(recogniser: Recogniser) -> None:
    frame = recogniser.classifier.frame
    noise = np.random.default_rng(1).integers(0, BLANK_RANGE + 1, (256, 256, 3)).astype(np.uint8)
    assert view(100 + noise, frame).blank
    assert not view(100 + 8 * noise, frame).blank


def test_a_wide_picture_warns_of_what_the_crop_leaves_out(recogniser: Recogniser) -> None:
    coffee = sample("coffee.png")
    assert "crop_dropped" not in seen(recogniser, coffee).warnings
    found = seen(recogniser, coffee[100:300])
    assert found.dropped_share > DROPPED_SHARE
    assert "crop_dropped" in found.warnings


def test_a_view_knows_its_scale_and_brightness() -> None:
    found = view(np.full((512, 256, 3), 51, np.uint8), EfficientNetLite.frame)
    assert found.scale == pytest.approx(1.0)
    assert found.brightness == pytest.approx(0.2)
    assert found.dropped_share == pytest.approx(1 - 0.875**2 / 2)


def test_a_network_that_diverged_is_an_error_and_not_a_label() -> None:
    with pytest.raises(RequestError, match="no numbers"):
        softmax(np.array([[1.0, np.nan]], np.float32))


def test_the_labels_are_a_thousand_and_unique_in_both_languages() -> None:
    labels = imagenet_labels()
    assert [label.index for label in labels] == list(range(1000))
    assert len({label.english for label in labels}) == len({label.chinese for label in labels}) == 1000
    for index, chinese in {15: "旅鸫", 92: "蜂虎", 271: "红狼", 355: "大羊驼", 666: "研钵", 926: "火锅", 956: "番荔枝"}.items():
        assert labels[index].chinese == chinese, "zh.json had another animal, tool or dish"
    assert labels[459].worn
    assert not labels[281].worn


def test_the_graph_is_built_once_and_without_its_cache_again(cache: Path, recogniser: Recogniser, tmp_path: Path) -> None:
    made = graph_file(cache)
    before = made.stat().st_mtime_ns
    assert graph_file(cache).stat().st_mtime_ns == before
    other = graph_file(tmp_path / "new")
    assert other.read_bytes() == made.read_bytes()
    assert [path.name for path in other.parent.iterdir()] == [other.name]


def test_weights_of_another_shape_are_refused() -> None:
    weights = dict(read_weights())
    weights["_blocks.0._depthwise_conv.weight"] = np.zeros((32, 1, 5, 5), np.float32)
    with pytest.raises(ModelMismatch, match="3 x 3"):
        build(weights)


def test_grey_palette_and_turned_files_are_recognised_alike(recogniser: Recogniser, tmp_path: Path) -> None:
    coffee = Image.open(SAMPLES / "coffee.png").convert("RGB")
    turned = coffee.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    coffee.quantize(256).save(tmp_path / "palette.png")
    coffee.convert("CMYK").save(tmp_path / "cmyk.jpg")
    coffee.convert("LA").save(tmp_path / "grey_alpha.png")
    Image.fromarray(np.asarray(coffee.convert("L")).astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    for path in sorted(tmp_path.iterdir()):
        found = seen(recogniser, decode_picture(path).pixels)
        assert found.candidates[0].label.english in ("espresso", "cup"), path.name
