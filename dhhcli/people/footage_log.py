"""footage_log: codes file -> a LoggedVideo each: its shots, and who is in every one, when, and for how long."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dhhcli.media.sound import reel_of
from dhhcli.media.timing.timecode import counting_rate, source_timecode
from dhhcli.people.identities import find_people
from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.record import VideoRecord
from dhhcli.storage.track_id import track_ids


@dataclass(frozen=True)
class Seen:
    """One person in one shot."""

    person: int  # number, as dhh people has it
    name: str  # "" for nobody known
    seconds: float  # on screen; what several tracks show at once counts once; 0 in a photo
    first: str  # source timecode of the first and last frame that shows them; "" in a photo
    last: str
    first_frame: int
    last_frame: int
    track_ids: tuple[str, ...]

    @property
    def called(self) -> str:
        """The name, or else the number."""
        return self.name or f"person {self.person}"


@dataclass(frozen=True)
class LoggedShot:
    """One shot, with everybody in it: by name, then by number."""

    shot: int  # number within the video, from 1
    start: str  # source timecode of its first frame, and of the one after its last
    end: str
    start_frame: int
    end_frame: int  # exclusive
    people: tuple[Seen, ...]


@dataclass(frozen=True)
class LoggedVideo:
    """A video or photo."""

    path: Path
    reel: str  # that the file names; else its own name without the suffix
    record: VideoRecord
    shots: tuple[LoggedShot, ...]

    @property
    def rate(self) -> Fraction | None:
        """Frames a second that it is counted in."""
        return counting_rate(self.record.frame_rate) if self.record.frame_rate else None


def footage_log(
    codes_path: Path, *, within: float | None = None, weights: str | None = None
) -> tuple[list[LoggedVideo], tuple[str, ...]]:
    """Every video and photo by path, and words about the grouping. Raises as ``find_people``."""
    found = find_people(codes_path, within=within, weights=weights)
    names = {person.person: person.name for person in found.people}
    logged = []
    with open_shard(codes_path) as shard:
        tracks = shard.track_rows(np.arange(len(shard)))
        ids = track_ids(shard, np.arange(len(shard)))
        first = 0
        for row, video in enumerate(shard.videos):
            unit = shard.unit(row)
            count = len(unit.tracks)
            own = np.arange(first, first + count)
            numbers = unit.tracks["shot"] - unit.origin.shot
            shots = []
            for place, shot in enumerate(unit.shots):
                here = own[numbers == place]
                people = [
                    seen_in(
                        video,
                        tracks[(theirs := here[found.number[here] == person])],
                        person,
                        names.get(person, ""),
                        tuple(ids[track] for track in theirs.tolist()),
                    )
                    for person in sorted(set(found.number[here].tolist()))
                ]
                people.sort(key=lambda one: (not one.name, one.name, one.person))
                shots.append(
                    LoggedShot(
                        int(shot["number"]),
                        _label(video, int(shot["start_pts"])),
                        _label(video, int(shot["end_pts"])),
                        int(shot["start_frame"]),
                        int(shot["end_frame"]),
                        tuple(people),
                    )
                )
            logged.append(LoggedVideo(video.path, reel_of(video.path) or video.path.stem, video, tuple(shots)))
            first += count
    return logged, found.notes


def seen_in(video: VideoRecord, rows: NDArray[np.void], person: int, name: str, ids: tuple[str, ...]) -> Seen:
    """What tracks (k,), k >= 1, of one shot say of the person they all show; ``ids``: of each."""
    frame = 1 / video.frame_rate if video.frame_rate else Fraction(0)
    spans = sorted(zip(rows["start_pts"].tolist(), rows["end_pts"].tolist(), strict=True))
    seconds, until = Fraction(0), None
    for start, end in spans:  # to the end of its last frame each
        begins = start * video.time_base if until is None else max(start * video.time_base, until)
        ends = end * video.time_base + frame
        seconds += max(Fraction(0), ends - begins)
        until = ends if until is None else max(ends, until)
    if video.still:
        seconds = Fraction(0)
    return Seen(
        person,
        name,
        round(float(seconds), 3),
        _label(video, spans[0][0]),
        _label(video, max(end for _, end in spans)),
        int(rows["start_frame"].min()),
        int(rows["end_frame"].max()) - 1,
        ids,
    )


def _label(video: VideoRecord, pts: int) -> str:
    if video.still:
        return ""
    seconds = (pts - video.start_pts) * video.time_base
    return source_timecode(seconds, video.frame_rate, video.start_timecode, drop=video.drop_frame)
