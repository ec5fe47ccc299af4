"""What the repository keeps of the incident: its telemetry as two Parquet files, a thumbnail of every video, and a few videos.

    python -m examples.incident.pack DATA_DIR … [--out examples/incident/data]

Nothing is changed in the rows; `fault_injected` events are kept (no analysis reads them). Kept videos: both of two blocks of the
replay, and three bad and three good ones of the incident.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

import av
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from analytics.requests import load
from analytics.stores.local import LocalStore
from examples.incident.make import NAME
from telemetry.compact import KINDS, Compactor
from telemetry.manifest import DataFile, Manifest, read_manifest, write_manifest

EACH, BLOCKS = 3, 2
THUMBNAIL = 96
"""Pixels of a thumbnail's longer side: enough to see who speaks."""


def telemetry(folders: list[Path], out: Path) -> None:
    """Both kinds of lines, each in one file, and the manifest that names them."""
    for data in folders:
        Compactor(data / "journal", data / "parquet").run_once()
    out.mkdir(parents=True)
    files: list[DataFile] = []
    for kind in KINDS:
        parts = [part for data in folders for part in read_manifest(data / "parquet").of(kind)]
        paths = [data / "parquet" / part.name for data in folders for part in read_manifest(data / "parquet").of(kind)]
        rows = pa.concat_tables([pa.parquet.read_table(path) for path in paths], promote_options="default")
        name = f"{kind}-incident.parquet"
        pa.parquet.write_table(rows, out / name, compression="zstd", compression_level=19)
        size = (out / name).stat().st_size
        times = (min(part.min_ns for part in parts), max(part.max_ns for part in parts))
        files.append(DataFile(name, kind, rows.num_rows, size, *times, hour=parts[0].hour))
    write_manifest(out, Manifest(files=tuple(files)))


def chosen(rows: pd.DataFrame) -> list[str]:
    """The requests whose videos are kept."""
    ok = rows[rows["status"] == "ok"]
    incident, replay = ok[ok["experiment"] == NAME], ok[ok["replay_of"].notna() & ok["audio_drift_ms"].notna()]
    by_drift = incident.dropna(subset=["audio_drift_ms"]).sort_values("audio_drift_ms")
    whole = replay.groupby("block").filter(lambda pair: len(pair) == 2)
    pairs = whole[whole["block"].isin(sorted(whole["block"].unique())[:BLOCKS])]
    found = pd.concat([by_drift.tail(EACH), by_drift.head(EACH), pairs])
    return [str(id) for id in found["request_id"]]


def thumbnail(video: Path) -> bytes:
    """A frame of the middle of a video, as a small JPEG."""
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
    picture = frames[len(frames) // 2].to_image()
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def main() -> None:
    """Packs the folder and says how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    asked = parser.parse_args()
    if asked.out.exists():
        shutil.rmtree(asked.out)
    telemetry(asked.data, asked.out / "parquet")
    rows = load(LocalStore(asked.out / "journal")).frame
    (asked.out / "videos").mkdir()
    (asked.out / "thumbnails").mkdir()
    keep = set(chosen(rows))
    for path in (path for data in asked.data for path in sorted((data / "videos").iterdir())):
        id = path.name.partition(".")[0]
        if id in keep:
            shutil.copy(path, asked.out / "videos" / path.name)
        if path.suffix == ".mp4":
            (asked.out / "thumbnails" / f"{id}.jpg").write_bytes(thumbnail(path))
    size = sum(path.stat().st_size for path in asked.out.rglob("*") if path.is_file())
    print(f"{asked.out}: {len(rows)} requests, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
