"""Every common picture comes out as upright 8-bit RGB; bombs, wrecks and disguises are refused in words."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from deployments.media.picture import BACKGROUND, DecodedPicture, PictureLimits, decode_picture
from telemetry.errors import RequestError

TRANSPOSES = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
"""How a camera that writes this orientation has stored the upright picture."""


def scene(width: int = 48, height: int = 32) -> Image.Image:
    """Red left of green above, blue below: no two orientations look alike."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (230, 20, 20)
    pixels[: height // 2, width // 2 :] = (20, 200, 20)
    pixels[height // 2 :, :] = (20, 20, 220)
    return Image.fromarray(pixels)


def looks_like_the_scene(decoded: DecodedPicture, tolerance: float = 6.0) -> bool:
    expected = np.asarray(scene()).astype(float)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == expected.shape
    return float(np.abs(decoded.pixels - expected).mean()) < tolerance


def refused(path: Path, limits: PictureLimits | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode_picture(path, limits)
    assert caught.value.field == "portrait"
    assert str(path) not in caught.value.message
    return caught.value


@pytest.mark.parametrize("orientation", TRANSPOSES)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, format: str, tmp_path: Path) -> None:
    stored = scene() if TRANSPOSES[orientation] is None else scene().transpose(TRANSPOSES[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a", format, exif=exif, quality=95)
    decoded = decode_picture(tmp_path / "a")
    assert decoded.orientation == orientation
    assert looks_like_the_scene(decoded)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {"progressive": True, "quality": 95}), ("BMP", {}), ("WEBP", {"lossless": True}), ("GIF", {}),
        ("TIFF", {"compression": "tiff_lzw"}), ("PNG", {"interlace": 1}),
    ],
)  # fmt: skip
def test_formats_are_found_by_content(format: str, options: dict, tmp_path: Path) -> None:
    scene().save(tmp_path / "picture.txt", format, **options)
    decoded = decode_picture(tmp_path / "picture.txt")
    assert decoded.format == format
    assert not decoded.had_alpha
    assert looks_like_the_scene(decoded)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_is_laid_over_grey(mode: str, tmp_path: Path) -> None:
    picture = scene().convert("RGBA")
    picture.putalpha(Image.fromarray(np.repeat([[0] * 8 + [255] * 40], 32, axis=0).astype(np.uint8)))
    options: dict = {}
    if mode == "P":
        picture = picture.convert("RGB").quantize(8)
        options["transparency"] = picture.getpixel((0, 0))
    elif mode == "RGB":
        picture, options["transparency"] = scene(), (230, 20, 20)
    elif mode == "LA":
        picture = picture.convert("LA")
    picture.save(tmp_path / "a.png", **options)
    decoded = decode_picture(tmp_path / "a.png")
    assert decoded.had_alpha
    assert decoded.mode == mode
    assert (decoded.pixels[4, 4] == BACKGROUND).all()
    assert not (decoded.pixels[4, 40] == BACKGROUND).all()


def test_palette_with_bytes_of_transparency_does_not_warn(tmp_path: Path) -> None:
    picture = scene().quantize(4)
    picture.save(tmp_path / "a.png", transparency=bytes([0, 255, 128, 255]))
    assert decode_picture(tmp_path / "a.png").had_alpha


def test_grey_bitmap_and_palette_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "1", "P"):
        scene().convert(mode).save(tmp_path / "a.png")
        assert decode_picture(tmp_path / "a.png").pixels.shape == (32, 48, 3)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(format: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, axis=0)
    Image.fromarray(ramp).save(tmp_path / "a", format)
    decoded = decode_picture(tmp_path / "a")
    assert decoded.mode.startswith("I")
    assert np.abs(decoded.pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize(("dtype", "top"), [(np.int32, 255), (np.int32, 65535), (np.float32, 1.0), (np.float32, 255.0)])
def test_wide_tiffs_find_their_white(dtype: type, top: float, tmp_path: Path) -> None:
    values = np.linspace(0, top, 64).astype(dtype)[None, :].repeat(4, axis=0)
    Image.fromarray(values).save(tmp_path / "a.tif")
    pixels = decode_picture(tmp_path / "a.tif").pixels
    assert pixels[0, 0, 0] == 0
    assert pixels[0, -1, 0] == 255
    assert abs(int(pixels[0, 32, 0]) - 130) <= 2


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    scene().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert decode_picture(tmp_path / "a.jpg").mode == "CMYK"
    assert looks_like_the_scene(decode_picture(tmp_path / "a.jpg"))
    scene().convert("CMYK").save(tmp_path / "a.tif")
    assert looks_like_the_scene(decode_picture(tmp_path / "a.tif"))


def test_colour_profiles_are_used_and_wrong_ones_ignored(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile, name in ((srgb, "sRGB"), (lab, "Lab"), (b"nonsense" * 40, "unreadable")):
        scene().save(tmp_path / "a.png", icc_profile=profile)
        decoded = decode_picture(tmp_path / "a.png")
        assert name in decoded.icc
        assert looks_like_the_scene(decoded)


def test_animations_give_their_first_frame(tmp_path: Path) -> None:
    black = Image.new("RGB", (48, 32))
    for format in ("GIF", "WEBP", "TIFF"):
        scene().save(tmp_path / "a", format, save_all=True, append_images=[black])
        assert looks_like_the_scene(decode_picture(tmp_path / "a"), tolerance=12)


def png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8000, 8000), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_on_their_header(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(*size))
    assert refused(tmp_path / "bomb.png").type == "image_too_large"


def test_a_bomb_in_the_text_of_a_png_is_refused_or_ignored(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "x" * 100_000_000, zip=True)
    scene().save(tmp_path / "a.png", pnginfo=text)
    assert refused(tmp_path / "a.png").type == "image_undecodable"


def test_big_files_are_refused_by_their_bytes(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.bmp")
    assert refused(tmp_path / "a.bmp", PictureLimits(max_bytes=100)).type == "too_large"


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\0" * 1000, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", b"PK\3\4", b"P6 9 9 255\n"]
)
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    error = refused(tmp_path / "a.png")
    assert error.type == "image_undecodable"
    assert "JPEG" in error.message


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_wrecks_are_refused_and_never_warn(format: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format)
    whole = buffer.getvalue()
    for share in (0.01, 0.1, 0.5, 0.9):
        (tmp_path / "a").write_bytes(whole[: int(len(whole) * share)])
        assert refused(tmp_path / "a").type == "image_undecodable"
    random = np.random.default_rng(1)
    for _ in range(40):
        wreck = bytearray(whole)
        for position in random.integers(8, min(len(wreck), 400), 6):
            wreck[position] = random.integers(0, 256)
        (tmp_path / "a").write_bytes(wreck)
        try:
            decode_picture(tmp_path / "a")
        except RequestError as error:
            assert error.type in ("image_undecodable", "image_too_large")  # noqa: PT017


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).type == "image_undecodable"
    assert refused(tmp_path / "missing.png").type == "image_undecodable"


def test_warning_filters_are_as_before(tmp_path: Path) -> None:
    before = list(warnings.filters)
    scene().save(tmp_path / "a.png")
    decode_picture(tmp_path / "a.png")
    assert list(warnings.filters) == before
