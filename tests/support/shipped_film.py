"""A film with times and pictures under the fingerprint of shipped weights, without decoding any."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
from footage import encoded_video
from synthetic import scene

from dhhcli.models.model_tag import ModelTag
from dhhcli.models.weights import load_weights, resolve_weights
from dhhcli.storage.codes_file import EncodedVideo

SHIPPED = ModelTag(48, load_weights(resolve_weights("dhh-48")).fingerprint)


def film(rng: np.random.Generator, name: str, *, shots: int, tracks: int) -> EncodedVideo:
    """A film with times that a timeline can hold, and pictures that can be looked at."""
    made = encoded_video(
        rng, f"/footage/{name}.mov", shots=shots, tracks=tracks, varying=12, fingerprint=rng.bytes(32).hex()
    )
    for rows, length in ((made.shots, 100), (made.tracks, 40)):
        if rows is made.tracks:
            rows["start_frame"] = made.shots["start_frame"][rows["shot"]] + 5
            rows["end_frame"] = rows["start_frame"] + length
            rows["best_frame"] = rows["start_frame"] + 3
            rows["best_pts"] = rows["best_frame"] * 3003 + 90
            rows["frames_used"] = 3
        rows["start_pts"] = rows["start_frame"] * 3003 + 90
        rows["end_pts"] = rows["end_frame"] * 3003 + 90
    jpegs = tuple(cv2.imencode(".jpg", scene(int(seed), 32, 32))[1].tobytes() for seed in rng.integers(0, 99, tracks))
    return replace(made, video=replace(made.video, start_pts=90, time_base=Fraction(1, 90000)), thumbnails=jpegs)
