"""scan: frames of a video (h, w, 3) -> its face tracks (m observations each) as they end, and its shots.

Every frame is seen by the shot detector, as a small picture; faces are looked for where ``looks`` says so, and crops
are cut then, at full resolution. Decoding goes ahead in a thread of its own. What is held is a few frames, the
observations of the last second and the tracks that are going on: it does not grow with the film or the shot. Now and
then a ``Bookmark`` says all of it, so that another scan of the same file can go on from there (faces/bookmark.py).
"""

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

from dhhcli.base.prefetch import prefetch
from dhhcli.faces.alignment import SIZE, align, sharpness
from dhhcli.faces.bookmark import Bookmark, Bookmarks, Kept
from dhhcli.faces.detector import FaceDetector
from dhhcli.faces.doubt import shows_a_face
from dhhcli.faces.schedule import LONGEST, LookSchedule
from dhhcli.faces.thumbnail import surroundings
from dhhcli.faces.tracker import PATIENCE, FaceTrack, FaceTracker, Observation
from dhhcli.media.frame import Frame
from dhhcli.media.shots import Shot, ShotDetector
from dhhcli.media.video import Video

UNSEEN = Fraction(3, 2)  # seconds that a track survives unseen at most, where frames are few
DECODE_AHEAD = 12  # frames the decoder may be ahead of the detector: it need not wait for one look
AHEAD_BYTES = 128 << 20  # and of so many bytes together: 12 frames of 2160 lines, one of 8192


@dataclass(frozen=True, slots=True)
class Looked:
    """How far a scan has come: seconds since the first frame."""

    seconds: Fraction


def scan(
    video: Video,
    detector: FaceDetector,
    *,
    thumbnails: bool,
    margin: int = 0,
    longest: Fraction = LONGEST,
    part: Iterator[Frame] | None = None,
    every: Fraction | None = None,
    kept: Kept | None = None,
) -> Iterator[Looked | FaceTrack | Shot | Bookmark]:
    """Tracks of a shot in the order in which they end, then the shot itself, and so on; between them, progress.

    A dissolve is recognised some frames after it began, so observations wait until their frame is settled. ``margin``:
    pixels around the crops (see ``observe``). longest: pause between two looks, seconds. part: only these frames of it.
    every: seconds of film between two bookmarks, None: none. kept: what an earlier scan of the file knew at a bookmark.
    Raises LostPlaceError where the file does not lead there.
    """
    rate, size = video.info.frame_rate, (video.info.width, video.info.height)
    shots, tracker, looks = (
        ShotDetector(rate),
        FaceTracker(patience=PATIENCE if rate is None else min(PATIENCE, int(UNSEEN * rate))),
        LookSchedule(max(video.info.width, video.info.height), longest),
    )
    waiting: deque[tuple[int, list[Observation]]] = deque()
    last_look, origin, finished = -1, None, list[Shot]()
    bookmarks = Bookmarks(video, every)
    if kept is not None:
        shots.restore(kept.shots)
        tracker.restore(kept.tracks)
        looks, waiting, last_look, origin = kept.looks, deque(kept.waiting), kept.last_look, kept.origin
        bookmarks.go_on(kept)

    def track_before(frame: int) -> None:
        while waiting and waiting[0][0] < frame:
            tracker.step(waiting.popleft()[1])

    def faces(tracks: list[FaceTrack]) -> list[FaceTrack]:
        return [track for track in tracks if shows_a_face(track, detector, margin=margin)]

    with closing(
        prefetch(
            part or video.frames(kept.place if kept else None),
            DECODE_AHEAD,
            most=AHEAD_BYTES,
            weigh=lambda frame: frame.bytes,
        )
    ) as frames:
        for frame in frames:
            if bookmarks.known(frame):
                continue
            origin = frame.time if origin is None else origin
            if not bookmarks.reached(frame):
                finished = shots.push(frame)
                for shot in finished:
                    track_before(shot.end_frame)
                    yield from faces(tracker.finish())
                    yield shot
                if shots.suspected or (finished and last_look < finished[-1].end_frame):
                    looks.restart()
                if bookmarks.due(frame, origin, between=bool(finished)):
                    yield bookmarks.at(frame, shots, tracker, looks, waiting, last_look, origin)
            if looks.due(frame.time):
                looks.longer_side = max(frame.size)
                seen = observe(
                    frame,
                    detector,
                    thumbnails=thumbnails,
                    margin=margin,
                    width=looks.width,
                    again=looks.again,
                    size=size,
                )
                looks.seen(frame.time, [observation.face for observation in seen])
                waiting.append((frame.index, seen))
                last_look = frame.index
                yield Looked(frame.time - origin)
            track_before(shots.settled)
            yield from faces(tracker.ended())
    bookmarks.check_reached()
    for shot in shots.finish():
        track_before(shot.end_frame)
        yield from faces(tracker.finish())
        yield shot


def shot_tracks(
    video: Video, detector: FaceDetector, *, margin: int = 0, longest: Fraction = LONGEST
) -> Iterator[tuple[Shot, list[FaceTrack]]]:
    """Shots of a video in order, each with its face tracks by first frame, then left to right."""
    tracks: list[FaceTrack] = []
    for item in scan(video, detector, thumbnails=False, margin=margin, longest=longest):
        if isinstance(item, FaceTrack):
            tracks.append(item)
        elif isinstance(item, Shot):
            yield item, sorted(tracks, key=FaceTrack.order)
            tracks = []


def observe(
    frame: Frame,
    detector: FaceDetector,
    *,
    thumbnails: bool,
    margin: int = 0,
    width: int | None = None,
    again: bool = True,
    size: tuple[int, int] | None = None,
) -> list[Observation]:
    """Every face of a frame with its aligned crop (64 + 2 margin, 64 + 2 margin, 3).

    width, again: as for ``FaceDetector.detect``. size: (width, height) of the film's first frame, which boxes of all
    frames are compared in.
    """
    picture = frame.bgr()
    own = frame.size
    scale = (1.0, 1.0) if size is None else (size[0] / own[0], size[1] / own[1])
    observations = []
    faces = detector.detect(picture, width=width, again=again)
    for face in faces:
        crop = align(picture, face.landmarks, margin=margin)
        small = surroundings(picture, face.box) if thumbnails else None
        middle = crop[margin : margin + SIZE, margin : margin + SIZE]
        observations.append(
            Observation(frame.index, frame.pts, face, crop, sharpness(middle), small, scale, len(faces))
        )
    return observations
