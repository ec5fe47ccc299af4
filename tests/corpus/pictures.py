"""Pictures: every format and mode, faces that are missing, many or cut off, wrecks, disguises and bombs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from tests.corpus.cases import MEDIA, VIDEO, Case, case, good_portrait, good_speech, portrait, saved, wrecked

UNDECODABLE, TOO_LARGE, NO_FACE = "image_undecodable", "image_too_large", "face_not_found"
_UNTURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def picture_cases(seed: int) -> list[Case]:
    """About ninety."""
    made = (_formats(), _modes(), _turned(), _faces(), _nothing(seed), _wrecks(seed), _disguises(), _bombs())
    return [case(f"picture: {name}", *expected, portrait=data) for part in made for name, data, *expected in part] + _many_faces()


Rows = Iterator[tuple[str, bytes, *tuple[str, ...]]]


def _formats() -> Rows:
    image, other = portrait(), portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for name, format, options in (
        ("JPEG", "JPEG", {}), ("progressive JPEG", "JPEG", {"progressive": True}), ("JPEG of quality 5", "JPEG", {"quality": 5}),
        ("WebP", "WEBP", {}), ("lossless WebP", "WEBP", {"lossless": True}), ("BMP", "BMP", {}), ("GIF", "GIF", {}),
        ("TIFF with LZW", "TIFF", {"compression": "tiff_lzw"}), ("TIFF with JPEG", "TIFF", {"compression": "jpeg"}),
        ("animated GIF", "GIF", {"save_all": True, "append_images": [other] * 4}),
        ("animated WebP", "WEBP", {"save_all": True, "append_images": [other] * 4}),
        ("animated PNG", "PNG", {"save_all": True, "append_images": [other] * 4}),
        ("JPEG with two pictures (MPO)", "MPO", {"save_all": True, "append_images": [other]}),
        ("TIFF with two pages", "TIFF", {"save_all": True, "append_images": [other]}),
    ):  # fmt: skip
        yield name, saved(image, format, **options), VIDEO
    yield "JPEG with a megabyte of rubbish behind it", saved(image, "JPEG") + bytes(1 << 20), VIDEO
    yield "JPEG with 60 kB of comment", saved(image, "JPEG", comment=b"x" * 60_000), VIDEO
    yield "PNG with a second PNG behind it", good_portrait() * 2, VIDEO


def _modes() -> Rows:
    image, pixels = portrait(), np.asarray(portrait())
    transparent = image.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L"))
    yield "palette of 256 colours", saved(image.quantize(256), "PNG"), VIDEO
    yield "palette of 16 colours", saved(image.quantize(16), "PNG"), VIDEO, NO_FACE
    yield "palette with a transparent colour", saved(image.quantize(64), "PNG", transparency=0), VIDEO
    yield "grey", saved(image.convert("L"), "PNG"), VIDEO
    yield "grey with alpha", saved(transparent.convert("LA"), "PNG"), VIDEO
    yield "alpha", saved(transparent, "PNG"), VIDEO
    yield "wholly transparent", saved(Image.new("RGBA", (256, 256), (0, 0, 0, 0)), "PNG"), NO_FACE
    yield "black and white", saved(image.convert("1"), "PNG"), VIDEO, NO_FACE
    yield "CMYK JPEG", saved(image.convert("CMYK"), "JPEG"), VIDEO
    yield "16-bit grey PNG", saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"), VIDEO
    yield "16-bit colour PNG", _encoded(".png", pixels[..., ::-1].astype(np.uint16) * 257), VIDEO
    yield "16-bit colour TIFF", _encoded(".tiff", pixels[..., ::-1].astype(np.uint16) * 257), VIDEO, UNDECODABLE
    yield "float grey TIFF", saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255), "TIFF"), VIDEO
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    yield "a colour profile for other pixels", saved(image, "PNG", icc_profile=lab), VIDEO
    yield "a colour profile of noise", saved(image, "JPEG", icc_profile=bytes(range(256)) * 20), VIDEO
    yield "six megapixels", saved(image.resize((2450, 2450)), "JPEG"), VIDEO


def _encoded(ending: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


def _turned() -> Rows:
    for orientation, turn in _UNTURN.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"EXIF orientation {orientation}", saved(portrait().transpose(turn), "JPEG", exif=exif), VIDEO
    exif = Image.Exif()
    exif[0x0112] = 99
    yield "an EXIF orientation that does not exist", saved(portrait(), "JPEG", exif=exif), VIDEO
    for degrees in (25, -25):
        yield f"a head tilted by {degrees} degrees", saved(portrait().rotate(degrees, fillcolor=(90, 90, 90)), "PNG"), VIDEO
    yield "a face on its side", saved(portrait().rotate(90), "PNG"), VIDEO, NO_FACE
    yield "a face upside down", saved(portrait().rotate(180), "PNG"), VIDEO, NO_FACE


def _faces() -> Rows:
    tiny = Image.new("RGB", (1600, 1200), (70, 90, 110))
    tiny.paste(portrait().resize((110, 110)), (1300, 900))
    yield "a small face far from the middle", saved(tiny, "PNG"), VIDEO
    yield "a whole picture of 48 px", saved(portrait().resize((48, 48)), "PNG"), VIDEO, NO_FACE
    yield "a whole picture of 16 px", saved(portrait().resize((16, 16)), "PNG"), VIDEO, NO_FACE
    yield "a face squeezed to half its width", saved(portrait().resize((128, 256)), "PNG"), VIDEO, NO_FACE
    for side, box in {"right": (0, 0, 165, 256), "left": (90, 0, 256, 256), "lower": (0, 0, 256, 145)}.items():
        yield f"a face at the {side} edge", saved(portrait().crop(box), "PNG"), VIDEO, NO_FACE
    half = portrait().copy()
    ImageDraw.Draw(half).rectangle((0, 128, 256, 256), fill=(20, 20, 20))
    yield "a mouth that is covered", saved(half, "PNG"), VIDEO, NO_FACE


def _many_faces() -> list[Case]:
    """Several faces: the largest is taken, and the answer says so; one cut off by the edge likewise."""
    with Image.open(MEDIA / "painting_mona_lisa.jpg") as image:
        other = image.convert("RGB").crop((90, 60, 270, 240))
    both = Image.new("RGB", (640, 320), (128, 128, 128))
    both.paste(portrait(), (20, 20))
    both.paste(other, (400, 60))
    crowd = Image.new("RGB", (768, 768), (128, 128, 128))
    for k in range(9):
        crowd.paste(portrait(), (k % 3 * 256, k // 3 * 256))
    cut = portrait().crop((90, 0, 256, 256))
    return [
        case("picture: two faces", VIDEO, portrait=saved(both, "PNG"), advice=("several_faces",)),
        case("picture: nine equal faces", VIDEO, portrait=saved(crowd, "PNG"), advice=("several_faces",)),
        case(
            "picture: a fifth of the face is cut off",
            VIDEO,
            portrait=saved(cut.crop((13, 0, 166, 256)), "PNG"),
            advice=("face_cut_off",),
        ),
    ]


def dog() -> Image.Image:
    """A dog's head as a child draws it, from the front."""
    image = Image.new("RGB", (320, 320), (150, 190, 120))
    draw = ImageDraw.Draw(image)
    for ear in ((40, 60, 110, 210), (210, 60, 280, 210)):
        draw.ellipse(ear, fill=(90, 55, 30))
    draw.ellipse((75, 50, 245, 250), fill=(165, 110, 60))
    draw.ellipse((110, 160, 210, 270), fill=(215, 180, 140))
    for eye in ((115, 115, 145, 145), (175, 115, 205, 145)):
        draw.ellipse(eye, fill=(25, 15, 10))
    draw.ellipse((135, 165, 185, 205), fill=(15, 10, 10))
    draw.rectangle((145, 230, 175, 285), fill=(220, 110, 120))
    return image.resize((640, 640), Image.Resampling.BICUBIC)


