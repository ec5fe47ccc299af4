"""Rows of recognition requests with a planted truth: one folder of three fails, mostly."""

from __future__ import annotations

import numpy as np
import pandas as pd

FOLDERS = ("uploads/a", "uploads/b", None)
LABELS = ("espresso", "tiger cat", "portrait", "maze")


def recognised_rows(n: int, seed: int = 1) -> pd.DataFrame:
    """`n` pictures of one day. Of `uploads/b` 85 % fail, of the others 2 %; of what is recognised 30 % lie below 0.3."""
    random = np.random.default_rng(seed)
    folder = random.choice(np.array(FOLDERS, object), n)
    failed = random.random(n) < np.where(folder == "uploads/b", 0.85, 0.02)
    low = random.random(n) < 0.3
    score = np.where(low, random.uniform(0, 0.3, n), random.uniform(0.3, 1.0, n))
    return pd.DataFrame(
        {
            "request_id": [f"picture-{k}" for k in range(n)],
            "operation": "recognize",
            "started_at": pd.Timestamp("2026-11-20", tz="UTC") + pd.to_timedelta(np.linspace(0, 86_000, n), unit="s"),
            "status": np.where(failed, "error", "ok"),
            "error_type": np.where(failed, "image_undecodable", None),
            "source_prefix": folder,
            "top1_label": np.where(failed, None, random.choice(np.array(LABELS, object), n)),
            "top1_score": np.where(failed, np.nan, score),
            "low_confidence": pd.array(np.where(failed, None, low), "boolean"),
        }
    )
