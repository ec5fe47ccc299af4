"""Where the user's Sonic lies, and whether it is whole: what is missing is said before anything is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from telemetry.errors import RequestError

CODE = ("sonic.py", "config/inference/sonic.yaml", "src/pipelines/pipeline_sonic.py", "src/utils/util.py")

_VIDEO = "stable-video-diffusion-img2vid-xt"
CHECKPOINTS = (
    "Sonic/unet.pth",
    "Sonic/audio2token.pth",
    "Sonic/audio2bucket.pth",
    f"{_VIDEO}/vae/config.json",
    f"{_VIDEO}/vae/diffusion_pytorch_model.fp16.safetensors",
    f"{_VIDEO}/unet/config.json",
    f"{_VIDEO}/unet/diffusion_pytorch_model.fp16.safetensors",
    f"{_VIDEO}/image_encoder/config.json",
    f"{_VIDEO}/image_encoder/model.fp16.safetensors",
    f"{_VIDEO}/scheduler/scheduler_config.json",
    "whisper-tiny/config.json",
    "whisper-tiny/preprocessor_config.json",
    "RIFE/flownet.pkl",
    "yoloface_v5m.pt",
)
"""What Sonic's README says to download, as its code asks for it."""

_PROBE_BYTES = 2**20


@dataclass(frozen=True)
class Installed:
    """A checkout, its checkpoints, and the Python that has its requirements."""

    checkout: Path
    checkpoints: Path
    python: Path

    def check(self) -> None:
        """Raises RequestError(invalid_parameter) that names what is missing, for whoever set it up."""
        missing = [f"checkout/{name}" for name in CODE if not (self.checkout / name).is_file()]
        missing += [f"checkpoints/{name}" for name in CHECKPOINTS if not (self.checkpoints / name).is_file()]
        if not os.access(self.python, os.X_OK):
            missing.append("python")
        if missing:
            rest = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
            raise unusable(f"missing: {', '.join(missing[:4])}{rest}")

    def version(self) -> str:
        """`sonic-` and 8 hex digits of the code and of the checkpoints: their names, sizes, first and last MiB."""
        digest = hashlib.sha256()
        for path in self._code():
            digest.update(path.relative_to(self.checkout).as_posix().encode() + path.read_bytes())
        for name in CHECKPOINTS:
            path = self.checkpoints / name
            digest.update(f"{name} {path.stat().st_size} ".encode())
            with path.open("rb") as file:
                digest.update(file.read(_PROBE_BYTES))
                file.seek(max(0, path.stat().st_size - _PROBE_BYTES))
                digest.update(file.read(_PROBE_BYTES))
        return f"sonic-{digest.hexdigest()[:8]}"

    def _code(self) -> Iterator[Path]:
        yield from sorted({*(self.checkout / name for name in CODE), *(self.checkout / "src").rglob("*.py")})


def unusable(why: str) -> RequestError:
    """Sonic cannot be used on this service; another model can."""
    return RequestError(
        "invalid_parameter",
        f"model_name sonic cannot be used here: {why}.",
        field="model_name",
        hint="Use model_name lite, or set Sonic up as docs/sonic.md says.",
        stage="run_inference",
    )
