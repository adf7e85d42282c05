"""source_media: VideoRecord + end of its last frame -> Media: how the file's frames are counted, and how many."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dhhcli.errors import EditError
from dhhcli.media.sound import Sound
from dhhcli.media.timing.clock import counted_on
from dhhcli.media.timing.timecode import counting_rate, first_number, format_timecode, frames_a_day
from dhhcli.storage.record import VideoRecord


@dataclass(frozen=True)
class Media:
    """A source file as editing systems see it: frames of one rate, with a start timecode."""

    path: Path
    rate: Fraction  # frames a second that it is counted in; not the average of a variable rate
    drop: bool  # drop-frame labels
    first: int  # number of the first frame, counted from 00:00:00:00
    length: int  # frames
    width: int  # px
    height: int
    time_base: Fraction  # s
    origin: Fraction  # time stamp of the first frame, s
    delay: Fraction = Fraction(0)  # from the beginning of the file, as players count, to its first frame, s
    counted: bool = False  # the file's time stamps jump: frames are found by counting alone
    sounds: tuple[Sound, ...] = ()  # its audio streams, as far as a timeline is to have them

    def label(self, frame: int) -> str:
        """Source timecode of a frame counted from the first one."""
        return format_timecode(self.first + frame, self.rate, drop=self.drop)

    def heard(self, sound: Sound) -> tuple[int, int]:
        """Frames [first, last) during which one of its sounds is there.

        To the nearest frame, and to the end of the picture where it lacks less than two frames of it: encoders leave
        the last block of samples out.
        """
        first = min(max(round((sound.start - self.origin) * self.rate), 0), self.length)
        last = self.length if sound.end is None else round((sound.end - self.origin) * self.rate)
        return first, self.length if last > self.length - 2 else max(first, last)


def media_of(video: VideoRecord, end_pts: int, sounds: tuple[Sound, ...] = ()) -> Media:
    """Media of a video that decodes up to `end_pts` (exclusive), whatever its header declares, with some sounds.

    Raises EditError when the file has no frame rate: then there are no frame numbers to give.
    """
    if not video.frame_rate or video.frame_rate <= 0:
        raise EditError(f"{video.path}: has no frame rate, so its frames cannot be counted; take tsv, csv or json")
    rate = counting_rate(video.frame_rate)
    return Media(
        path=video.path,
        rate=rate,
        # some files carry ';' at rates that leave no labels out
        drop=video.drop_frame and frames_a_day(rate, drop=True) < frames_a_day(rate),
        first=first_number(video.start_timecode, rate),
        length=max(1, round((end_pts - video.start_pts) * video.time_base * rate)),
        width=video.width,
        height=video.height,
        time_base=video.time_base,
        origin=video.start_pts * video.time_base,
        delay=video.delay,
        counted=counted_on(video.warnings),
        sounds=sounds,
    )