def _nothing(seed: int) -> Rows:
    noise = np.random.default_rng(seed).integers(0, 255, (256, 256, 3), np.uint8)
    yield "a drawn dog", saved(dog(), "PNG"), NO_FACE
    yield "noise", saved(Image.fromarray(noise), "PNG"), NO_FACE
    yield "soft noise", saved(Image.fromarray(noise[:12, :12]).resize((512, 512), Image.Resampling.BICUBIC), "PNG"), NO_FACE
    for name, size in {
        "one pixel": (1, 1),
        "two pixels": (2, 1),
        "30,000 x 2 px": (30_000, 2),
        "2 x 30,000 px": (2, 30_000),
    }.items():
        yield name, saved(Image.new("RGB", size, (200, 150, 130)), "PNG"), NO_FACE
    for name, colour in {"black": (0, 0, 0), "white": (255, 255, 255)}.items():
        yield name, saved(Image.new("RGB", (512, 512), colour), "PNG"), NO_FACE
    stripes = np.kron(np.indices((32, 32)).sum(axis=0) % 2, np.ones((16, 16))).astype(np.uint8) * 255
    yield "a chequerboard", saved(Image.fromarray(stripes), "PNG"), NO_FACE


def _wrecks(seed: int) -> Rows:
    random = np.random.default_rng(seed)
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        whole = saved(portrait(), format)
        for share in (0.02, 0.6):
            yield f"{format} cut off at {share:.0%}", whole[: int(len(whole) * share)], UNDECODABLE
        for k in (1, 2):
            yield f"{format} with changed bytes, {k}", wrecked(whole, random), VIDEO, UNDECODABLE, TOO_LARGE, NO_FACE


