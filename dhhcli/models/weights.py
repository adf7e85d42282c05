"""weights: record (JSON) + safetensors + ONNX -> verified network and hash layers, or a one-line error.

``dhh-128.json`` says what the files beside it must be (SHA-256, size, bits), how the network wants its input, what it
was trained on, under which terms and what it reaches. ``dhh-128.safetensors`` holds both hash layers. ``dhh.onnx`` is
the network for photos, ``dhh-int8.onnx`` the one for film, in integers (older weights have none); where a network can
be trained on, ``dhh.safetensors`` holds it for torch (the shipped weights have none). Safetensors and ONNX hold
numbers only: loading weights runs nobody's code. Weights of a method that hashes pictures only (``"tracks":
"majority"`` in the record) have one hash layer. Where a method is not linear, the record names what it bends
(``"expansions": {"still": "gaussian"}``, see feature_map.py), its arrays lie in the same safetensors as
``expansion.still.*``, and the format is version 3, so that a dhh that would leave it out refuses.
"""

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.base.atomic_write import write_atomically
from dhhcli.errors import WeightsError
from dhhcli.models.feature_map import KINDS, Expansion, from_arrays
from dhhcli.models.hash_layers import HashLayers

FORMAT = "dhh-weights"
FORMAT_VERSION = 2  # 1 kept the backbone beside the hash layers in one safetensors file; it reads alike
EXPANDED_VERSION = 3  # written where there are expansions: who reads up to 2 would leave them out
READABLE = (1, FORMAT_VERSION, EXPANDED_VERSION)
DEFAULT = "dhh-128"
MOST_BITS = 512  # of a code; ours have 12 to 256
MOST_RECORD = 1 << 26  # bytes


@dataclass(frozen=True)
class Weights:
    """A verified record; tensors are read when asked for."""

    record_path: Path
    bits: int
    fingerprint: str  # SHA-256 of the hash layers' file, which names the backbone's: other weights' codes are refused
    onnx_path: Path
    safetensors_path: Path
    record: dict[str, Any]
    int8_path: Path | None = None  # the backbone in integers (research/training/publishing/quantise.py)

    @property
    def name(self) -> str:
        """Stem of the record."""
        return self.record_path.stem

    @property
    def mirror(self) -> bool:
        """Whether a still's features are the mean over the crop and its mirror image."""
        model = self.record.get("model")
        return isinstance(model, dict) and bool(model.get("mirror", False))

    @property
    def one_person(self) -> float | None:
        """The least cosine of features before and after any moment of a track of one person; None: tracks are not cut.

        Raises:
            WeightsError: it is no cosine.
        """
        model = self.record.get("model")
        found = model.get("one_person") if isinstance(model, dict) else None
        if found is None or (isinstance(found, (int, float)) and -1 <= found <= 1):
            return found
        raise WeightsError(f"{self.record_path}: one_person is {str(found)[:20]}, -1 to 1 expected; reinstall it")

    @property
    def film_check(self) -> npt.NDArray[np.float32] | None:
        """What the network in integers makes of some pictures (models/network.py) on a processor that computes right.

        Of weights whose film is looked at by another network than photos are; None: it is the same one, rounded.

        Raises:
            WeightsError: it is no table of numbers.
        """
        model = self.record.get("model")
        if not isinstance(model, dict) or "film_check" not in model:
            return None
        try:
            found = np.array(model["film_check"], np.float32)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{self.record_path}: film_check is no table ({error}); reinstall it") from None
        if found.ndim != 2 or not np.isfinite(found).all():
            raise WeightsError(f"{self.record_path}: film_check has shape {found.shape}, expected (n, d); reinstall it")
        return found


def shipped_folder() -> Path:
    """Where the weights lie: inside the installed package, or in the checkout of an editable install."""
    inside = Path(__file__).parents[1] / "shipped_weights"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "weights"


def resolve_weights(name: str | None = None) -> Path:
    """Path of a record: a .json, or the name of shipped weights; default $DHH_WEIGHTS, then ``dhh-128``."""
    name = name or os.environ.get("DHH_WEIGHTS") or DEFAULT
    if name.endswith(".json") or os.sep in name:
        return Path(name if name.endswith(".json") else f"{name}.json")
    return shipped_folder() / f"{name}.json"


def shipped_as(fingerprint: str) -> str | None:
    """Name of the shipped weights with this fingerprint: whoever has their codes need not name them again."""
    for path in sorted(shipped_folder().glob("*.json")):
        try:
            if json.loads(path.read_text(encoding="utf-8"))["files"]["safetensors"]["sha256"] == fingerprint:
                return path.stem
        except (OSError, ValueError, KeyError, TypeError):
            continue  # whoever asks for that one is told what is wrong with it
    return None


