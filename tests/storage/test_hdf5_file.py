"""Files cut short, foreign or built to do harm are refused in one line, or found by their digests."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from footage import FRAMES, TAG, make

from dhhcli.errors import MissingPathError, ShardError
from dhhcli.storage.codes_file import ModelTag, open_shard


def refused(path: Path, match: str) -> None:
    with pytest.raises(ShardError, match=match) as caught:
        open_shard(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_missing(path: Path) -> None:
    with pytest.raises(MissingPathError, match="no such codes file"):
        open_shard(path)


def test_not_hdf5(path: Path) -> None:
    path.write_text("rank\tdistance\n" * 1000)
    refused(path, "no HDF5 signature")
    path.write_bytes(b"")
    refused(path, "no HDF5 signature")


def test_not_a_file(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    refused(path, "not a file")
    os.mkfifo(tmp_path / "pipe.h5")
    refused(tmp_path / "pipe.h5", "not a file")


def test_truncated_anywhere(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "ab", tracks=40)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, "damaged|no HDF5 signature")
    refused(path, f"cut short: {len(whole) - 1:,} of {len(whole):,} bytes.; restore it, or delete it and encode again")


@pytest.mark.parametrize("tag", [TAG, FRAMES])
def test_flipped_bits_are_refused_or_found(rng: np.random.Generator, path: Path, tag: ModelTag) -> None:
    """A bit anywhere: the file is refused, or a video is named damaged, or the bit meant nothing."""
    make(rng, path, "a", tracks=20, tag=tag)
    whole = path.read_bytes()
    silent = 0
    for position in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            with open_shard(path) as shard:
                silent += not shard.damaged_videos() and not all(
                    (shard.codes.tobytes() in whole, shard.tag == tag, shard.videos[0].path.stem == "a")
                )
                silent += not shard.damaged_videos() and any(
                    own.tobytes() not in whole for own, _ in shard.frame_pieces
                )
        except ShardError:
            continue
    assert silent == 0


def test_damage_inside_tables_is_found_and_named(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "abc")
    whole = path.read_bytes()
    for part in (
        videos["b"].codes[3].tobytes(),
        videos["b"].tracks[2:3].tobytes()[8:],
        max(videos["b"].thumbnails),
    ):
        at = whole.index(part)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert open_shard(path).damaged_videos() == (Path("/footage/b.mov"),)


def edit(path: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "r+") as h5:
        change(h5)


def swap(h5: h5py.File, name: str, **how: object) -> None:
    """Put another dataset in the place of one, same contents unless told otherwise."""
    data = h5[name][:]
    del h5[name]
    h5.create_dataset(name, **({"data": data} | how))


def text_attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    return lambda h5: h5.attrs.__setitem__(name, value)


def external_storage(h5: h5py.File) -> None:
    del h5["codes"]
    h5.create_dataset("codes", (10, 8), "u1", external=[("/etc/hostname", 0, 80)])


def virtual(h5: h5py.File) -> None:
    del h5["codes"]
    layout = h5py.VirtualLayout((10, 8), "u1")
    layout[:] = h5py.VirtualSource("/etc/elsewhere.h5", "codes", (10, 8), "u1")
    h5.create_virtual_dataset("codes", layout)


def soft_link(h5: h5py.File) -> None:
    h5.move("codes", "other")
    h5["codes"] = h5py.SoftLink("/other")


def soft_link_in_place(h5: h5py.File) -> None:
    del h5["codes"]
    h5["codes"] = h5py.SoftLink("/tracks")


def external_link(h5: h5py.File) -> None:
    del h5["codes"]
    h5["codes"] = h5py.ExternalLink("/etc/elsewhere.h5", "codes")


def group(h5: h5py.File) -> None:
    del h5["codes"]
    h5.create_group("codes")


def huge(h5: h5py.File) -> None:
    del h5["codes"]
    h5.create_dataset("codes", (2**40, 8), "u1", fill_time="never")


def huge_allocated(h5: h5py.File) -> None:
    """A terabyte of thumbnails that the file does not hold."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2**20,))
    plist.set_deflate(9)
    del h5["thumbnails"]
    space = h5py.h5s.create_simple((2**40,))
    h5py.h5d.create(h5.id, b"thumbnails", h5py.h5t.NATIVE_UINT8, space, plist)