def _disguises() -> Rows:
    texts = {
        "text": b"hello",
        "zeros": bytes(5000),
        "a ZIP": b"PK\3\4" + bytes(500),
        "a PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "EPS, which some readers run": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "a Windows program": b"MZ" + bytes(500),
        "an HTML page": b"<!doctype html><img src=x>",
        "a PPM": b"P6 9 9 255\n" + bytes(243),
        "a Photoshop file": b"8BPS\0\1" + bytes(300),
        "the first bytes of a HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
        "an XBM": b"#define a_width 9\n#define a_height 9\nstatic char a_bits[] = {0x00};",
    }
    for name, data in texts.items():
        yield name, data, UNDECODABLE
    yield "a sound file", good_speech(), UNDECODABLE
    yield "an icon", saved(portrait(), "ICO", sizes=[(64, 64)]), UNDECODABLE


def _png(width: int, height: int, *more: tuple[bytes, bytes], data: bytes = b"") -> bytes:
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    chunks = (header, *more, (b"IDAT", data or zlib.compress(bytes(1 << 20))), (b"IEND", b""))
    parts = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _bombs() -> Rows:
    # A gigabyte of zeros in a megabyte, deflated piece by piece.
    squeeze = zlib.compressobj(1)
    zeros = b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(300)) + squeeze.flush()
    yield "30,000 x 30,000 px that are really there", _png(30_000, 30_000, data=zeros), TOO_LARGE
    yield "60,000 x 60,000 px in the header", _png(60_000, 60_000), TOO_LARGE
    yield "2^31 x 2^31 px in the header", _png(2**31 - 1, 2**31 - 1), TOO_LARGE, UNDECODABLE
    yield "40,000 x 100 px", saved(Image.new("RGB", (40_000, 100)), "PNG"), TOO_LARGE
    yield "0 x 0 px", _png(0, 0), UNDECODABLE
    yield "300 MB of zeros behind a small picture", _png(200, 200, data=zeros), NO_FACE
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 900_000, zip=True)
    yield "900 kB of compressed text", saved(portrait(), "PNG", pnginfo=text), VIDEO
    bomb = (b"zTXt", b"comment\0\0" + zlib.compress(bytes(200 << 20)))
    yield "200 MB of compressed text", _png(200, 200, bomb), UNDECODABLE
    profile = (b"iCCP", b"profile\0\0" + zlib.compress(bytes(200 << 20)))
    yield "a colour profile of 200 MB", _png(200, 200, profile), UNDECODABLE, NO_FACE
    gif = bytearray(saved(portrait(), "GIF"))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    yield "a GIF whose screen has 65,535 x 65,535 px", bytes(gif), TOO_LARGE
    bmp = bytearray(saved(portrait(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 2**30, 2**30)
    yield "a BMP of 2^30 x 2^30 px", bytes(bmp), TOO_LARGE
    frames = [Image.new("L", (1500, 1500), k % 256) for k in range(60)]
    yield "an animation of 60 large frames", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), NO_FACE
