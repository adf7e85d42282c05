"""validation: network and hash layers (K bits) + people never trained on -> mAP still -> set and still -> still."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dhhcli.models.binary_codes import binarise, hamming, pack
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.network import quick_extractor
from dhhcli.models.weights import Weights
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack, read_pack
from dhhcli.research.datasets.protocol import ProtocolPerson, check_protocol, read_protocol
from dhhcli.research.evaluation.metrics import cosine_distances, mean_average_precision
from dhhcli.research.evaluation.protocol import ProtocolFeatures, protocol_features
from dhhcli.research.training.feature_bank import extract
from dhhcli.research.training.hash_stage import HashSettings
from dhhcli.research.training.networks.hash_model import HashModel


@dataclass(frozen=True, eq=False)
class Validation:
    """People who are never trained on."""

    pack_path: Path
    protocol_path: Path
    faces: FacePack
    people: tuple[ProtocolPerson, ...]

    @classmethod
    def read(cls, pack_path: Path, protocol_path: Path) -> "Validation":
        """Read both files.

        Raises:
            PackError: one of them cannot be read, or they do not belong together.
        """
        faces, people = read_pack(pack_path), read_protocol(protocol_path)
        check_protocol(protocol_path, faces, people)
        return cls(pack_path, protocol_path, faces, people)

    def figures(
        self,
        network: nn.Module,
        size: int = 64,
        model: HashModel | None = None,
        settings: HashSettings | None = None,
    ) -> dict[str, float]:
        """mAP still -> set and still -> still on untouched photos of some size: features, and codes of ``model``."""
        stills = [(row, person.identity) for person in self.people for row in person.queries]
        sets = [(photos, person.identity) for person in self.people for photos in person.sets]
        rows = sorted({row for row, _ in stills} | {row for photos, _ in sets for row in photos})
        crops = np.stack([centre(self.faces.pictures[row], size) for row in rows])
        place = {row: i for i, row in enumerate(rows)}
        features = extract(network, crops).numpy()
        queries = features[[place[row] for row, _ in stills]]
        tracks = [features[[place[row] for row in photos]] for photos, _ in sets]
        who = np.array([identity for _, identity in stills])
        same = who[:, None] == np.array([identity for _, identity in sets])[None]
        others = ~np.eye(len(who), dtype=bool)
        mean = features.mean(axis=0)
        centred, means = queries - mean, np.stack([track.mean(axis=0) for track in tracks]) - mean
        found = {
            "map_still_set": mean_average_precision(cosine_distances(centred, means), same),
            "map_still_still": mean_average_precision(
                cosine_distances(centred, centred), who[:, None] == who[None], others
            ),
        }
        if model is not None and settings is not None:
            soft_stills, soft_tracks = hash_stills(model.layers(), queries), hash_tracks(model.layers(), tracks)
            for length in settings.lengths:
                still_codes = pack(binarise(soft_stills[:, settings.rows(length)]))
                track_codes = pack(binarise(soft_tracks[:, settings.rows(length)]))
                found[f"map_{length}_still_set"] = mean_average_precision(hamming(still_codes, track_codes), same)
                found[f"map_{length}_still_still"] = mean_average_precision(
                    hamming(still_codes, still_codes), who[:, None] == who[None], others
                )
        return found

    def features(self, weights: Weights) -> ProtocolFeatures:
        """Features of the whole protocol by the network as it ships."""
        extract = FeatureExtractor(weights.onnx_path, threads=torch.get_num_threads())
        film = quick_extractor(weights, extract, torch.get_num_threads())
        return protocol_features(self.faces, self.people, extract, film=film, mirror=weights.mirror)
