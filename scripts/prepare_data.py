r"""Looks at a data set before anything is learnt from it, and writes it in other layouts.

The tables on the standard output say what each split holds: images, objects, classes, sizes. Every picture is
decoded. What is broken would stop a training; it is listed, and the exit status is 1 then. What is odd is a
warning: pictures of train that are in val too, pictures that no annotation names, classes that one split has
and another one lacks, images that are missing from a benchmark.

    python scripts/prepare_data.py --dataset_dir MY_DATA --overview data.html
    python scripts/prepare_data.py --dataset_dir VOCdevkit --nodecode
    python scripts/prepare_data.py --dataset_dir KITTI --coco KITTI_as_coco --set data.val_fraction=0.2
    python scripts/prepare_data.py --dataset_dir MY_DATA --to yolo --output MY_DATA_as_yolo --pictures copy
    python scripts/prepare_data.py --dataset_dir MY_DATA --nodecode --tfrecords gs://BUCKET/MY_DATA

What --tfrecords writes is a data set for all programs, see docs/large_scale.md. The same command again goes
on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import program
from absl import logging

from cascade_tf.wording import count_of

if TYPE_CHECKING:
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.inspection.inspected import Inspected

OPTIONS = program.Flags(of_runs=False)
OPTIONS.string("dataset_dir", None, "The data set, in any layout of docs/own_data.md.", "DIR")
OPTIONS.string("config", "custom/cascade", "Whose data settings and anchors: a file or a name.", "CONFIG")
OPTIONS.string("split", None, "Which splits, separated by commas. Default: all that are there.", "NAMES")
OPTIONS.boolean("decode", True, "Decodes every picture; without it data.check_images says what is looked at.")
OPTIONS.string("overview", None, "Writes a page about the data set to this file.", "FILE")
OPTIONS.integer("seed", 0, "Of the pictures of the page that are chosen at random.", lower=0)
OPTIONS.string("coco", None, "Writes the data set in COCO's layout to this folder.", "DIR")
OPTIONS.choice("to", None, ("coco", "voc", "yolo", "kitti"), "Writes it in this layout to --output.")
OPTIONS.string("output", None, "Folder of --to.", "DIR")
OPTIONS.string("tfrecords", None, "Writes TFRecord shards to this folder, any that TensorFlow reads.", "DIR")
OPTIONS.integer("shard_megabytes", 256, "Pictures in each shard of --tfrecords.", lower=1)
OPTIONS.choice(
    "pictures",
    "link",
    ("link", "copy", "none"),
    "How pictures come to what is written: as symbolic links, as copies, or not at all.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(prepare, OPTIONS, __doc__, argv)


def prepare(arguments: Sequence[str]) -> None:
    """Looks at the data set of ``--dataset_dir`` and writes what the flags ask for."""
    from cascade_tf.inspection.table import class_table, split_table

    OPTIONS.need("dataset_dir")
    targets = _targets()
    _check_shards()
    experiment = program.configured_experiment(OPTIONS)
    names = _split_names(experiment)
    splits, problems = _look(experiment, names)
    if not splits:
        raise ValueError(problems[0])
    complete, warnings = _remarks(splits, all_splits=OPTIONS.values.split is None)
    print(split_table(splits))
    if any(split.dataset.labelled for split in splits.values()):
        print(f"\n{class_table(splits)}")
    _print_list("read", _sources(splits))
    _print_list("complete", complete)
    _print_list("warnings", warnings)
    _print_list("broken", problems)
    if OPTIONS.values.overview:
        remarks = {"Broken": problems, "Warnings": warnings, "Complete": complete, "Read": _sources(splits)}
        _write_overview(experiment, splits, remarks)
    for layout, folder in targets.items():
        _convert(splits, layout, folder)
    if OPTIONS.values.tfrecords:
        _write_shards(splits)
    if problems:
        raise ValueError(f"got {len(problems)} broken records and pictures, listed above; expected none")


def _targets() -> dict[str, Path]:
    """The folders to write to by the names of layouts."""
    values = OPTIONS.values
    if bool(values.to) != bool(values.output):
        given, missing = ("to", "output") if values.to else ("output", "to")
        raise ValueError(f"got --{given} without --{missing}, expected both")
    if values.coco and values.to == "coco":
        raise ValueError("got --coco and --to coco, expected one of them")
    targets = {
        **({"coco": values.coco} if values.coco else {}),
        **({values.to: values.output} if values.to else {}),
    }
    return {layout: _empty_folder(folder, layout) for layout, folder in targets.items()}


def _empty_folder(path: str, layout: str) -> Path:
    """A folder to write a data set to.

    Raises:
        ValueError: something lies there, which would be read as a part of it, or nothing can be written.
    """
    folder = program.writable_folder(path, f"folder of {layout}")
    found = sorted(file.name for file in folder.iterdir())
    if found:
        listed = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise ValueError(f"folder of {layout} {path}: got {listed} in it, expected an empty or a new folder")
    return folder


def _check_shards() -> None:
    """Raises a ValueError if something else than shards lies where shards are to be written."""
    from cascade_tf.data.shards.storage import names_in, storage_path

    folder = OPTIONS.values.tfrecords
    others = (
        [name for name in names_in(storage_path(folder), "*") if ".tfrecord" not in name] if folder else []
    )
    if others:
        raise ValueError(f"folder of --tfrecords {folder}: got {others[0]} in it, expected shards or nothing")


def _split_names(experiment: Experiment) -> tuple[str, ...]:
    from cascade_tf.data.sources.layout import find_splits

    if OPTIONS.values.split:
        return tuple(name.strip() for name in OPTIONS.values.split.split(","))
    data = experiment.data
    assert data.dataset_dir is not None
    return find_splits(data.dataset_dir, layout=data.layout, splitting=data.splitting() is not None)


def _look(experiment: Experiment, names: Sequence[str]) -> tuple[dict[str, Inspected], list[str]]:
    """The splits that can be read, and a line for each thing that is broken in any."""
    from cascade_tf.inspection.inspected import inspect

    data = dataclasses.replace(experiment.data, skip_broken=True)
    level = "decode" if OPTIONS.values.decode else data.check_images
    splits, problems = {}, []
    for name in names:
        try:
            dataset = program.read_annotations(dataclasses.replace(experiment, data=data), name)
        except (OSError, ValueError) as error:
            problems.append(f"{name}: {error}")
            continue
        images = len(dataset.examples)
        with program.progress_bar(images, f"looking at the pictures of {name}", "image") as bar:
            splits[name] = inspect(dataset, level, upright=data.upright, progress=bar.update)
        problems += [f"{name}: {line}" for line in splits[name].problems]
        if name in ("train", "val") and not dataset.labelled:
            problems.append(f"{name}: has no labels, expected some to learn from and to measure by")
    return splits, problems


def _remarks(splits: Mapping[str, Inspected], *, all_splits: bool) -> tuple[list[str], list[str]]:
    """What is complete, and what is odd."""
    from cascade_tf.inspection import remarks

    images = sum(len(split.examples) for split in splits.values())
    with program.progress_bar(images, "comparing the pictures", "image") as bar:
        warnings = remarks.duplicate_remarks(splits, bar.update)
    complete, partial = remarks.completeness(splits)
    # Other splits may have the images that are missing from these.
    warnings += remarks.class_remarks(splits)
    if all_splits:
        warnings += [*partial, *remarks.missing_side(splits)]
        warnings += remarks.unread_remarks(splits, OPTIONS.need("dataset_dir"))
    for name, split in splits.items():
        warnings += [f"{name}: {line}" for line in remarks.split_remarks(split)]
    sources = _sources(splits)
    return complete, [line for line in warnings if line not in sources]


def _sources(splits: Mapping[str, Inspected]) -> list[str]:
    """What was recognised, one line for each split where there is something to say."""
    notes = {
        name: split.dataset.source.note(Path(split.dataset.image_dir))
        for name, split in splits.items()
        if split.dataset.source is not None
    }
    return [f"{name}: {note}" for name, note in notes.items() if note]


def _print_list(title: str, lines: Sequence[str]) -> None:
    from cascade_tf.data.annotations.broken import SHOWN_RECORDS
    from cascade_tf.inspection.remarks import first_lines

    if lines:
        print("\n".join([f"\n{title}:", *(f"  {line}" for line in first_lines(lines, SHOWN_RECORDS))]))


def _write_overview(
    experiment: Experiment, splits: Mapping[str, Inspected], remarks: Mapping[str, Sequence[str]]
) -> None:
    from cascade_tf.inspection.overview import NetworkInput, fit_network, write_overview

    model = experiment.model
    multiple = model.value("round_to") or model.value("size_divisor")
    network = NetworkInput(
        short_side=model.value("short_side"),
        max_side=model.value("max_side"),
        multiple=multiple if model.value("round_sides") else None,
        grid=getattr(program.proposals_of(model), "grid", None),
        resize=model.value("resize"),
    )
    path = Path(OPTIONS.values.overview)
    program.writable_folder(path.parent, "folder of --overview")
    with program.waiting("drawing the page"):
        fits = {name: fit_network(network, split.statistics) for name, split in splits.items()}
        write_overview(
            path,
            splits,
            fits,
            scale=f"As the network sees them: {network.scale}.",
            title=Path(OPTIONS.need("dataset_dir")).resolve().name,
            remarks=remarks,
            seed=OPTIONS.values.seed,
        )
    shares = {
        name: [100 * fit.share(iou) for iou in (0.5, 0.7)] for name, fit in fits.items() if len(fit.best)
    }
    lines = [
        f"{name}: {half:.1f} % of the boxes have one of IoU 0.5 or more, {good:.1f} % one of 0.7"
        for name, (half, good) in shares.items()
    ]
    _print_list(f"anchors of {experiment.name}", lines if network.grid else [])
    print(f"\nThe page about the data set is {path}.")


def _convert(splits: Mapping[str, Inspected], layout: str, folder: Path) -> None:
    from cascade_tf.conversion import convert

    usable = {name: split.usable() for name, split in splits.items() if split.examples}
    images = sum(len(dataset.examples) for dataset in usable.values())
    with program.progress_bar(images, f"writing {layout}", "image", first="reading the annotations") as bar:
        lost = convert(usable, folder, layout, pictures=OPTIONS.values.pictures, progress=bar.update)
    for line in lost:
        logging.warning("%s: %s", layout, line)
    print(f"\nThe data set in the layout {layout!r} lies in {folder}.")


def _write_shards(splits: Mapping[str, Inspected]) -> None:
    from cascade_tf.conversion.tfrecord import write_tfrecords

    usable = {name: split.usable() for name, split in splits.items() if split.examples}
    images = sum(len(dataset.examples) for dataset in usable.values())
    folder = OPTIONS.values.tfrecords
    with program.progress_bar(images, "writing shards", "image", first="reading the annotations") as bar:
        written = write_tfrecords(
            usable, folder, shard_bytes=OPTIONS.values.shard_megabytes << 20, progress=bar.update
        )
    kept = f", {written.kept} of them from before" if written.kept else ""
    print(f"\nThe data set lies in {folder}, in {count_of(written.shards, 'shard', 'shards')}{kept}.")


if __name__ == "__main__":
    sys.exit(main())
