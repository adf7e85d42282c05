"""options: words that say how to search -> what search/ does: fusion, what ranks, distance of frames, device."""

from enum import StrEnum


class Fuse(StrEnum):
    """How several photos of a person are asked with; see search/question/probe.py."""

    both = "both"
    set = "set"
    best = "best"


class Only(StrEnum):
    """Of which files the answer is wanted."""

    videos = "videos"
    photos = "photos"


class FrameDistance(StrEnum):
    """Which distance of a track counts where its frames have codes of their own; see search/frame_distances.py."""

    average = "average"
    minimum = "minimum"
    majority = "majority"


class Rank(StrEnum):
    """What shots are ranked by; see search/ranking.py."""

    soft = "soft"
    bits = "bits"


class Device(StrEnum):
    """Where codes are compared."""

    cpu = "cpu"
    cuda = "cuda"
