"""What the recogniser says of the pictures that scikit-image ships and of the project's portraits, for docs/recognition.md.

python -m bench.recognition_accuracy [--tiny]
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.resources import files
from pathlib import Path

import skimage

from deployments.media.picture import decode_picture
from deployments.models.recogniser import Recogniser
from deployments.models.recogniser_lite import EfficientNetLite
from telemetry.errors import RequestError

ENDINGS = (".png", ".jpg", ".gif", ".tif")


def row(recogniser: Recogniser, path: Path) -> str:
    """One line of the table."""
    try:
        found = recogniser.classify([recogniser.prepare(decode_picture(path).pixels)])[0]
    except RequestError as error:
        return f"| {path.name} | {error.type} | |"
    said = "; ".join(f"{one.label.english} {one.label.chinese} {one.score:.2f}" for one in found.candidates)
    best = "not sure" if found.label is None else f"**{found.label.english} {found.label.chinese}**"
    return f"| {path.name} | {best} | {said} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="three pictures: does it still run?")
    tiny = parser.parse_args().tiny
    folders = (Path(skimage.__file__).parent / "data", Path(str(files("sonoscope"))) / "media")
    pictures = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in ENDINGS)
    with tempfile.TemporaryDirectory() as cache:
        recogniser = Recogniser(EfficientNetLite(Path(cache)))
        print("| picture | answer | the three likeliest |\n| --- | --- | --- |")
        for path in pictures[:3] if tiny else pictures:
            print(row(recogniser, path))


if __name__ == "__main__":
    main()
