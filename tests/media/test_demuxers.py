"""Demuxers: what is no container of its own film is not opened, and says what it is; no file named in it is played."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from synthetic import numbered, scene, write_audio, write_video
from typer.testing import Result
from video_files import write_stream

from dhhcli.errors import NoVideoError, PhotoError, VideoError
from dhhcli.media.files.demuxers import ALLOWED, kind_in_words
from dhhcli.media.photo import read_photo
from dhhcli.media.video import open_video

# what lies under a film's name, and what is said of it; FILM stands for another film, whose frames must not come
FOLLOWERS = {
    "ffconcat": ("ffconcat version 1.0\nfile FILM\n", "ffconcat"),
    "ffconcat with marks": ("\ufeffffconcat version 1.0\nfile FILM\n", "ffconcat"),
    "HLS": ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nFILM\n#EXT-X-ENDLIST\n", "playlist"),
    "HLS, whole path": (
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nfile:/FOLDER/FILM\n#EXT-X-ENDLIST\n",
        "playlist",
    ),
    "HLS of the network": ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nhttp://127.0.0.1:9/a.ts\n", "playlist"),
    "PLS": ("[playlist]\nFile1=FILM\nNumberOfEntries=1\n", "playlist"),
    "ASX": ('<asx version="3.0"><entry><ref href="FILM"/></entry></asx>', "playlist"),
    "SDP": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "SDP",
    ),
    "DASH": (
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="1"><BaseURL>FILM</BaseURL></Representation></AdaptationSet>'
        "</Period></MPD>",
        "DASH",
    ),
    "Smooth Streaming": ('<?xml version="1.0"?><SmoothStreamingMedia/>', "manifest"),
    "SubRip": ("1\n00:00:00,000 --> 00:00:02,000\nhello\n", "SubRip"),
    "WebVTT": ("WEBVTT\n\n00:00.000 --> 00:02.000\nhello\n", "WebVTT"),
    "ASS": ("[Script Info]\nScriptType: v4.00+\n[Events]\n", "ASS"),
    "VobSub": ("# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n", "text"),
    "RTSP redirect": ("rtsptext\nrtsp://127.0.0.1:9/a\n", "text"),
    "ffmetadata": (";FFMETADATA1\ntitle=a\n", "text"),
    "LRC": ("[ti:a]\n[00:00.00]hello\n", "text"),
    "terminal art": ("\x1b[31mhello\x1b[0m\n" * 40, "text"),
    "words": ("hello\n" * 99, "text"),
}


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.ts", "a_%03d.mkv"])
@pytest.mark.parametrize("kind", FOLLOWERS)
def test_no_file_is_followed_to_another(tmp_path: Path, kind: str, name: str) -> None:
    write_video(tmp_path / "film.ts", [numbered(i) for i in range(10)])
    text, said = FOLLOWERS[kind]
    path = tmp_path / name
    path.write_text(text.replace("FILM", "film.ts").replace("/FOLDER", str(tmp_path)), encoding="utf-8")
    with pytest.raises(VideoError) as caught:
        open_video(path)
    assert str(caught.value).startswith(f"{path}: is ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ffmpeg_would_have_followed_them(tmp_path: Path) -> None:
    """So that the test above is not about files that nobody plays: without the list, the other film comes."""
    write_video(tmp_path / "film.ts", [numbered(i) for i in range(10)])
    followed = []
    for kind in ("ffconcat", "HLS, whole path"):
        path = tmp_path / "a.mp4"
        path.write_text(FOLLOWERS[kind][0].replace("FILM", "film.ts").replace("/FOLDER", str(tmp_path)))
        try:
            options = {"protocol_whitelist": "file", "safe": "0", "allowed_extensions": "ALL", "extension_picky": "0"}
            with av.open(str(path), options=options if "HLS" in kind else {}) as container:
                followed.append(container.format.name)
        except av.error.FFmpegError:
            followed.append("")
    assert followed[0] == "concat"


def test_encode_says_what_it_was_and_goes_on(tmp_path: Path, dhh: Callable[..., Result]) -> None:
    films = tmp_path / "films"
    films.mkdir()
    write_video(films / "b.mp4", [scene(1)] * 10)
    (films / "a.mp4").write_text("ffconcat version 1.0\nfile b.mp4\n")
    (films / "c.mp4").write_text("#EXTM3U\nb.mp4\n")
    done = dhh("encode", films)
    assert done.exit_code == 4
    assert "a.mp4: is a list of other files (ffconcat)" in done.stderr
    assert "c.mp4: is a playlist" in done.stderr
    assert "Traceback" not in done.stderr
    listed = dhh("info", "--list").stdout
    assert "b.mp4" in listed
    assert listed.count("video\t") == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_picture_under_a_films_name_is_said_to_be_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    Image.fromarray(scene(1)).save(path, format=kind)
    with pytest.raises(VideoError, match="a still picture"):
        open_video(path)


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.mp4"])
def test_sound_is_no_film(tmp_path: Path, name: str) -> None:
    path = write_audio(tmp_path / "b.m4a" if name == "a.mp4" else tmp_path / name.replace(".wav", ".flac"))
    path.rename(tmp_path / name)
    with pytest.raises(NoVideoError, match="found: audio"):
        open_video(tmp_path / name)


# FFmpeg's name of the container: codec, suffix. All that a suffix of formats.md can be, and the bare streams
CONTAINERS = {
    "mp4": ("libx264", ".mp4"),
    "mov": ("libx264", ".qt"),
    "3gp": ("libx264", ".3gp"),
    "3g2": ("libx264", ".3g2"),
    "f4v": ("libx264", ".f4v"),
    "ipod": ("libx264", ".m4v"),
    "ismv": ("libx264", ".mp4"),
    "asf": ("wmv2", ".wmv"),
    "avi": ("mpeg4", ".divx"),
    "flv": ("flv", ".flv"),
    "mpegts": ("libx264", ".m2ts"),
    "mpeg2video": ("mpeg2video", ".m2v"),
    "mpeg1video": ("mpeg1video", ".mpv"),
    "mpeg": ("mpeg1video", ".mpg"),
    "vob": ("mpeg2video", ".vob"),
    "svcd": ("mpeg2video", ".mpeg"),
    "dvd": ("mpeg2video", ".vob"),
    "matroska": ("libx264", ".mkv"),
    "webm": ("libvpx-vp9", ".webm"),
    "mxf": ("mpeg2video", ".mxf"),
    "ogg": ("libtheora", ".ogm"),
    "ogv": ("libtheora", ".ogv"),
    "rm": ("rv20", ".rm"),
    "yuv4mpegpipe": ("wrapped_avframe", ".y4m"),
    "gxf": ("mpeg2video", ".mpg"),
    "nut": ("mpeg4", ".avi"),
    "ivf": ("libvpx-vp9", ".webm"),
    "obu": ("libsvtav1", ".mp4"),
    "h264": ("libx264", ".mp4"),
    "hevc": ("libx265", ".mp4"),
    "m4v": ("mpeg4", ".m4v"),
    "mjpeg": ("mjpeg", ".avi"),
    "gif": ("gif", ".mp4"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_of_a_film_opens(tmp_path: Path, kind: str) -> None:
    codec, suffix = CONTAINERS[kind]
    pixels = {"gif": "rgb8", "wrapped_avframe": "yuv420p"}.get(codec)
    path = tmp_path / f"a{suffix}"
    try:
        av.Codec(codec, "w")
        pictures = [np.ascontiguousarray(numbered(i, 176, 144)) for i in range(24)]
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        write_stream(path, pictures, codec=codec, kind=kind, pixels=pixels, options=options)
    except (av.codec.codec.UnknownCodecError, ValueError, av.error.FFmpegError) as error:
        pytest.skip(f"this FFmpeg does not write {kind}: {error}")
    with open_video(path) as video:
        assert len(list(video.frames())) >= 20


def test_names_of_the_list_are_ffmpegs() -> None:
    """A word that FFmpeg does not know would allow nothing, without saying so."""
    known = {name for names in av.formats_available for name in names.split(",")}
    assert not set(ALLOWED) - known


def test_what_follows_others_is_not_on_the_list() -> None:
    for name in (
        "concat",
        "hls",
        "dash",
        "sdp",
        "rtsp",
        "rtp",
        "sap",
        "image2",
        "image2pipe",
        "lavfi",
        "vobsub",
        "imf",
    ):
        assert name not in ALLOWED
    for name in ("concatf", "webm_dash_manifest", "ffmetadata", "tty", "dvdvideo", "smoothstreaming", "srt", "ass"):
        assert name not in ALLOWED


def test_a_file_that_cannot_be_read_has_no_kind(tmp_path: Path) -> None:
    assert kind_in_words(tmp_path / "nothing.mp4") is None
    (tmp_path / "a.mp4").write_bytes(b"")
    assert kind_in_words(tmp_path / "a.mp4") is None


def test_a_photo_is_no_program(tmp_path: Path) -> None:
    """Pillow hands PostScript to Ghostscript, which would run it."""
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(PhotoError, match="no picture of a known kind"):
        read_photo(tmp_path / "a.jpg")
