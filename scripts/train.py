r"""Trains a detector on a data set in any of the layouts that are read.

The folder of the run gets experiment.json (every setting, resolved), checkpoints/, metrics.jsonl, events/ for
TensorBoard, best.weights.h5 (by the number of the data set's protocol, COCO's AP where it has no other),
last.weights.h5, and the last evaluation in evaluation/. Started again with the same settings, a run goes on
from its last checkpoint exactly as if it had not been interrupted. A configuration with a first step trains
that before, in first_step/ of the folder.

Several GPUs of a machine train together by themselves. Several machines do where each runs the same command
with a folder that all of them see, see docs/distributed.md. SIGTERM and Ctrl-C end a run after the step at
hand, with a checkpoint and the exit status 143 or 130. A process that others have left alone ends with 75.

    python scripts/train.py --config custom/cascade --dataset_dir MY_DATA --workdir runs/mine
    python scripts/train.py --config custom/cascade --dataset_dir MY_DATA --workdir runs/mine_r101 \
        --set model.backbone.depth=101 --set train.batch_size=8 --backbone_weights R-101.pkl
    python scripts/train.py --config custom/cascade --dataset_dir MY_DATA --workdir runs/tuned \
        --weights detectron2/cascade_mask_rcnn_R_50_FPN_3x

With --weights the model is the checkpoint's, with the classes of the data set: of the configuration the data,
the schedule and the evaluation remain, and --set model.NAME=VALUE changes single settings. A run of your own
is a start like any other: --weights runs/mine. Layers that depend on the classes begin anew where the classes
differ.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import evaluate
import program
import propose
from absl import logging

if TYPE_CHECKING:
    from evaluate import Measured

    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.training.cluster import Workers
    from cascade_tf.training.failed_evaluations import EvaluationFailedError
    from cascade_tf.training.loop import Trainer

OPTIONS = program.Flags()
OPTIONS.string(
    "config", None, "File with experiment(), or a name in configs/, e.g. custom/cascade.", "CONFIG"
)
OPTIONS.string(
    "backbone_weights",
    None,
    "The backbone's weights at the start, trained on ImageNet: a file of torchvision, Detectron or Keras "
    "Applications, or a name of the catalogue such as torchvision/resnet50. Default: random.",
    "FILE",
)
OPTIONS.string("weights", None, f"A detector to start from: {program.WEIGHTS_TEXT}", "NAME")
OPTIONS.choice(
    "resume",
    "auto",
    ("auto", "always", "never"),
    "What to do with a checkpoint in --workdir: auto goes on if there is one, always insists on one, never "
    "insists on none.",
)
OPTIONS.choice(
    "cluster",
    "auto",
    ("auto", "none", "slurm", "kubernetes"),
    "Where the other processes of the run are found: auto in TF_CONFIG, slurm in the environment of srun's "
    "tasks, kubernetes among the pods of a label, none nowhere.",
)
OPTIONS.number(
    "stall_limit",
    1800.0,
    "Seconds after which a process of several, or one with data.service, ends itself with status 75 where no "
    "step, nor evaluation, has been done; 0: never.",
    lower=0.0,
    upper=1e9,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(train, OPTIONS, __doc__, argv)


def train(arguments: Sequence[str]) -> int:
    """Trains the experiment of ``--config``."""
    # What the flags and the configuration have wrong is said before TensorFlow is loaded.
    experiment = program.configured_experiment(OPTIONS, with_model=not OPTIONS.values.weights)
    workdir = Path(OPTIONS.need("workdir"))

    from cascade_tf.experiment.config import read_experiment
    from cascade_tf.training.cluster import Workers, cluster_strategy
    from cascade_tf.training.failed_evaluations import EvaluationFailedError

    strategy = cluster_strategy(OPTIONS.values.cluster)
    chief = Workers(strategy).is_chief if strategy else True
    if OPTIONS.values.backbone_weights:
        experiment = dataclasses.replace(experiment, backbone_weights=OPTIONS.values.backbone_weights)
    if OPTIONS.values.weights:
        experiment = with_weights(experiment, OPTIONS.values.weights, workdir)
    experiment, train_set, val_set = program.read_data(experiment, workdir)
    program.check_resumption(experiment, workdir, OPTIONS.values.resume)
    if program.has_started(workdir):
        program.tell_of_left_out_images(read_experiment(workdir), experiment, train_set, val_set)
    measurements: list[Measured] = []
    for step, folder in _steps(experiment, workdir, writes=chief):
        trainer = make_trainer(
            step,
            folder,
            train_set,
            val_set,
            on_measured=measurements.append,
            strategy=strategy,
            stall_limit=OPTIONS.values.stall_limit,
        )
        try:
            result = trainer.run()
        except EvaluationFailedError as error:
            raise RuntimeError(_what_goes_on(error, folder)) from None
        # Its detector makes room for the next step's.
        del trainer
        if not result.finished or (result.signal and folder != workdir):
            print(f"Stopped after step {result.step}; the same command goes on from there.")
            return 128 + (result.signal or 0)
    if measurements:
        print(measurements[-1].result.to_table(csv_file=workdir / "evaluation" / "val.csv"))
    if chief:
        print(f"\nThe trained detector lies in {workdir}.")
    return 0


def _steps(experiment: Experiment, workdir: Path, *, writes: bool) -> Iterator[tuple[Experiment, Path]]:
    """The steps of training that are left, each with its folder.

    Raises:
        ValueError: the first one does not say how long it is.
    """
    from cascade_tf.experiment.config import write_experiment
    from cascade_tf.experiment.first_step import FOLDER, first_experiment

    first = first_experiment(experiment)
    if first is not None and "train.steps" not in experiment.first_step:
        raise ValueError("first_step: got no train.steps, expected its own number of updates")
    if first is not None and not program.has_checkpoint(workdir):
        # With it an interrupted first step knows what it belongs to.
        if writes:
            workdir.mkdir(parents=True, exist_ok=True)
            write_experiment(experiment, workdir)
        logging.info("the first step, in %s", workdir / FOLDER)
        yield first, workdir / FOLDER
        logging.info("the second step, from the weights of the first")
    yield experiment, workdir


def with_weights(experiment: Experiment, name: str, workdir: Path) -> Experiment:
    """Returns the experiment with the model that weights belong to, and ``--set model.*`` applied to that.

    A run that goes on needs the weights no more: its own experiment has the model.

    Raises:
        ValueError: the experiment has the weights of a backbone too, or the file cannot be understood.
        FileNotFoundError: there are no such weights.
    """
    from cascade_tf.experiment.config import read_experiment
    from cascade_tf.experiment.weights_source import adjustable_model, describe_weights, find_weights

    if experiment.backbone_weights:
        raise ValueError("got both --weights and --backbone_weights, expected one of them")
    if program.has_started(workdir):
        started = read_experiment(workdir)
        if started.weights == name:
            changes = program.model_changes(OPTIONS, lambda: started.model, check_others=False)
            return dataclasses.replace(experiment, model=started.model.replace(changes), weights=name)
    # The model of a first step is that of its second.
    whole = program.experiment_of_first_step(name)
    changes = program.model_changes(
        OPTIONS, lambda: whole.model if whole else adjustable_model(name), check_others=False
    )
    if whole:
        model = whole.model.replace(changes)
    else:
        model = describe_weights(find_weights(name), changes).model
    logging.info("the model is that of %s; model settings of the configuration are not used", name)
    return dataclasses.replace(experiment, model=model, weights=name)


def _what_goes_on(error: EvaluationFailedError, workdir: Path) -> str:
    """The line about a run whose evaluations failed, with the commands that go on."""
    program.show_defect(error.last, debug=OPTIONS.values.debug)
    if error.is_final:
        remedy = (
            "the same command repeats the evaluation and then keeps the best weights "
            "(--set data.skip_broken=true leaves broken images out), python scripts/evaluate.py "
            f"--workdir {workdir} measures the weights that are there"
        )
    else:
        remedy = (
            "best.weights.h5 has the best of the other evaluations, "
            f"python scripts/evaluate.py --workdir {workdir} measures it"
        )
    return (
        f"{error}; all {error.result.step} steps are done and their weights lie in "
        f"{workdir / 'last.weights.h5'}; {remedy}"
    )


def make_trainer(
    experiment: Experiment,
    workdir: Path,
    train_set: CocoDataset,
    val_set: CocoDataset,
    *,
    on_measured: Callable[[Measured], Any] = lambda measured: None,
    watch: Callable[[Any], Any] = lambda batches: batches,
    progress_bar: bool | None = None,
    strategy: Any = None,
    stall_limit: float = 0.0,
) -> Trainer:
    """Builds the detector and its trainer, and writes ``experiment.json``.

    Args:
        experiment: resolved.
        workdir: the run's folder; training goes on from the newest checkpoint in it.
        train_set: images to train on.
        val_set: images to evaluate on.
        on_measured: called with each evaluation.
        watch: wraps the training batches, for example to count them.
        progress_bar: see ``Trainer``.
        strategy: likewise.
        stall_limit: of a process that waits for others: of several, or for a data service.

    Raises:
        ValueError: the data service does not answer.
    """
    from cascade_tf.data.service import check_service
    from cascade_tf.experiment.config import settings, write_experiment
    from cascade_tf.models.detector import PROPOSALS
    from cascade_tf.training.cluster import Workers
    from cascade_tf.training.distribution import default_strategy
    from cascade_tf.training.loop import Trainer

    strategy = strategy or default_strategy()
    workers = Workers(strategy)
    share = workers.index, workers.count
    service = experiment.data.service
    if service is not None:
        check_service(service)
    if settings(experiment).get("model.learns") == PROPOSALS:
        how_to_evaluate = _recall_of_proposals(experiment, val_set, workdir, workers)
    else:
        how_to_evaluate = _by_protocol(experiment, val_set, workdir, on_measured, workers)
    with program.waiting("building the detector"):
        trainer = Trainer(
            lambda: program.build_for_training(experiment, workdir),
            experiment.train,
            workdir,
            make_batches=lambda start: watch(training_batches(experiment, train_set, start, share=share)),
            progress_bar=progress_bar if workers.is_chief else False,
            strategy=strategy,
            stall_limit=stall_limit if service is not None or workers.count > 1 else 0.0,
            **how_to_evaluate,
        )
    if workers.is_chief:
        write_experiment(experiment, workdir)
    return trainer


def _by_protocol(
    experiment: Experiment,
    val_set: CocoDataset,
    workdir: Path,
    on_measured: Callable[[Measured], Any],
    workers: Workers,
) -> dict[str, Any]:
    """How a ``Trainer`` evaluates a detector: by the protocol of its data set."""
    protocol = program.chosen_protocol(experiment, val_set)

    def evaluate_fn(detector: Any, step: int) -> dict[str, float]:
        measured = evaluate.measure(
            detector,
            protocol,
            batch_size=experiment.evaluation.batch_size,
            per_stage=experiment.evaluation.per_stage,
            skip_broken=experiment.data.skip_broken,
            upright=experiment.data.upright,
            prefix=workdir / "evaluation" / "val",
            workers=workers,
        )
        if measured is None:
            return {}
        on_measured(measured)
        return measured.result.numbers()

    return {
        "evaluate_fn": evaluate_fn,
        "judge": protocol.judge,
        "measured_by": protocol.measured_by,
        "lower_is_better": protocol.lower_is_better,
    }


def _recall_of_proposals(
    experiment: Experiment, val_set: CocoDataset, workdir: Path, workers: Workers
) -> dict[str, Any]:
    """How a ``Trainer`` evaluates a detector of which only the proposals are learnt."""
    from cascade_tf.metrics.proposals import LIMITS

    def evaluate_fn(detector: Any, step: int) -> dict[str, float]:
        if not workers.is_chief:
            return {}
        found = propose.collect(
            detector,
            val_set,
            batch_size=experiment.evaluation.batch_size,
            skip_broken=experiment.data.skip_broken,
            upright=experiment.data.upright,
        )
        result = propose.measure(val_set, found)
        result.to_json(workdir / "evaluation" / "recall.json")
        return result.summary

    return {"evaluate_fn": evaluate_fn, "judge": f"AR{max(LIMITS)}"}


def training_batches(
    experiment: Experiment,
    train_set: CocoDataset,
    start_step: int = 0,
    *,
    num_steps: int | None = None,
    masks: bool | None = None,
    share: tuple[int, int] = (0, 1),
) -> Any:
    """Batches as an experiment trains on them.

    Args:
        experiment: resolved.
        train_set: images to train on.
        start_step: the first batch.
        num_steps: how many batches; None for no end.
        masks: whether objects come with their masks; None: if the detector has mask heads.
        share: of each batch, see ``train_batches``.
    """
    from cascade_tf.data.pipeline import train_batches
    from cascade_tf.data.service import on_service
    from cascade_tf.experiment.config import settings

    data, model, train = experiment.data, settings(experiment), experiment.train
    if data.service is not None and num_steps is None:
        # Without a number there is Python in the graph, which goes to no other process.
        num_steps = max(train.steps * train.accumulate - start_step, 0)
    batches = train_batches(
        train_set,
        batch_size=train.batch_size,
        short_sides=data.short_sides or (model["model.short_side"],),
        max_side=data.max_side or model["model.max_side"],
        flip=data.flip,
        photometric_distortion=data.photometric_distortion,
        crop=data.crop,
        min_object_side=data.min_object_side,
        min_object_height=data.min_object_height,
        crop_size=data.crop_size,
        object_scales=data.object_scales,
        resize=model["model.resize"],
        size_divisor=model["model.size_divisor"],
        aspect_grouping=data.aspect_grouping,
        seed=train.seed,
        start_step=start_step,
        num_steps=num_steps,
        workers=data.workers,
        skip_broken=data.skip_broken,
        upright=data.upright,
        masks=program.has_masks(experiment) if masks is None else masks,
        part=share,
    )
    return batches if data.service is None else on_service(batches, data.service)


if __name__ == "__main__":
    sys.exit(main())
