"""The public API: ``import dhhcli`` is light, and a Library does what the command line does, without a word."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import one_line, python
from synthetic import scene, write_video
from typer.testing import Result

import dhhcli
from dhhcli.base.version import __version__
from dhhcli.encoding.events import Encoded, Gone, Skipped, Step, Unchanged
from dhhcli.errors import (
    DhhError,
    MissingPathError,
    NamesError,
    NoFaceError,
    NoVideoError,
    PhotoError,
    ShardError,
    UsageError,
    VideoError,
    WeightsError,
)
from dhhcli.library import Library
from dhhcli.media.sample import SCRIPT, Sample, portraits
from dhhcli.storage.codes_file import lock, open_shard

Run = Callable[..., Result]
WITH_COLLINS = {n for n, shot in enumerate(SCRIPT, 1) if "collins" in {one.who for one in shot.people}}


@pytest.fixture(autouse=True)
def nothing_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def library(encoded: Path, tmp_path: Path) -> Library:
    """A library of its own of the sample film."""
    return dhhcli.Library(shutil.copy(encoded, tmp_path / "own.h5"))


# ---------------------------------------------------------------------------------------------------- the package


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import dhhcli, sys; print(*sorted(m for m in sys.modules if m.partition('.')[0] in {heavy}))"
    heavy = {"numpy", "av", "cv2", "h5py", "onnxruntime", "faiss", "scipy", "rich", "typer", "PIL", "torch", "dhhcli"}
    ours = "dhhcli dhhcli.base dhhcli.base.version"
    assert python(code.format(heavy=heavy)).split() == ours.split()
    opened = "import dhhcli; " + code.replace("import dhhcli, sys", "import sys; dhhcli.Library('codes.h5')")
    assert python(opened.format(heavy=heavy)).split() == [*ours.split(), "dhhcli.library"]


def test_what_the_package_offers_is_there() -> None:
    offered = ["Library", "Hit", "Person", "load_network", "open_video", "log_covariance", "hamming", "DhhError"]
    assert dhhcli.__all__ == offered
    assert set(offered) <= set(dir(dhhcli))
    for name in offered:
        found = getattr(dhhcli, name)
        assert (found.__name__, found.__module__.partition(".")[0]) == (name, "dhhcli")
        assert getattr(dhhcli, name) is found
    assert issubclass(UsageError, dhhcli.DhhError)
    assert dhhcli.__version__ == __version__
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        dhhcli.Nonsense  # type: ignore[attr-defined]  # noqa: B018
    assert (Path(dhhcli.__file__).parent / "py.typed").is_file()


def test_everything_public_says_what_it_does() -> None:
    methods = [getattr(Library, name) for name in vars(Library) if not name.startswith("_")]
    assert {method.__name__ for method in methods} == {"encode", "search", "people", "name", "forget"}
    for method in methods:
        for argument in set(method.__annotations__) - {"return"}:
            assert f"            {argument}: " in method.__doc__, (method, argument)
        assert "Raises:" in method.__doc__
    for name in dhhcli.__all__:
        assert getattr(dhhcli, name).__doc__


# ------------------------------------------------------------------------------------------------------ encoding


def test_encode_gives_events_and_the_bytes_of_the_command_line(encoded: Path, sample: Sample, tmp_path: Path) -> None:
    library = Library(tmp_path / "new.h5")
    steps: list[Step] = []
    (event,) = library.encode(sample.film, on_step=steps.append)
    assert isinstance(event, Encoded)
    assert (event.path, event.shots, event.tracks) == (sample.film, 8, 6)
    assert {step.path for step in steps} == {sample.film}
    assert library.codes.read_bytes() == encoded.read_bytes()
    assert list(library.encode([str(sample.film)])) == [Unchanged(sample.film)]
    (stripped,) = library.encode([sample.film], thumbnails=False)
    assert isinstance(stripped, Unchanged)
    assert stripped.note == "pictures removed"
    assert {hit.thumbnail for hit in library.search(sample.photos[0], thumbnails=True)} == {b""}


def test_encode_goes_on_after_a_bad_file_and_finds_gone_ones(sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    write_video(folder / "a.mp4", [scene(1)] * 10)
    (folder / "b.mp4").write_bytes(b"no film")
    shutil.copy(sample.photos[0], folder / "c.jpg")
    library = Library(tmp_path / "codes.h5")
    first = list(library.encode(folder, photos=False))
    assert [type(event) for event in first] == [Encoded, Skipped]
    assert [type(event) for event in library.encode(folder, workers=2, threads=1)] == [Unchanged, Skipped, Encoded]
    (folder / "a.mp4").unlink()
    *_, gone = library.encode(folder, prune=True)
    assert gone == Gone(folder / "a.mp4", True)


def test_encoding_that_is_given_up_keeps_what_is_finished(sample: Sample, tmp_path: Path) -> None:
    library = Library(tmp_path / "codes.h5")
    with closing(library.encode([*sample.photos, sample.film])) as events:
        first = next(events)
        with pytest.raises(ShardError, match="another dhh is writing it"):
            library.forget(video=sample.photos[0])
    assert first.path == sample.photos[0]
    with open_shard(library.codes) as shard:
        assert [video.path for video in shard.videos] == [first.path]
    assert not (tmp_path / "codes.h5.parts").exists()


def test_encode_with_weights_of_ones_own(sample: Sample, other_weights: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "other.h5", weights=other_weights)
    cv2.imwrite(str(tmp_path / "p.png"), cv2.imread(str(sample.photos[0])))  # no copy: other bytes
    assert [type(event) for event in library.encode(tmp_path / "p.png")] == [Encoded]
    (hit,) = library.search(sample.photos[0])
    assert (hit.bits, hit.distance, hit.confidence) == (32, 0, None)
    with pytest.raises(WeightsError, match="not shipped"):
        Library(tmp_path / "other.h5").people()
    with pytest.raises(ShardError):
        list(Library(tmp_path / "other.h5").encode(sample.photos[1]))
    with pytest.raises(WeightsError, match="not calibrated"):
        library.search(sample.photos[0], min_confidence=0.5)
    assert repr(library) == f"Library({str(library.codes)!r}, weights={str(other_weights)!r})"


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"paths": "nowhere"}, MissingPathError, "nowhere: no such file or folder"),
        ({"paths": []}, NoVideoError, "no video or photo found"),
        ({"workers": 0}, UsageError, "workers 0: expected at least one"),
        ({"threads": -1}, UsageError, "threads -1: expected 0"),
        ({"frame_codes": True}, UsageError, "hashes all frames of a track together"),
    ],
)
def test_errors_of_encode(
    how: dict[str, Any], error: type[DhhError], says: str, sample: Sample, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        list(Library(tmp_path / "codes.h5").encode(**{"paths": sample.photos[0], **how}))
    assert not (tmp_path / "codes.h5").exists()


# -------------------------------------------------------------------------------------------------------- search


def test_search_finds_what_the_command_line_finds(library: Library, sample: Sample, dhh: Run) -> None:
    hits = library.search(str(sample.photos[0]))
    lines = dhh("query", sample.photos[0], "--codes", library.codes, "--json").stdout.splitlines()
    said = [json.loads(line) for line in lines]
    assert {hit.shot for hit in hits[:3]} == WITH_COLLINS
    names = {"start": "start_timecode", "end": "end_timecode", "face_at": "face_timecode"}
    for hit, row in zip(hits, said, strict=True):
        assert isinstance(hit, dhhcli.Hit)
        for column in set(row) - {"start_seconds", "end_seconds", "track_id"}:
            found = getattr(hit, names.get(column, column))
            assert (str(found) if column == "video" else list(found) if isinstance(found, tuple) else found) == row[
                column
            ]
        assert (float(hit.start or 0), float(hit.end or 0)) == (row["start_seconds"], row["end_seconds"])
        assert (hit.also, hit.shots, hit.thumbnail) == ((), 1, b"")


def test_times_are_exact(tmp_path: Path) -> None:
    """A film of 29.97 frames a second that begins at tick 9009; times and ticks are those that decoding gives."""
    face = portraits()["collins"][:360, :360]
    still = np.ascontiguousarray(np.pad(face, ((0, 0), (140, 140), (0, 0)), mode="edge"))
    film = tmp_path / "film.mov"
    pts = [9009 + 1001 * n for n in range(40)]
    rate, base = Fraction(30000, 1001), Fraction(1, 30000)
    write_video(film, [scene(3, 640, 360)] * 11 + [still] * 29, rate=rate, pts=pts, time_base=base)
    library = Library(tmp_path / "codes.h5")
    list(library.encode(film))
    assert library.search("shot:film.mov:2") == []  # the shot that is asked with is no answer
    cv2.imwrite(str(tmp_path / "who.jpg"), still)
    (hit,) = library.search(tmp_path / "who.jpg")
    with dhhcli.open_video(film) as video:
        frames = [(frame.index, frame.pts, frame.time) for frame in video.frames()]
        ticks = video.info.time_base
    first = frames[hit.start_frame]
    assert (hit.shot, hit.start_frame, hit.end_frame) == (2, 11, 40)
    assert hit.start_pts == first[1]
    assert hit.start == first[2] - frames[0][2] == Fraction(11 * 1001, 30000)
    assert hit.end == Fraction(40 * 1001, 30000)
    assert hit.end_pts is not None
    assert (hit.end_pts - first[1]) * ticks == hit.end - hit.start
    assert frames[hit.face_frame] == (hit.face_frame, hit.face_pts, frames[0][2] + (hit.face_at or 0))


def test_a_photo_has_no_time(sample: Sample, tmp_path: Path) -> None:
    library = Library(tmp_path / "codes.h5")
    cv2.imwrite(str(tmp_path / "p.png"), cv2.imread(str(sample.photos[0])))  # no copy: other bytes
    list(library.encode([sample.film, *sample.photos, tmp_path / "p.png"]))
    assert sample.photos[0] not in {hit.video for hit in library.search(sample.photos[0])}  # it asks
    best, *rest = library.search(sample.photos[0], thumbnails=True)
    assert (best.video, best.distance) == (tmp_path / "p.png", 0)
    assert (best.confidence or 0) > 0.9
    assert (best.start, best.end, best.face_at, best.start_pts, best.end_pts, best.face_pts) == (None,) * 6
    assert (best.start_timecode, best.end_timecode, best.face_timecode) == ("", "", "")
    assert all(hit.thumbnail.startswith(b"\xff\xd8") for hit in (best, *rest))
    assert "thumbnail" not in repr(best)
    assert {hit.start is None for hit in rest if hit.video == sample.film} == {False}


def test_who_is_asked_for_in_every_way(library: Library, sample: Sample) -> None:
    collins, hopper = sample.photos
    both = library.search(collins, also=hopper)
    assert [hit.shot for hit in both] == [6]
    assert [hit.track for hit in library.search(hopper) if hit.shot == 6] == list(both[0].also)
    assert 6 not in {hit.shot for hit in library.search(collins, without=[hopper])}
    alone = library.search(collins, never=hopper)
    assert {hit.shot for hit in alone} == WITH_COLLINS
    by_hit = library.search(alone[0])
    assert by_hit[0].shot in WITH_COLLINS - {alone[0].shot}
    assert alone[0].shot not in {hit.shot for hit in by_hit}
    assert by_hit == library.search(f"track:{alone[0].track}")
    several = library.search([collins, alone[0]])
    assert {hit.shot for hit in several[:2]} == WITH_COLLINS - {alone[0].shot}
    library.name(alone[0], "Eileen Collins")
    (person,) = [one for one in library.people() if one.name]
    assert library.search(person) == library.search("name:eileen collins")
    assert library.search(replace(person, name="")) == library.search(f"track:{person.track}")


def test_where_and_how_many(library: Library, sample: Sample) -> None:
    photo = sample.photos[0]
    every = library.search(photo, top=None)

    def but_tracks(hits: Sequence[dhhcli.Hit]) -> list[dhhcli.Hit]:  # these depend on the last hit
        return [replace(hit, tracks=0) for hit in hits]

    two = but_tracks(every[:2])
    assert but_tracks(library.search(photo, top=2)) == but_tracks(library.search(photo, per_video=2)) == two
    assert library.search(photo, within="film.mp4") == every
    assert library.search(photo, within=["*.mov", sample.film]) == every
    assert library.search(photo, within="day1/*.mov") == []
    assert library.search(photo, after="2000-01-01", before=datetime(2999, 1, 1, 12)) == every
    assert library.search(photo, before=date(2000, 1, 1)) == []
    sure = library.search(photo, min_confidence=0.3, max_false_rate=0.01, max_distance=60)
    assert 0 < len(sure) < len(every)
    assert all((hit.confidence or 0) >= 0.3 and hit.distance <= 60 for hit in sure)
    (whole,) = library.search(photo, merge=100)
    assert whole.shots == len(every)
    assert whole.start == min(hit.start or 0 for hit in every)
    assert whole.end_pts == max(hit.end_pts or 0 for hit in every)
    assert (whole.shot, whole.face_pts) == (every[0].shot, every[0].face_pts)


def test_networks_are_loaded_once(library: Library, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    from dhhcli.models import network

    real, loaded = network.load_network, []

    def load_network(name: str | None, **how: Any) -> Any:
        loaded.append((name, how))
        return real(name, **how)

    monkeypatch.setattr(network, "load_network", load_network)
    assert library.search(sample.photos[0]) == library.search(sample.photos[0])
    assert loaded == [("dhh-128", {"tracks": False, "film": False})]


def test_what_the_command_line_would_say_is_logged(
    library: Library, sample: Sample, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [cv2.resize(np.asarray(cv2.imread(str(photo))), (512, 512)) for photo in sample.photos]
    cv2.imwrite(str(tmp_path / "both.png"), np.concatenate(pictures, axis=1))
    assert library.search(tmp_path / "both.png")
    assert caplog.messages == []  # nobody asked
    with caplog.at_level(logging.INFO, "dhhcli"):
        library.search(tmp_path / "both.png", face=2)
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'both.png'}: 2 faces, took number 2 by size")


@pytest.mark.parametrize(
    ("who", "how", "error", "says"),
    [
        ("nobody.jpg", {}, MissingPathError, "nobody.jpg"),
        ("text.jpg", {}, PhotoError, "text.jpg: cannot be read as a photo"),
        ("sky.png", {}, NoFaceError, "sky.png: no face found"),
        ("collins.jpg", {"face": 2}, NoFaceError, "asks for more"),
        ("collins.jpg", {"face": 0}, UsageError, "--face 0 is not a number from 1 up"),
        ("collins.jpg", {"top": 0}, UsageError, "--top 0"),
        ("collins.jpg", {"per_video": -1}, UsageError, "--per-video -1"),
        ("collins.jpg", {"merge": float("nan")}, UsageError, "--merge nan"),
        ("collins.jpg", {"max_distance": -1}, UsageError, "--max-distance -1"),
        ("collins.jpg", {"min_confidence": 2}, UsageError, "not between 0 and 1"),
        ("collins.jpg", {"after": "yesterday"}, UsageError, "after yesterday: expected a date"),
        ("collins.jpg", {"within": ""}, UsageError, "expected a file, a folder or a glob"),
        ("collins.jpg", {"also": "sky.png"}, NoFaceError, "no face found"),
        ("bad.mp4", {}, VideoError, "bad.mp4: is a text, no film"),
        ("track:6", {}, ShardError, "tracks 0 to 5"),
        ("track:x", {}, UsageError, "expected track:N"),
        ("shot:film.mp4:1", {}, NoFaceError, "no face was found in this shot"),
        ("shot:other.mp4:1", {}, ShardError, "no video is called 'other.mp4'"),
        ("name:Ada", {}, NamesError, "nobody is called 'Ada'"),
        ([], {}, UsageError, "nobody is asked for"),
    ],
)
def test_errors_of_search(
    who: Any,
    how: dict[str, Any],
    error: type[DhhError],
    says: str,
    library: Library,
    sample: Sample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample.photos[0], "collins.jpg")
    cv2.imwrite("sky.png", scene(1, 320, 240))
    Path("text.jpg").write_text("no picture")
    Path("bad.mp4").write_bytes(b"no film")
    with pytest.raises(error, match=says) as caught:
        library.search(who, **how)
    assert "\n" not in str(caught.value)


def test_errors_of_the_codes_file(sample: Sample, library: Library, tmp_path: Path) -> None:
    none = Library(tmp_path / "none.h5")
    calls: list[Callable[[], object]] = [
        lambda: none.search(sample.photos[0]),
        none.people,
        lambda: none.name("track:1", "Ada"),
        lambda: none.forget(track=1),
    ]
    for call in calls:
        with pytest.raises(MissingPathError, match=r"none\.h5"):
            call()
    assert list(tmp_path.glob("none*")) == []
    (tmp_path / "damaged.h5").write_bytes(library.codes.read_bytes()[:-100])
    with pytest.raises(ShardError, match=r"damaged\.h5"):
        Library(tmp_path / "damaged.h5").search(sample.photos[0])
    with pytest.raises(WeightsError, match="nonsense"):
        Library(library.codes, weights="nonsense").search(sample.photos[0])
    with lock(library.codes), pytest.raises(ShardError, match="another dhh is writing it"):
        list(library.encode(sample.photos[0]))


# ------------------------------------------------------------------------------------------- people and forgetting


def test_people_are_named_by_their_person(library: Library, dhh: Run) -> None:
    people = library.people()
    said = [json.loads(line) for line in dhh("people", library.codes, "--json").stdout.splitlines()]
    assert [(one.person, one.track, one.seconds) for one in people] == [
        (line["person"], line["track"], line["seconds"]) for line in said
    ]
    assert all(isinstance(one, dhhcli.Person) for one in people)
    for number, person in enumerate(people[:2]):
        library.name(person, f"Person {'AB'[number]}")
    assert {(one.track, one.name) for one in library.people()} >= {
        (people[0].track, "Person A"),
        (people[1].track, "Person B"),
    }
    library.name("person a", "Ada Lovelace")
    assert {one.name for one in library.people(min_tracks=99)} == {"Ada Lovelace", "Person B"}
    assert {hit.track for hit in library.search("name:Ada Lovelace")} >= {people[0].track}
    apart = next(hit for hit in library.search("name:Person B") if hit.shot != people[0].shot)
    library.name(f"track:{apart.track}", "Cleo")
    assert [hit.distance for hit in library.search("name:Cleo", top=1)] == [0]


def test_errors_of_people_and_names(library: Library) -> None:
    person, other, *_ = library.people()
    with pytest.raises(UsageError, match="the codes have 128 bits"):
        library.people(within=-1)
    with pytest.raises(NamesError, match="tracks 0 to 5"):
        library.name("track:6", "Ada")
    with pytest.raises(NamesError, match="nobody is called 'Bob'"):
        library.name("Bob", "Ada")
    with pytest.raises(NamesError, match="is no name"):
        library.name(person, "12")
    library.name(person, "Ada")
    with pytest.raises(NamesError, match="is 'Ada' already"):
        library.name(person, "Bob")
    gone = replace(other, track_id="0000ffff-0000ffff")  # as if the person had been in another file
    with pytest.raises(NamesError, match=f"has changed since person {other.person} was listed"):
        library.name(gone, "Bob")
    with pytest.raises(NamesError, match="has changed"):
        library.name(replace(other, track_id=person.track_id), "Bob")
    hit = library.search("name:Ada")[0]
    with pytest.raises(NamesError, match=f"has changed since track {hit.track} was found; search again"):
        library.name(replace(hit, shot=hit.shot + 1), "Bob")
    library.name(hit, "Bob")
    assert {one.name for one in library.people()} == {"Ada", "Bob", ""}


def test_forget_erases_for_good(library: Library, sample: Sample, dhh: Run) -> None:
    best = next(hit for hit in library.search(sample.photos[0]) if hit.shot == 2)  # she alone
    (would,) = library.forget(track=best.track, dry_run=True)
    (removed,) = library.forget(track=np.int64(best.track))  # type: ignore[arg-type]
    assert would == removed
    assert (removed.video, removed.shot, removed.box) == (sample.film, best.shot, best.box)
    assert best.shot not in {hit.shot for hit in library.search(sample.photos[0])}
    with pytest.raises(ShardError, match=f"track {best.track}: not in shot {best.shot}"):
        library.search(best)
    near = library.forget(photo=sample.photos[0], within=45)
    assert near
    assert all(one.distance is not None and one.distance <= 45 for one in near)
    library.name("track:0", "Ada")
    assert [one.track for one in library.forget(name="ada")] == [0]
    assert {one.whole for one in library.forget(video=sample.film)} == {True}
    assert [type(event).__name__ for event in library.encode(sample.film)] == ["Forgotten"]
    one_line(dhh("query", "track:0", "--codes", library.codes), 1, "the codes file has no tracks")


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({}, UsageError, "name what to forget"),
        ({"track": 6}, ShardError, "tracks 0 to 5"),
        ({"track": [0, -1]}, ShardError, "tracks 0 to 5"),
        ({"video": "other.mp4"}, ShardError, "holds no video other.mp4"),
        ({"name": ["Ada"]}, NamesError, "nobody is called 'Ada'"),
        ({"photo": "collins.jpg"}, UsageError, "go together"),
        ({"photo": "collins.jpg", "within": 129}, UsageError, "the codes have 128 bits"),
        ({"photo": "collins.jpg", "within": -1}, UsageError, "the codes have 128 bits"),
        ({"photo": "collins.jpg", "within": 30, "face": 0}, UsageError, "--face 0"),
        ({"photo": "collins.jpg", "within": 30, "face": 2}, NoFaceError, "asks for more"),
        ({"photo": "none.jpg", "within": 30}, MissingPathError, "none.jpg"),
    ],
)
def test_errors_of_forget(
    how: dict[str, Any],
    error: type[DhhError],
    says: str,
    library: Library,
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(sample.film.parent)
    before = library.codes.read_bytes()
    with pytest.raises(error, match=says):
        library.forget(**how)
    assert library.codes.read_bytes() == before
