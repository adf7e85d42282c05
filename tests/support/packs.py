"""Small packs of pictures: with a teacher, with sessions."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import numpy.typing as npt

N = 5


def jpegs(side: int = 80) -> list[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (N, 10, 10, 3), dtype=np.uint8)
    return [cv2.imencode(".jpg", cv2.resize(picture, (side, side)))[1].ravel() for picture in pictures]


def write_pack(path: Path, coded: list[npt.NDArray[np.uint8]] | None = None) -> Path:
    coded = jpegs() if coded is None else coded
    rng = np.random.default_rng(1)
    teacher = rng.normal(size=(N, 128)).astype(np.float16)
    teacher[2] = np.nan
    with h5py.File(path, "w") as file:
        file["jpeg"] = np.concatenate(coded)
        file["offset"] = np.cumsum([0] + [len(data) for data in coded])
        file["identity"] = np.array([1, 0, 1, 2, 0], np.int32)
        file["identity_name"] = ["Ann", "Béla", "Chloë"]
        file["face_px"] = np.linspace(20, 400, N, dtype=np.float32)
        file["teacher"] = teacher
    return path


LIVE = [0, 1, 1, 1, 0, 1, 1, 1]


SESSION = ["p", "a", "a", "b", "p", "b", "b", "a"]


FRAME = [0, 7, 3, 1, 0, 0, 9, 2]


IDENTITY = [0, 0, 0, 1, 1, 1, 0, 0]


def write_sessions(path: Path, **other: object) -> Path:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 80, 80, 3), dtype=np.uint8)
    coded = [cv2.imencode(".jpg", picture)[1].ravel() for picture in pictures]
    data = {"live": np.array(LIVE, np.uint8), "session": SESSION, "frame": FRAME} | other
    with h5py.File(path, "w") as file:
        file["jpeg"] = np.concatenate(coded)
        file["offset"] = np.cumsum([0] + [len(one) for one in coded])
        file["identity"] = np.array(IDENTITY, np.int32)
        for name, values in data.items():
            file[name] = values
    return path


def write_people(path: Path, people: int = 4, photos: int = 3) -> Path:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (people, 6, 6, 3), dtype=np.uint8).repeat(photos, axis=0)
    pictures = [cv2.resize(one, (80, 80)) for one in coarse]
    coded = [
        cv2.imencode(".jpg", np.clip(one + rng.normal(0, 8, one.shape), 0, 255).astype(np.uint8))[1].ravel()
        for one in pictures
    ]
    with h5py.File(path, "w") as file:
        file["jpeg"] = np.concatenate(coded)
        file["offset"] = np.cumsum([0] + [len(one) for one in coded])
        file["identity"] = np.arange(people, dtype=np.int32).repeat(photos)
    return path