def network_of(record_path: Path, *, film: bool = False) -> Path | None:
    """The network for photos, or film, that a record names, unverified; None where that cannot be told."""
    try:
        files = _read_record(record_path)["files"]
        return record_path.parent / _plain_name(files["int8" if film else "onnx"]["name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def load_weights(record_path: Path, *, film: bool = True) -> Weights:
    """Read a record and verify its files against it; ``film=False`` leaves out the network that looks at film only.

    Raises:
        WeightsError: a file is missing, of an unknown version, or not the one that the record describes.
    """
    try:
        record = _read_record(record_path)
        form, version = record["format"], record["format_version"]
        if form != FORMAT or version not in READABLE:  # first: a later version may lay the rest out anew
            raise WeightsError(
                f"{record_path}: {form!r} version {version!r}, this dhh reads {FORMAT!r} version "
                f"{READABLE[0]} to {READABLE[-1]}; upgrade dhh or train anew"
            )
        bits = record["bits"]
        if type(bits) is not int or not 0 < bits <= MOST_BITS:
            raise ValueError(f"bits is {str(bits)[:20]}, 1 to {MOST_BITS} expected")
        files = {part: (_plain_name(entry["name"]), str(entry["sha256"])) for part, entry in record["files"].items()}
        tensors, network = files["safetensors"], files["onnx"]
    except FileNotFoundError:
        known = ", ".join(sorted(path.stem for path in shipped_folder().glob("*.json"))) or "none"
        name = record_path.stem if record_path.parent == shipped_folder() else record_path  # as it was typed
        raise WeightsError(
            f"{name}: no such weights; shipped are: {known}; others are named by the path of their record (.json)"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise WeightsError(f"{record_path}: not a weights record ({_reason(error)}); train anew or reinstall") from None
    integers = files.get("int8")
    for name, expected in filter(None, (tensors, network, integers if film else None)):
        path = record_path.parent / Path(name).name
        found = _sha256(path)
        if found != expected:
            raise WeightsError(f"{path}: SHA-256 is {found[:12]}..., the record says {expected[:12]}...; reinstall it")
    folder = record_path.parent
    return Weights(
        record_path,
        bits,
        tensors[1],
        folder / Path(network[0]).name,
        folder / Path(tensors[0]).name,
        record,
        folder / Path(integers[0]).name if integers else None,
    )


def load_hash_layers(weights: Weights, *, tracks: bool = True) -> HashLayers:
    """Both hash layers as numpy; ``tracks=False`` leaves the large one unread (photo queries do without).

    Raises:
        WeightsError: the tensors are not what the record says.
    """
    from safetensors import SafetensorError, safe_open

    def tensor(file: Any, name: str) -> npt.NDArray[np.float32]:
        return np.asarray(file.get_tensor(name), np.float32)

    def expansion(file: Any, of: str) -> Expansion | None:
        if of not in kinds:
            return None
        prefix = f"expansion.{of}."
        names: list[str] = file.keys()
        arrays = {name.removeprefix(prefix): tensor(file, name) for name in names if name.startswith(prefix)}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError(f"{prefix}* are no finite numbers")
        return from_arrays(kinds[of], arrays)

    framewise, kinds = _framewise(weights), _expansions(weights)
    still_expansion = track_expansion = None
    try:
        with safe_open(weights.safetensors_path, "np") as file:
            still_expansion = expansion(file, "still")
            still, still_bias = tensor(file, "hash.still.weight"), tensor(file, "hash.still.bias")
            if framewise:
                track, track_bias = np.empty((weights.bits, 0), np.float32), np.zeros(weights.bits, np.float32)
            else:
                track = tensor(file, "hash.track.weight") if tracks else np.empty((weights.bits, 0), np.float32)
                track_bias = tensor(file, "hash.track.bias")
                track_expansion = expansion(file, "track") if tracks else None
    except (SafetensorError, OSError, ValueError, TypeError, MemoryError) as error:
        raise WeightsError(f"{weights.safetensors_path}: {error}; reinstall it") from None
    K = weights.bits
    if still.ndim != 2:
        raise WeightsError(f"{weights.safetensors_path}: hash.still.weight has shape {still.shape}; reinstall it")
    d = still_expansion.weight.shape[1] if still_expansion else still.shape[-1]
    r = d * (d + 1) // 2 if tracks and not framewise else 0
    shapes = still.shape, still_bias.shape, track.shape, track_bias.shape
    w, v = (one.size if one else given for one, given in ((still_expansion, d), (track_expansion, r)))
    if shapes != ((K, w), (K,), (K, v), (K,)) or (track_expansion and track_expansion.weight.shape[1] != r):
        raise WeightsError(f"{weights.safetensors_path}: tensors of {shapes} do not make {K} bit codes")
    for array in (still, still_bias, track, track_bias):
        if not np.isfinite(array).all():
            raise WeightsError(
                f"{weights.safetensors_path}: some of its numbers are none (NaN or infinite); reinstall it"
            )
    if framewise:
        return HashLayers(still, still_bias, track, track_bias, framewise=True, still_expansion=still_expansion)
    try:
        model = weights.record["model"]
        eps, divide = float(model["eps"]), bool(model["divide"])
        if not 0 < eps < 1e6:
            raise ValueError(f"eps is {eps}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(
            f"{weights.record_path}: no eps, divide under 'model' ({_reason(error)}); train anew or reinstall"
        ) from None
    return HashLayers(
        still,
        still_bias,
        track,
        track_bias,
        eps,
        divide,
        still_expansion=still_expansion,
        track_expansion=track_expansion,
    )


def _framewise(weights: Weights) -> bool:
    """Whether tracks have no hash layer of their own ("tracks": "majority"); the default is "covariance"."""
    model = weights.record.get("model")
    kind = model.get("tracks", "covariance") if isinstance(model, dict) else "covariance"
    if kind not in ("covariance", "majority"):
        raise WeightsError(
            f"{weights.record_path}: hashes tracks by {kind!r}, this dhh knows 'covariance' and 'majority'; upgrade dhh"
        )
    return bool(kind == "majority")


def _expansions(weights: Weights) -> dict[str, str]:
    """Of which layers ("still", "track") there are expansions, and of what kind."""
    model = weights.record.get("model")
    found = model.get("expansions", {}) if isinstance(model, dict) else {}
    known = isinstance(found, dict) and {*found} <= {"still", "track"} and all(kind in KINDS for kind in found.values())
    if not known:
        raise WeightsError(
            f"{weights.record_path}: expansions {found!r}, this dhh knows {', '.join(KINDS)} of still and track; "
            "upgrade dhh"
        )
    return found


def write_weights(
    folder: Path,
    name: str,
    *,
    bits: int,
    safetensors: bytes,
    onnx: bytes,
    record: dict[str, Any],
    network: str | None = None,
    backbone: bytes | None = None,
    int8: bytes | None = None,
) -> Path:
    """Write the files, the record last (a half-written set never verifies); returns its path.

    Args:
        folder: made when missing.
        name: stem of the record and of the hash layers' file.
        bits: K.
        safetensors: the hash layers.
        onnx: the backbone for onnxruntime.
        record: what else the record says.
        network: stem of the backbone's files; codes of other lengths may share it. Default ``name``.
        backbone: the backbone as safetensors, when it is not in ``safetensors``; needs a ``network`` other than
            ``name``.
        int8: the backbone in integers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = network or name
    if backbone is not None and network == name:
        raise ValueError(f"{name}: hash layers and backbone would be one file")
    files = {}
    for part, stem, suffix, data in (
        ("safetensors", name, "safetensors", safetensors),
        ("onnx", network, "onnx", onnx),
        ("backbone", network, "safetensors", backbone),
        ("int8", f"{network}-int8", "onnx", int8),
    ):
        if data is not None:
            write_atomically(folder / f"{stem}.{suffix}", data)
            files[part] = {
                "name": f"{stem}.{suffix}",
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
            }
    whole = {
        "format": FORMAT,
        "format_version": EXPANDED_VERSION if record.get("model", {}).get("expansions") else FORMAT_VERSION,
        "name": name,
        "bits": bits,
        "files": files,
    } | record
    path = folder / f"{name}.json"
    write_atomically(path, (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def _reason(error: Exception) -> str:
    """What was wrong, without the bytes of the file (which a UnicodeDecodeError's repr would quote)."""
    return f"{type(error).__name__}: {str(error)[:200]}"


def _read_record(path: Path) -> Any:
    """What is in a record, as JSON. Raises ValueError for what is no file, or larger than any record."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_RECORD:
        raise ValueError(f"{status.st_size:,} bytes, or no file at all")
    return json.loads(path.read_text(encoding="utf-8"))


def _plain_name(name: Any) -> str:
    """A file's name, in the folder of the record whatever folder it names. Raises ValueError for what is none."""
    if not isinstance(name, str) or not name.isprintable() or not Path(name).name.strip(".") or len(name) > 200:
        raise ValueError(f"{str(name)[:40]!r} is no name of a file beside it")
    return Path(name).name


def _sha256(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise WeightsError(f"{path}: not a file; the record beside it needs it")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); the record beside it needs it") from None
