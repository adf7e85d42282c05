"""frame_codes: codes file + what the user wants of new codes -> the tag that they get, or why they cannot.

Weights that hash pictures only (``HashLayers.framewise``) have a code for every sampled frame of a track. A codes file
keeps either what most of them say, bit by bit, one code a track, as every file does; or besides it all of them
(``ModelTag.frame_codes``). One file is of one kind: a ranking by some tracks' frames and other tracks' majority
would favour the latter or the former, as a minimum over 30 codes is less than one.
"""

from dataclasses import replace
from pathlib import Path

from dhhcli.errors import MissingPathError, ShardError, UsageError
from dhhcli.models.model_tag import ModelTag
from dhhcli.models.network import Network
from dhhcli.storage.codes_file import open_shard


def frame_choice(codes_path: Path, network: Network, wanted: bool | None) -> ModelTag:
    """What codes of this network carry in this file: whether codes of all frames are kept (None: as the file does).

    Raises:
        UsageError: codes of frames are wanted, and the layers hash the frames of a track together.
        ShardError: the codes file was begun with the other choice, or is damaged.
    """
    if wanted and not network.layers.framewise:
        raise UsageError(
            f"--frame-codes: {network.name} hashes all frames of a track together, there is no code a frame; "
            "weights of methods that hash pictures have one (dhh train --method)"
        )
    try:
        with open_shard(codes_path) as shard:
            there = shard.tag.frame_codes
    except MissingPathError:
        return replace(network.tag, frame_codes=bool(wanted))
    if wanted is not None and wanted != there:
        option, kept = ("--frame-codes", "no codes") if wanted else ("--no-frame-codes", "codes")
        raise ShardError(f"{codes_path}: was begun with {kept} of frames; leave out {option}, or encode to a new file")
    return replace(network.tag, frame_codes=there)
