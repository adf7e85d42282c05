"""research_commands: people's photos -> weights, and how good they are: train, pack, evaluate, ablate, calibrate."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dhhcli.cli.options import OURS, Json, Method, Recipe, Search, WeightsName, WeightsNames, finite
from dhhcli.errors import UsageError
from dhhcli.research.datasets.layout_names import FolderLayout
from dhhcli.search.options import Rank


def train(
    data: Annotated[list[Path], typer.Option("--data", "-d", help="Face pack (HDF5) or folder of people; repeatable.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, checkpoints, log and plot.")],
    bits: Annotated[
        list[int] | None,
        typer.Option(min=8, max=512, help="Length of the codes; several are trained together. [128]"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Weights are called NAME-BITS. [the method's name]")] = None,
    validate: Annotated[Path | None, typer.Option(help="Face pack of other people, for figures.")] = None,
    protocol: Annotated[Path | None, typer.Option(help="Retrieval protocol (JSON) on --validate.")] = None,
    recipe: Annotated[
        Recipe,
        typer.Option(help="dhh: ours. sface: from SFace, faces without names. paper: as published, to compare with."),
    ] = Recipe.dhh,
    method: Annotated[
        Method, typer.Option(help="dhh, or a rival of it (docs/research/baselines.md); --recipe is dhh's alone.")
    ] = OURS,
    features_of: Annotated[
        str | None, typer.Option(help="Weights whose features methods without a network of their own hash. [dhh-128]")
    ] = None,
    hold_out: Annotated[
        int, typer.Option(min=0, help="Keep ten pictures of so many people out of a rival's training.")
    ] = 0,
    backbone_from: Annotated[
        Path | None, typer.Option(help="Where the backbone starts: pretrain.safetensors of another run, or SFace.")
    ] = None,
    backbone_steps: Annotated[
        int | None, typer.Option(min=0, help="Steps of pre-training the backbone, other than the recipe's.")
    ] = None,
    hash_steps: Annotated[int | None, typer.Option(min=0, help="Steps of the hash layers on cached features.")] = None,
    joint_steps: Annotated[int | None, typer.Option(min=0, help="Steps of everything jointly.")] = None,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop a stage after so many reports without a better figure; 0: never.")
    ] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change another setting of the recipe; may be repeated."),
    ] = None,
    terms: Annotated[str, typer.Option(help="Terms of the data, written into the record.")] = "not stated",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default all cores.")] = None,
) -> None:
    """Train a network on face crops with identities. Run again to go on after an interruption."""
    from dhhcli.base.extras import require

    require("research", "dhh train")
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.output.terminal.waiting import waiting
    from dhhcli.research.forecast import training_words

    words = training_words(
        data,
        out,
        recipe,
        method=method,
        lengths=bits or [128],
        changes=changes or (),
        backbone_steps=backbone_steps,
        joint_steps=joint_steps,
    )
    with waiting(words):
        from dhhcli.research.train import train_by  # imports torch, which takes seconds

        for line in train_by(
            recipe,
            data,
            out,
            bits or [128],
            seed=seed,
            method=method,
            features_of=features_of,
            hold_out=hold_out,
            changes=changes or (),
            backbone_steps=backbone_steps,
            hash_steps=hash_steps,
            joint_steps=joint_steps,
            name=name,
            validate=validate,
            protocol=protocol,
            terms=terms,
            threads=threads,
            start_from=backbone_from,
            patience=patience,
        ):
            print_notes([line])


def pack(
    sources: Annotated[list[Path], typer.Argument(help="Folders of people's photos, frames or clips.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Face pack (HDF5) to write.")],
    layout: Annotated[FolderLayout, typer.Option(help="How the folders are laid out; auto looks.")] = FolderLayout.AUTO,
) -> None:
    """Cut the faces out of folders of people, into one face pack for training."""
    from dhhcli.output.terminal.encode_progress import stderr_console
    from dhhcli.research.datasets.folders import pack_folders
    from dhhcli.research.datasets.layouts import list_people
    from dhhcli.research.datasets.progress import PackProgress

    listings = [list_people(source, layout) for source in sources]
    progress = PackProgress(listings, stderr_console())
    for event in pack_folders(listings, out):
        progress.done(event)
    progress.conclude(out)
    raise typer.Exit(progress.exit_code)


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(help="Face pack (HDF5), folder with a folder per person, or codes file; people not trained on."),
    ],
    protocol: Annotated[
        Path | None, typer.Option(help="Retrieval protocol (JSON) on a pack: queries, sets and shots.")
    ] = None,
    weights: WeightsNames = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="METHODS",
            help="Instead: compare methods on one split: all, fitted, trained, frames, or names with commas.",
        ),
    ] = None,
    fit: Annotated[Path | None, typer.Option(help="With --compare: training pack that methods are fitted on.")] = None,
    closed: Annotated[
        int | None,
        typer.Option(min=1, help="With --compare: hold photos of at most so many people out of DATA, fit on the rest."),
    ] = None,
    bits: Annotated[
        list[int] | None,
        typer.Option(min=1, max=512, help="With --compare: lengths; default those of --weights, else 12, 24 and 48."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="With --compare: how often what is random is drawn.")] = None,
    search: Annotated[
        Search | None,
        typer.Option(help="With --compare: how frame-wise methods are searched, in the tables. Default: average."),
    ] = None,
    rank_by: Annotated[
        Rank | None,
        typer.Option(
            "--rank",
            help="What codes are ranked by, as query --rank: soft bits of what asks, or bits. [soft]",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Who is where in a codes file (TSV): video, shot, person [, track].")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="With --labels: a folder per person, photos to ask with.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw the precision-recall curves (.png).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Also write every table and curve (JSON). With --compare a folder: what is computed, so that the same "
            "line goes on where it was, CSV, LaTeX and curves."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random codes, and the first of --seeds.")] = 0,
    json: Json = False,
) -> None:
    """Retrieval and verification figures of codes and of the features behind them."""
    from dhhcli.base.extras import require
    from dhhcli.output.terminal.console import print_notes, print_tables
    from dhhcli.output.terminal.waiting import waiting
    from dhhcli.research.forecast import evaluation_words

    if plot:
        from dhhcli.research.evaluation.plots import check_picture

        check_picture(plot)
        require("research", "dhh evaluate --plot", ["matplotlib"])
    if compare is not None:
        if labels or photos or plot or rank_by:
            raise UsageError(
                "--compare takes no --labels, --photos, --rank or --plot: methods are compared by their bits, and "
                "curves are drawn into the folder of --out"
            )
        require("research", "dhh evaluate --compare")
        by = (search or Search.average).value
        _compare(compare, data, protocol, fit, closed, weights or [], bits or [], seeds or 1, by, out, seed, json)
        return
    if fit or closed or bits or seeds or search:
        raise UsageError("--fit, --closed, --bits, --seeds and --search belong to --compare")
    with waiting(evaluation_words(data, len(weights or ()))):
        from dhhcli.research.evaluation.run import EvaluationJob, evaluate_request
        from dhhcli.research.evaluation.tables import write_evaluation

        request = EvaluationJob(
            data,
            tuple(weights or ()),
            protocol=protocol,
            labels=labels,
            photos=photos,
            seed=seed,
            rank=rank_by or Rank.soft,
        )
        found = evaluate_request(request)
    print_notes(found.notes)
    if plot:
        from dhhcli.research.evaluation.plots import plot_curves

        plot_curves(plot, found.results)
    if out:
        write_evaluation(out, found)
    print_tables(found.tables(), as_json=json)


def _compare(
    methods: str,
    data: Path,
    protocol: Path | None,
    fit: Path | None,
    closed: int | None,
    weights: list[str],
    bits: list[int],
    seeds: int,
    search: str,
    out: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    from dhhcli.output.terminal.console import print_grids, print_notes, print_scores
    from dhhcli.output.terminal.waiting import waiting

    threads = os.cpu_count() or 1
    words = f"{data}: comparing {methods}; how long that takes is said after the first"
    with waiting(words):
        from dhhcli.research.baselines.comparison.data import read_split
        from dhhcli.research.baselines.comparison.run import compare, named, plan
        from dhhcli.research.baselines.comparison.summary import grids, summarise
        from dhhcli.research.baselines.comparison.write_results import write_comparison

        wanted = plan(named(methods), bits, seeds, weights, out, threads=threads, first_seed=seed)
        split, notes = read_split(data, protocol=protocol, fit=fit, closed=closed, threads=threads)
        print_notes(notes)
        cells = compare(split, wanted, note=lambda line: print_notes([line]))
    if out:
        write_comparison(out, cells, search)
    lines = summarise(cells)
    if as_json:
        print_scores(lines, as_json=True)
    else:
        print_grids(grids(lines, search))


def ablate(
    pack: Annotated[Path, typer.Argument(help="Face pack (HDF5) of people the network was not trained on.")],
    data: Annotated[
        list[Path], typer.Option("--data", "-d", help="Face pack to train hash layers on; may be given several times.")
    ],
    protocol: Annotated[Path, typer.Option(help="Retrieval protocol (JSON): queries, sets and shots.")],
    weights: WeightsName = None,
    bits: Annotated[int, typer.Option(min=8, max=512, help="Length of the codes.")] = 48,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of every variant.")] = 300,
    people: Annotated[int, typer.Option(min=2, help="How many people to train on, at most.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    json: Json = False,
) -> None:
    """What the parts of the method are worth: hash layers without one or another, on the features of some weights."""
    from dhhcli.base.extras import require

    require("research", "dhh ablate")
    from dhhcli.output.terminal.console import print_notes, print_scores
    from dhhcli.research.training.ablation import AblationSettings
    from dhhcli.research.training.ablation import ablate as ablate_weights

    settings = AblationSettings(bits=bits, steps=steps, seed=seed)
    outcomes = ablate_weights(
        data, pack, protocol, weights, settings, people=people, note=lambda line: print_notes([line])
    )
    print_scores(outcomes, as_json=json)


def calibrate(
    pack: Annotated[Path, typer.Argument(help="Face pack (HDF5) of people the network was not trained on.")],
    weights: WeightsNames = None,
    prior: Annotated[
        float,
        typer.Option(
            min=1e-9, max=0.5, callback=finite, help="Share of the footage's face tracks that are of the person."
        ),
    ] = 0.01,
    plot: Annotated[Path | None, typer.Option(help="Also draw what was promised against what came (.png).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the imitated tracks and of the halves.")] = 0,
    json: Json = False,
) -> None:
    """Learn what a distance is worth, and write it into the weights' records; prints how it holds on other people."""
    from dhhcli.base.extras import require
    from dhhcli.output.terminal.console import print_notes, print_tables
    from dhhcli.research.calibration.fit import calibrate_weights
    from dhhcli.research.calibration.plots import plot_reliability
    from dhhcli.research.evaluation.plots import check_picture

    require("research", "dhh calibrate", ["scipy"])
    if plot:
        check_picture(plot)
        require("research", "dhh calibrate --plot", ["matplotlib"])
    done = []
    for used, calibrated in calibrate_weights(pack, weights or [None], prior=prior, seed=seed):
        done.append(calibrated)
        print_notes([f"{used.record_path}: calibrated"])
    bins = [line for calibrated in done for line in calibrated.bins]
    if plot:
        plot_reliability(plot, bins)
    print_tables({"held_out": [line for each in done for line in each.held_out], "bins": bins}, as_json=json)
