"""Checkpoints for the official code, small, with random weights: `python tiny.py CHECKOUT FOLDER`, by Sonic's Python.

The sizes that its code has fixed stay (whisper's 384 x 4 layers, the two audio networks, RIFE), so it is 350 MB. The face detector
finds one face in the middle of a bright picture, and none in a dark one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler  # pyright: ignore[reportMissingImports]
from transformers import (  # pyright: ignore[reportMissingImports]
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

SLIM = (32, 32, 32, 32)


class Centre(torch.nn.Module):
    """Answers as the detector does: x, y, width, height (px), surety, ten landmarks, class."""

    def forward(self, picture: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
        """One box over the middle half."""
        height, width = float(picture.size(2)), float(picture.size(3))
        sure = 0.9 if float(picture.mean()) > 0.1 else 0.1
        x, y = width / 2, height / 2
        return torch.tensor([[[x, y, width / 2, height / 2, sure, x, y, x, y, x, y, x, y, x, y, 1.0]]])


def build(checkout: Path, folder: Path) -> None:
    """Writes the tree of checkpoints that Sonic's README lists."""
    sys.path.insert(0, str(checkout))
    from src.models.audio_adapter.audio_proj import AudioProjModel  # pyright: ignore[reportMissingImports]
    from src.models.audio_adapter.audio_to_bucket import Audio2bucketModel  # pyright: ignore[reportMissingImports]
    from src.models.base.unet_spatio_temporal_condition import (  # pyright: ignore[reportMissingImports]
        UNetSpatioTemporalConditionModel,
        add_ip_adapters,
    )
    from src.utils.RIFE.IFNet_HDv3 import IFNet  # pyright: ignore[reportMissingImports]

    torch.manual_seed(1)
    video = folder / "stable-video-diffusion-img2vid-xt"
    for name in ("Sonic", "RIFE"):
        (folder / name).mkdir(parents=True)
    blocks = ("DownEncoderBlock2D",) * 4
    vae = AutoencoderKLTemporalDecoder(down_block_types=blocks, block_out_channels=SLIM, layers_per_block=1)
    vae.save_pretrained(video / "vae", variant="fp16")
    clip = CLIPVisionConfig(hidden_size=32, intermediate_size=64, projection_dim=1024, num_hidden_layers=1, num_attention_heads=2)
    CLIPVisionModelWithProjection(clip).save_pretrained(video / "image_encoder", variant="fp16")
    EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        timestep_type="continuous",
        sigma_min=0.002,
        sigma_max=700.0,
    ).save_pretrained(video / "scheduler")
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=SLIM,
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        layers_per_block=1,
        num_attention_heads=(2, 2, 2, 2),
    )
    unet.save_pretrained(video / "unet", variant="fp16")
    add_ip_adapters(unet, [32], [1.0])
    torch.save(unet.state_dict(), folder / "Sonic" / "unet.pth")
    token = AudioProjModel(seq_len=10, blocks=5, channels=384, intermediate_dim=1024, output_dim=1024, context_tokens=32)
    torch.save(token.state_dict(), folder / "Sonic" / "audio2token.pth")
    bucket = Audio2bucketModel(
        seq_len=50, blocks=1, channels=384, clip_channels=1024, intermediate_dim=1024, output_dim=1, context_tokens=2
    )
    torch.save(bucket.state_dict(), folder / "Sonic" / "audio2bucket.pth")
    whisper = WhisperConfig(
        d_model=384,
        encoder_layers=4,
        encoder_attention_heads=6,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        vocab_size=128,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
    )
    WhisperModel(whisper).save_pretrained(folder / "whisper-tiny")
    WhisperFeatureExtractor().save_pretrained(folder / "whisper-tiny")
    torch.save({f"module.{name}": value for name, value in IFNet().state_dict().items()}, folder / "RIFE" / "flownet.pkl")
    torch.jit.script(Centre()).save(str(folder / "yoloface_v5m.pt"))


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
