"""Of the faces in a portrait the largest real one is taken, always the same, and what speaks against it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from telemetry.errors import RequestError
from tests.corpus.cases import MEDIA, portrait
from tests.corpus.pictures import dog

# Ray's own models warn when they are imported; the stage's file imports Ray.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")


@pytest.fixture
def run(tmp_path: Path):
    """`run(image)` preprocesses a picture: the portrait, its facts and the advice."""
    from deployments.cache import PortraitCache
    from deployments.config import StageConfig
    from deployments.media.picture import PictureLimits
    from deployments.preprocess import Preprocessor, advice

    config = StageConfig(data_dir=tmp_path)
    (tmp_path / "assets").mkdir()
    preprocessor = Preprocessor(PortraitCache(tmp_path / "cache", 0), PictureLimits())

    def preprocess(image: Image.Image):
        image.save(tmp_path / "assets" / "picture", "PNG")
        found, facts = preprocessor.run(config, "picture", 0.18, 128)
        return found, facts, advice(facts)

    return preprocess


def side_by_side(*images: Image.Image) -> Image.Image:
    both = Image.new("RGB", (sum(image.width for image in images) + 60, max(image.height for image in images)), (128, 128, 128))
    left = 0
    for image in images:
        both.paste(image, (left, 0))
        left += image.width + 60
    return both


def test_the_largest_face_is_taken_wherever_it_is_and_that_is_said(run) -> None:
    small = portrait().resize((180, 180))
    crops = {}
    for name, images, left in (("first", (portrait(), small), 0), ("last", (small, portrait()), 240)):
        found, facts, advised = run(side_by_side(*images))
        assert facts["faces"] == 2
        assert advised == ("several_faces",)
        assert left <= facts["face_x"] < left + 256 - facts["roi_width"] // 2
        crops[name] = facts["roi_width"]
        again, _, _ = run(side_by_side(*images))
        assert np.array_equal(found.pixels, again.pixels)
    assert crops["first"] == pytest.approx(crops["last"], rel=0.05)


def test_one_face_in_the_middle_needs_no_advice(run) -> None:
    assert run(portrait())[2] == ()


def test_a_face_cut_off_by_the_edge_is_done_and_said(run) -> None:
    _, _, advised = run(portrait().crop((103, 0, 256, 256)))
    assert advised == ("face_cut_off",)


def test_a_dog_is_no_face_and_does_not_hide_one(run) -> None:
    with pytest.raises(RequestError) as caught:
        run(dog())
    assert caught.value.type == "face_not_found"
    _, facts, _ = run(side_by_side(dog(), portrait()))
    assert facts["face_x"] > 640


def test_a_landscape_is_no_face(run) -> None:
    with Image.open(MEDIA / "painting_mona_lisa.jpg") as image:
        background = image.convert("RGB").crop((0, 0, 110, 300)).resize((440, 1200))
    with pytest.raises(RequestError) as caught:
        run(background)
    assert caught.value.type == "face_not_found"