ATTACKS: list[tuple[Callable[[h5py.File], object], str]] = [
    (text_attribute("format", np.bytes_("something-else")), "not a codes file"),
    (text_attribute("format", "dhh-codes"), "no text attribute 'format'"),  # variable length
    (text_attribute("format", np.bytes_("x" * 5000)), "no text attribute 'format'"),
    (text_attribute("format_version", 4), "format version 4, this dhh reads 1 to 3"),
    (text_attribute("format_version", 3), "no number 'frame_codes'"),
    (text_attribute("format_version", np.arange(3)), "no number 'format_version'"),
    (text_attribute("format_version", np.bytes_("1")), "no number 'format_version'"),
    (text_attribute("bits", 64), "content hash|other"),
    (text_attribute("bits", 10**6), "damaged"),
    (text_attribute("bit_order", np.bytes_("big")), "unknown"),
    (text_attribute("code_bytes", 6), "unknown"),
    (text_attribute("model", np.bytes_("22" * 32)), "content hash"),
    (text_attribute("content", np.bytes_("22" * 32)), "content hash"),
    (lambda h5: h5.attrs.__delitem__("model"), "no text attribute 'model'"),
    (lambda h5: h5.__delitem__("shots"), "other datasets"),
    (lambda h5: h5.create_dataset("extra", data=[1]), "other datasets"),
    (soft_link, "other datasets"),
    (soft_link_in_place, "link to somewhere else"),
    (external_link, "link to somewhere else"),
    (group, "not the type"),
    (external_storage, "stored outside"),
    (virtual, "stored outside"),
    (lambda h5: swap(h5, "codes", chunks=(1, 8)), "chunked"),
    (lambda h5: swap(h5, "codes", compression="gzip"), "chunked"),
    (lambda h5: swap(h5, "codes", data=np.zeros((10, 8), "i1")), "not the type"),
    (lambda h5: swap(h5, "codes", data=np.zeros((10, 4), "u1")), "shape"),
    (lambda h5: swap(h5, "codes", data=np.zeros((9, 8), "u1")), "fit together"),
    (lambda h5: swap(h5, "codes", data=np.uint8(0)), "shape"),
    (lambda h5: swap(h5, "codes", data=h5py.Empty("u1")), "shape"),
    (lambda h5: swap(h5, "tracks", data=np.zeros(10)), "not the type"),
    (lambda h5: swap(h5, "texts", data=["a", "b"]), "not the type"),
    (lambda h5: swap(h5, "thumbnail_ends", data=np.full(10, 2**62)), "fit together"),
    (lambda h5: swap(h5, "videos", data=h5["videos"][:1]), "fit together"),
    (lambda h5: swap(h5, "videos", data=h5["videos"][:][::-1]), "fit together"),
    (huge, "never written"),
    (huge_allocated, "chunked"),
]


@pytest.mark.parametrize(("change", "match"), ATTACKS)
def test_foreign_and_hostile_files_are_refused(
    rng: np.random.Generator, path: Path, change: Callable[[h5py.File], None], match: str
) -> None:
    make(rng, path, "ab")
    edit(path, change)
    refused(path, match)


def test_a_declared_size_beyond_the_file_is_refused(rng: np.random.Generator, path: Path) -> None:
    """Codes that start inside the file and end 2**40 rows behind it, as only a forger writes them."""
    make(rng, path, "a")

    def change(h5: h5py.File) -> None:
        del h5["codes"]
        h5.create_dataset("codes", (2**40, 8), "u1", fill_time="never")
        h5["codes"][0] = 1  # allocates: the library extends the file, sparse, to its declared size

    try:
        edit(path, change)
    except OSError:
        pytest.skip("this file system refuses sparse files of 8 TB")
    os.truncate(path, 100_000)
    refused(path, "damaged|past the end")


def rows_out_of_range(h5: h5py.File) -> None:
    tracks = h5["tracks"][:]
    tracks["shot"][3] = 10**6
    tracks["video"][4] = -1
    h5["tracks"][:] = tracks
    ends = h5["thumbnail_ends"][:]
    ends[3] = 2**60
    h5["thumbnail_ends"][:] = ends


def test_hostile_rows_are_refused_when_asked_for(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "ab")
    edit(path, rows_out_of_range)
    with open_shard(path) as shard:
        for track in (3, 4):
            with pytest.raises(ShardError, match="out of range"):
                shard.track_rows(np.array([track]))
        with pytest.raises(ShardError, match="outside of its table"):
            shard.thumbnail(3)
        assert len(shard.track_rows(np.array([0, 1, 2]))) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"time_base": [1, 90000]', b'"time_base": [1,     0]'),
        (b'"time_base": [1, 90000]', b'"time_base":         []'),
        (b'"size": 1099511627777', b'"size":          null'),
        (b'"drop_frame": true', b'"drop_frame":    7'),
        (b'"width": 1920', b'"witdh": 1920'),
        (b'{"drop', b"[[[[[["),
    ],
)
def test_hostile_records_are_refused_when_asked_for(
    rng: np.random.Generator, path: Path, old: bytes, new: bytes
) -> None:
    make(rng, path, "a")
    data = path.read_bytes()
    assert len(old) == len(new)
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    with pytest.raises(ShardError, match="damaged record"):
        _ = open_shard(path).videos


@pytest.mark.parametrize("behind", [0, 8, -1])
def test_codes_said_to_lie_elsewhere_are_refused(rng: np.random.Generator, path: Path, behind: int) -> None:
    """The address of the codes is forged, in the oldest format, which has no checksums."""
    make(rng, path, "ab")
    with (
        h5py.File(path) as source,
        h5py.File(path.with_name("old.h5"), "w", libver=("earliest", "v108")) as old,
    ):
        for name in source:
            source.copy(name, old)
        old.attrs.update(source.attrs)
        place = old["codes"].id.get_offset().to_bytes(8, "little")
        size = old["codes"].id.get_storage_size()
    old_path = path.with_name("old.h5")
    data = old_path.read_bytes()
    assert len(open_shard(old_path)) == 10
    layout = place + size.to_bytes(8, "little")  # as the format's contiguous layout message has them
    assert data.count(layout) == 1
    forged = 2**64 - 1 if behind < 0 else len(data) - size + 1 + behind
    old_path.write_bytes(data.replace(layout, forged.to_bytes(8, "little") + layout[8:]))
    refused(old_path, "past the end|damaged|never written")
