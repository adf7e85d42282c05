"""lines: every command that writes, in every form, each with a folder to begin with, for spoil.py beside this."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from footage import encoded_video
from synthetic import astronaut, grace_hopper, moving_face, scene, write_video

from dhhcli.models.model_tag import ModelTag
from dhhcli.models.weights import load_weights, resolve_weights
from dhhcli.output.formats import Format, LogFormat
from dhhcli.storage.codes_file import commit, compact
from dhhcli.storage.record import EncodedVideo


@dataclass(frozen=True)
class Line:
    """words: of the line that is spoilt; it is run in a copy of what ``prepare`` leaves in an empty folder.

    codes: the codes files that are looked at. forgets: the codes that the line erases must be in no file when it is
    done. lasting: it goes on by itself where something is in its way. workers: what is spoilt is what they read.
    """

    words: tuple[str, ...]
    prepare: Callable[[Path], None]
    codes: tuple[str, ...] = ("codes.h5",)
    forgets: bool = False
    lasting: bool = False
    workers: bool = False


def tag(name: str = "dhh-128") -> ModelTag:
    """Of shipped weights."""
    weights = load_weights(resolve_weights(name))
    return ModelTag(weights.bits, weights.fingerprint)


def video(seed: int, path: str, tracks: int = 6) -> EncodedVideo:
    """A made-up video with times, boxes and pictures that could be of a film."""
    rng = np.random.default_rng(seed)
    made = encoded_video(rng, path, tracks=tracks, bits=128, fingerprint=f"{seed:02x}" * 32)
    rows = made.tracks.copy()
    rows["shot"] = np.sort(rows["shot"])
    rows["start_pts"], rows["best_pts"], rows["end_pts"] = np.arange(3)[:, None] * 3000 + np.arange(tracks) * 90_000
    for name in ("start", "best", "end"):
        rows[f"{name}_frame"] = rows[f"{name}_pts"] // 3003
    rows["box"] = np.arange(tracks)[:, None] + np.array([10, 20, 50, 70], np.float32)
    shots = made.shots.copy()
    shots["start_pts"], shots["end_pts"] = shots["start_frame"] * 3003, shots["end_frame"] * 3003
    jpeg = cv2.imencode(".jpg", scene(seed, 32, 32))[1].tobytes()
    whole = replace(made.video, start_pts=0)
    return replace(made, video=whole, tracks=rows, shots=shots, thumbnails=(jpeg,) * tracks)


def run(*words: str | Path) -> None:
    """A line that is not spoilt. Raises where it fails."""
    from dhhcli.cli.app import app

    app([str(word) for word in words], standalone_mode=False)


def _codes(path: Path, first: int, count: int, tracks: int = 6, parts: bool = False) -> None:
    own = tag()
    for seed in range(first, first + count):
        commit(path, own, video(seed, f"/films/{seed}.mp4", tracks))
    if not parts:
        compact(path, own)


def _two(folder: Path) -> None:
    _codes(folder / "codes.h5", 1, 2)


def _waiting(folder: Path) -> None:
    _two(folder)
    _codes(folder / "codes.h5", 3, 1, parts=True)


def _indexed(folder: Path) -> None:
    _two(folder)
    run("index", folder / "codes.h5", "--flat")
    _codes(folder / "codes.h5", 3, 1, parts=True)


def _many(folder: Path) -> None:
    _codes(folder / "codes.h5", 1, 2, tracks=60)


def _many_indexed(folder: Path) -> None:
    _many(folder)
    run("index", folder / "codes.h5", "--ivf")
    _codes(folder / "codes.h5", 3, 1, parts=True)


def _files(folder: Path) -> None:
    _codes(folder / "a.h5", 1, 2)
    _codes(folder / "b.h5", 2, 3)
    run("name", folder / "a.h5", "Ada", "--track", "0")
    run("name", folder / "b.h5", "Bob", "--track", "1", "--track", "13")
    run("forget", folder / "a.h5", "--track", "3", "--yes")


def _named(folder: Path) -> None:
    _waiting(folder)
    run("name", folder / "codes.h5", "Ada", "--track", "0", "--track", "7")
    run("name", folder / "codes.h5", "Bob", "--track", "3")
    run("index", folder / "codes.h5", "--flat")


def _grouped(folder: Path) -> None:
    """People by a limit at which everybody is alone, who would be others by the usual one."""
    _named(folder)
    run("people", "merge", folder / "codes.h5", "3", "5")


def _said(folder: Path) -> None:
    _named(folder)
    run("people", "not", folder / "codes.h5", "Ada", "1")


def _alike(folder: Path) -> None:
    """Tracks of which each looks like one of another film, grouped when nobody may look like anybody."""
    own = tag()
    first = video(1, "/films/1.mp4")
    commit(folder / "codes.h5", own, first)
    commit(folder / "codes.h5", own, replace(video(2, "/films/2.mp4"), codes=first.codes))
    compact(folder / "codes.h5", own)
    run("name", folder / "codes.h5", "Ada", "--track", "0", "--within", "0")


def _head(path: Path, picture: np.ndarray, beside: int = 0) -> None:
    head = picture[20:240, 115:335]
    write_video(path, moving_face(head, [(100 + beside + 4 * i, 110) for i in range(4)]))


def _films(folder: Path) -> None:
    (folder / "films").mkdir()
    _head(folder / "films" / "0.mp4", astronaut())
    _head(folder / "films" / "1.mp4", grace_hopper())


def _encoded_films(folder: Path) -> None:
    _films(folder)
    run("encode", folder / "films", "-o", folder / "codes.h5", "-j", "1")


def _encoded(folder: Path) -> None:
    _encoded_films(folder)
    run("name", folder / "codes.h5", "Ada", "--track", "0")
    _head(folder / "films" / "2.mp4", astronaut(), 60)
    (folder / "films" / "0.mp4").unlink()


def _changed(folder: Path) -> None:
    _encoded_films(folder)
    run("name", folder / "codes.h5", "Ada", "--track", "1")
    _head(folder / "films" / "0.mp4", astronaut(), 60)


def _other_weights(folder: Path) -> None:
    _films(folder)
    run("encode", folder / "films", "-o", folder / "codes.h5", "-j", "1", "--weights", "dhh-48")
    run("name", folder / "codes.h5", "Ada", "--track", "0")
    run("forget", folder / "codes.h5", "--track", "1", "--yes")


def _lost(folder: Path) -> None:
    _other_weights(folder)
    (folder / "films" / "1.mp4").unlink()


def _photographed(folder: Path) -> None:
    _encoded_films(folder)
    cv2.imwrite(str(folder / "ada.png"), astronaut())


def _saved(folder: Path) -> None:
    _two(folder)
    run("query", "track:0", "-c", folder / "codes.h5", "-o", folder / "hits.json", "--all")


def _people_folders(folder: Path) -> None:
    for who, picture in (("collins", astronaut()), ("hopper", grace_hopper())):
        (folder / "people" / who).mkdir(parents=True)
        cv2.imwrite(str(folder / "people" / who / "a.jpg"), picture)


def _weights(folder: Path, people: int, photos: int) -> None:
    import torch
    from synthetic import write_pack

    from dhhcli.models.weights import write_weights
    from dhhcli.research.training.networks.backbone import Backbone, fold_batch_norm
    from dhhcli.research.training.networks.hash_model import HashModel
    from dhhcli.research.training.publishing.export import hash_safetensors, to_onnx

    torch.manual_seed(0)
    backbone = fold_batch_norm(Backbone().eval())
    onnx = to_onnx(backbone)
    write_weights(
        folder,
        "own-16",
        bits=16,
        safetensors=hash_safetensors(HashModel(16).layers(), onnx),
        onnx=onnx,
        record={"model": {"eps": 1e-3, "divide": False, "homogeneous": False}},
    )
    write_pack(folder / "faces.h5", people, photos, 0)


def _faces(folder: Path) -> None:
    from synthetic import write_pack

    write_pack(folder / "faces.h5", 4, 3, 0)


QUICK: tuple[str, ...] = ("pretrain.batch=4", "pretrain.warmup=1", "hash.features=16", "hash.photos=8", "hash.frames=2")
QUICK += ("pretrain.bf16=false", "hash.bf16=false", "hash.hash_people=2", "hash.joint_people=2", "hash.joint_pairs=1")
STEPS = ("--backbone-steps", "1", "--hash-steps", "1", "--joint-steps", "1", "--bits", "16", "--threads", "1")
TRAIN = ("train", "-d", "faces.h5", "-o", "run", *STEPS, *(word for one in QUICK for word in ("--set", one)))
FORGET = ("forget", "codes.h5", "--yes")
ENCODE = ("encode", "films", "-j", "1")
ASK = ("query", "track:0", "--all", "-o")
LINES = {
    "encode": Line(ENCODE, _films),
    "encode what has changed": Line(ENCODE, _changed),
    "encode --prune": Line((*ENCODE, "--prune"), _encoded),
    "encode --prune=all": Line((*ENCODE, "--prune=all"), _encoded),
    "encode --watch": Line((*ENCODE, "--watch", "--every", "0.1"), _films, lasting=True),
    "encode --watch --prune=all": Line((*ENCODE, "--watch", "--every", "0.1", "--prune=all"), _encoded, lasting=True),
    "encode -j 2": Line(("encode", "films", "-j", "2"), _films),
    "encode -j 2, what workers read": Line(("encode", "films", "-j", "2"), _films, workers=True),
    "migrate": Line(("migrate", "codes.h5", "--weights", "dhh-128", "-j", "1"), _other_weights),
    "migrate --drop": Line(("migrate", "codes.h5", "--weights", "dhh-128", "-j", "1", "--drop"), _lost),
    "index --flat": Line(("index", "codes.h5", "--flat"), _waiting),
    "index --flat, brought up to date": Line(("index", "codes.h5"), _indexed),
    "index --ivf": Line(("index", "codes.h5", "--ivf"), _many),
    "index --ivf, brought up to date": Line(("index", "codes.h5"), _many_indexed),
    "merge": Line(("merge", "a.h5", "b.h5", "-o", "codes.h5"), _files, codes=("codes.h5", "a.h5", "b.h5")),
    "forget --video": Line((*FORGET, "--video", "/films/1.mp4"), _named, forgets=True),
    "forget --name": Line((*FORGET, "--name", "Ada"), _named, forgets=True),
    "forget --track": Line((*FORGET, "--track", "ID"), _named, forgets=True),
    "forget --photo": Line((*FORGET, "--photo", "ada.png", "--within", "40"), _photographed, forgets=True),
    "forget --sheet": Line((*FORGET, "--name", "Ada", "--sheet", "faces.html"), _named, forgets=True),
    "name NUMBER": Line(("name", "codes.h5", "2", "Eve"), _waiting),
    "name --track": Line(("name", "codes.h5", "Eve", "--track", "2"), _named),
    "name, another": Line(("name", "codes.h5", "Ada", "Grace"), _named),
    "name, one for two": Line(("name", "codes.h5", "Ada", "Bob"), _named),
    "name --remove": Line(("name", "codes.h5", "--remove", "Bob"), _named),
    "people merge": Line(("people", "merge", "codes.h5", "3", "5"), _named),
    "people split": Line(("people", "split", "codes.h5", "Ada", "--track", "7"), _named),
    "people not": Line(("people", "not", "codes.h5", "Ada", "7"), _named),
    "people undo": Line(("people", "undo", "codes.h5"), _said),
    "people --again": Line(("people", "codes.h5", "--again", "--yes"), _alike),
    "people --sheet .html": Line(("people", "codes.h5", "--sheet", "who.html"), _named),
    "people --sheet .png": Line(("people", "codes.h5", "--sheet", "who.png"), _named),
    **{
        f"query -f {kind}": Line((*ASK, f"out.{kind}", "-f", kind.value), _two)
        for kind in Format
        if kind not in (Format.table, Format.otioz)
    },
    "query -f otioz": Line((*ASK, "out.otioz", "-f", "otioz"), _encoded_films),
    "query --sheet .html": Line(("query", "track:0", "--sheet", "hits.html"), _two),
    "query --sheet .jpg": Line(("query", "track:0", "--sheet", "hits.jpg"), _two),
    "export": Line(("export", "hits.json", "-o", "cuts.edl"), _saved),
    "export, a file a video": Line(("export", "hits.json", "-o", "cuts.edl", "--sequence", "video"), _saved),
    **{f"log -f {kind}": Line(("log", "codes.h5", "-f", kind.value, "-o", f"log.{kind}"), _two) for kind in LogFormat},
    "sample": Line(("sample", "there"), lambda _: None),
    "pack": Line(("pack", "people", "-o", "faces.h5"), _people_folders, codes=()),
    "calibrate": Line(
        ("calibrate", "faces.h5", "--weights", "own-16.json", "--plot", "held.png"),
        lambda folder: _weights(folder, 20, 2),
        codes=(),
    ),
    "evaluate": Line(
        ("evaluate", "faces.h5", "--weights", "own-16.json", "--out", "figures.json", "--plot", "curves.png"),
        lambda folder: _weights(folder, 4, 2),
        codes=(),
    ),
    "train": Line(TRAIN, _faces, codes=()),
    "train, a rival": Line(
        ("train", "-d", "faces.h5", "-o", "run", "--method", "itq", "--bits", "8"), _faces, codes=()
    ),
}


def copied(source: Path, target: Path) -> None:
    """A fresh copy of a prepared folder, at the same path every time: codes files hold whole paths."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
