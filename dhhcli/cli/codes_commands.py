"""codes_commands: videos and photos -> codes files; their care: encode, migrate, index, info, merge,
forget, sample."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dhhcli.cli.completion import names_beside
from dhhcli.cli.options import ClusterOption, Codes, Json, MapOption, WeightsName, Wide, cluster_of, finite
from dhhcli.errors import UsageError


def encode(
    videos: Annotated[
        list[Path],
        typer.Argument(envvar="DHH_FOLDERS", help="Video files and photos, or folders that are searched for them."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", envvar="DHH_CODES", help="Codes file; added to when it exists.")
    ] = Path("codes.h5"),
    weights: WeightsName = None,
    thumbnails: Annotated[
        bool | None,
        typer.Option(
            "--thumbnails/--no-thumbnails",
            help="Keep a small picture of each track's best face; without either, new files get some and known ones "
            "stay as they are.",
        ),
    ] = None,
    frame_codes: Annotated[
        bool | None,
        typer.Option(
            "--frame-codes/--no-frame-codes",
            help="With weights that hash pictures only: also keep a code for every sampled frame of a track. Default: "
            "as the codes file that is there, a new one without.",
        ),
    ] = None,
    photos: Annotated[bool, typer.Option(help="Also encode the photos in folders.")] = True,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Drop the codes of files that are gone, but for those of a folder that is empty or not there.",
        ),
    ] = False,
    prune_all: Annotated[
        bool, typer.Option("--prune-all", help="The same, also of more than a tenth at once; or --prune=all.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on for ever: encode what comes, when it is whole.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Files at a time; default one for two cores.")
    ] = None,
    cluster: ClusterOption = None,
    mappings: MapOption = None,
    every: Annotated[
        float | None,
        typer.Option(min=0.1, max=86_400, callback=finite, help="With --watch: seconds between two looks. [10]"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is wrong, and the summary.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Also write what happens as JSON lines on standard output, an event a line.")
    ] = False,
    then: Annotated[
        str | None,
        typer.Option(
            "--then",
            metavar="CMD",
            help="When it is done, or a round of --watch has encoded something, run this: notify-send 'dhh is done'. "
            "$DHH_EXIT, $DHH_ENCODED, $DHH_SKIPPED and $DHH_CODES tell it how it went.",
        ),
    ] = None,
) -> None:
    """Index the people in videos and photos: one binary code per face track."""
    from dhhcli.models.network_ahead import look_for_network

    look_for_network(weights, film=True)  # before the rest is imported
    from dhhcli.cli.encode_loop import encode_loop
    from dhhcli.encoding.options import EncodeOptions
    from dhhcli.encoding.run import weights_for
    from dhhcli.models.network import load_network
    from dhhcli.output.terminal.encode_progress import stderr_console

    if every is not None and not watch:
        raise UsageError("--every says how often --watch looks; add --watch")
    if cluster is not None and workers is not None:
        raise UsageError("--cluster and --workers: give one of them; local:N is N workers here")
    machines = cluster_of(cluster, mappings)
    network = load_network(weights_for(out, weights), film=True)
    raise typer.Exit(
        encode_loop(
            videos,
            out,
            network,
            stderr_console(),
            EncodeOptions(thumbnails, frame_codes),
            photos=photos,
            prune="all" if prune_all else prune,
            workers=workers,
            cluster=machines,
            every=(every or 10.0) if watch else None,
            quiet=quiet,
            as_json=json,
            then=then,
        )
    )


def index(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")],
    ivf: Annotated[
        bool | None,
        typer.Option(
            "--ivf/--flat",
            help="Look into the nearest of many lists, or at every code. Default: as the index that is there; lists "
            "from 20 million tracks on.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make the lists anew, also where old ones could serve.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the clustering's sample and of the recall measurement.")
    ] = 0,
) -> None:
    """Build an index beside a codes file, or bring it up to date; query uses it while it is fresh, or does without."""
    import numpy as np

    from dhhcli.index.build import build
    from dhhcli.index.lookup import index_paths
    from dhhcli.output.terminal.console import print_notes

    info, how = build(
        codes, None if ivf is None else "ivf" if ivf else "flat", np.random.default_rng(seed), again=again
    )
    print_notes([f"{index_paths(codes)[0]}: {how}: {info.words()}"])


def info(
    codes: Annotated[Path, typer.Argument(envvar="DHH_CODES", help="Codes file made by encode.")] = Path("codes.h5"),
    listing: Annotated[bool, typer.Option("--list", help="A line for every video, photo and skipped file.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read every byte; damage is an error.")] = False,
    json: Json = False,
    wide: Wide = False,
) -> None:
    """What a codes file holds: model, videos, tracks, hours, what is incomplete, skipped or forgotten."""
    from dhhcli.output.inventory import inventory_notes, print_lines, print_pairs
    from dhhcli.storage.inventory import list_entries, take_inventory

    taken = take_inventory(codes, check=check)
    if listing:
        print_lines(list_entries(codes), as_json=json, wide=wide)
    else:
        print_pairs(taken, as_json=json)
    raise typer.Exit(inventory_notes(taken))


def merge(
    codes: Annotated[list[Path], typer.Argument(help="Codes files of one model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Codes file to write; must not exist.")],
) -> None:
    """Put several codes files into one; a video that several hold comes once."""
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.storage.merge import merge as merge_codes

    print_notes(merge_codes(codes, out).lines(out))


def migrate(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode, with other weights.")] = Path("codes.h5"),
    weights: WeightsName = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Let the codes go of files that are gone or cannot be read any more.")
    ] = False,
    frame_codes: Annotated[
        bool | None,
        typer.Option("--frame-codes/--no-frame-codes", help="As for encode. Default: as the codes file has it."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Files at a time; default one for two cores.")
    ] = None,
) -> None:
    """Encode what a codes file holds anew, with other weights; names and what was forgotten stay as they are."""
    from dhhcli.cli.migrate_loop import migrate_loop
    from dhhcli.encoding.migrate import weights_after
    from dhhcli.models.network import load_network
    from dhhcli.output.terminal.encode_progress import stderr_console

    network = load_network(weights_after(codes, weights), film=True)
    migrate_loop(codes, network, stderr_console(), drop=drop, frame_codes=frame_codes, workers=workers)


def forget(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")],
    video: Annotated[list[Path] | None, typer.Option("--video", help="Forget a whole video; repeatable.")] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track",
            metavar="TRACK",
            help="Forget a track, by the track_id that query and people print, or by its number as long as nothing has "
            "been encoded or forgotten since; repeatable.",
        ),
    ] = None,
    photo: Annotated[
        list[Path] | None, typer.Option("--photo", help="Forget everyone near this photo; with --within; repeatable.")
    ] = None,
    within: Annotated[int | None, typer.Option(min=0, help="With --photo: at most so many bits away.")] = None,
    called: Annotated[
        list[str] | None,
        typer.Option("--name", help="Forget all tracks that have this name; repeatable.", autocompletion=names_beside),
    ] = None,
    face: Annotated[int, typer.Option("--face", min=1, help="Which face of the photo, 1 is the largest.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", help="Write the faces first: a page (.html), or a picture (.png, .jpg); it stays, so delete it."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask on a terminal whether they are the right.")
    ] = False,
    json: Json = False,
    wide: Wide = False,
    weights: WeightsName = None,
) -> None:
    """Erase people, tracks or videos from a codes file, so that no later encode brings them back."""
    from dhhcli.output.inventory import print_lines, removal_note
    from dhhcli.output.removal import ask_before, check_removal_sheet
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.search.forget import Erasure, Removed
    from dhhcli.search.forget import forget as forget_in

    check_removal_sheet(sheet)

    def tell(removed: Sequence[Removed], notes: Sequence[str]) -> None:
        print_notes(notes)
        print_lines(removed, as_json=json, wide=wide)
        print_notes([removal_note(removed, codes, dry_run=dry_run)])

    request = Erasure(tuple(video or ()), tuple(track or ()), tuple(photo or ()), within, face, tuple(called or ()))
    told: list[int] = []

    def tell_once(removed: Sequence[Removed], notes: Sequence[str]) -> None:
        told.append(len(removed))
        tell(removed, notes)

    ask = partial(ask_before, codes, sheet=sheet, question=not (yes or dry_run))
    removed, notes = forget_in(codes, request, weights=weights, dry_run=dry_run, ask=ask, tell=tell_once)
    if not told:
        tell(removed, notes)
    raise typer.Exit(0 if removed else 3)


def doctor(
    codes: Codes = Path("codes.h5"),
    speed: Annotated[bool, typer.Option(help="Also encode the sample film for at most ten seconds.")] = True,
    json: Json = False,
    weights: WeightsName = None,
) -> None:
    """Look at this installation: what is there, what is wrong, and how to mend it."""
    from dhhcli.cli.config import Config, read_config
    from dhhcli.output.health import checks, print_checks

    wrong = ""
    try:
        config = read_config()
    except UsageError as error:
        config, wrong = Config(), str(error)
    said = [("codes", config.codes), ("weights", config.weights), ("provider", config.provider)]
    words = ", ".join(f"{name} = {value}" for name, value in said if value)
    if config.folders:
        words = f"{words}{', ' if words else ''}folders = {', '.join(config.folders)}"
    if config.faces is not None:
        words = f"{words}{', ' if words else ''}faces = {str(config.faces).lower()}"
    settings = f"{config.path}: {words or 'nothing set'}" if config.path else "no dhh.toml here, and no $DHH_CONFIG"
    raise typer.Exit(print_checks(checks(codes, settings, weights, wrong=wrong, speed=speed), as_json=json))


def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; created when missing.")],
) -> None:
    """Write a small sample video and two photos to try dhh on, made from public domain portraits."""
    from dhhcli.media.sample import write_sample
    from dhhcli.output.terminal.console import print_notes

    print_notes(write_sample(folder).lines())
