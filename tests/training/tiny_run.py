"""A run of a tiny detector with masks, in this process or as one of several: ``python tiny_run.py SPEC``."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
STEPS = 10


def make_trainer(workdir, data, cluster="none", batches=None, **changes):
    """A ``Trainer`` with clipping, averaged weights and masks; a batch is four images."""
    from cascade_tf.data.coco import read_dataset_dir
    from cascade_tf.data.pipeline import train_batches
    from cascade_tf.models import cascade_mask_rcnn_fpn
    from cascade_tf.prediction.inference import detect_dataset, to_coco_results
    from cascade_tf.training.cluster import Workers, cluster_strategy
    from cascade_tf.training.distribution import default_strategy
    from cascade_tf.training.loop import Trainer
    from cascade_tf.training.settings import TrainConfig
    from cascade_tf.training.shared_detection import detect_together

    strategy = cluster_strategy(cluster) or default_strategy()
    workers = Workers(strategy)
    dataset = read_dataset_dir(data, "train", segmentations=True)
    settings = {
        "batch_size": 4,
        "reference_batch_size": 4,
        "steps": STEPS,
        "learning_rate": 0.001,
        "warmup_steps": 2,
        "decay_steps": (),
        "clip_norm": 1.0,
        "ema": 0.9,
        "log_every": 1,
        "checkpoint_every": 5,
        **changes,
    }

    def build():
        return cascade_mask_rcnn_fpn(
            dataset.class_names,
            dataset.category_ids,
            **{
                "backbone.depth": 14,
                "backbone.width": 0.125,
                "neck.channels": 8,
                "heads.head.units": 8,
                "heads.masks.head.channels": 8,
                "proposals.anchor_sizes": (8, 16, 32, 64, 128),
            },
            short_side=48,
            max_side=64,
        )

    images = read_dataset_dir(data, "val", segmentations=True)

    def evaluate(detector, step):
        found = detect_together(workers, images, lambda share: [detect_dataset(detector, share)])
        results = json.dumps(to_coco_results(found[0]))
        (Path(workdir) / f"detections{workers.index}.json").write_text(results, encoding="utf-8")
        return {"AP": 0.5}

    def make_batches(start_step):
        return train_batches(
            dataset,
            batch_size=settings["batch_size"],
            short_sides=(48,),
            max_side=64,
            start_step=start_step,
            masks=True,
            part=(workers.index, workers.count),
        )

    return Trainer(
        build,
        TrainConfig(**settings),
        workdir,
        make_batches=batches or make_batches,
        evaluate_fn=evaluate,
        strategy=strategy,
        progress_bar=False,
        stall_limit=600.0,
    )


def state_of(trainer):
    """Everything that a checkpoint of a run has, by name."""
    groups = trainer._state()
    return {f"{g}/{name}": v.numpy() for g, variables in groups.items() for name, v in variables.items()}


def environment(**variables):
    """This process's environment for a run in another one, on the CPU and with a thread or two."""
    return {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **variables,
    }


def start_hosts(number, command):
    """Starts a command once for each of several hosts on this machine; gives the processes."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(number)]
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment(TF_CONFIG=json.dumps(_of_host(addresses, index))),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(number)
    ]


def free_ports(number):
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _of_host(addresses, index):
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}


def main(text):
    """Runs what the JSON text says: the folders, and settings that differ."""
    spec = json.loads(text)
    make_trainer(spec.pop("workdir"), spec.pop("data"), "auto", **spec).run()


if __name__ == "__main__":
    main(sys.argv[1])
