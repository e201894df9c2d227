"""The processes that train together: who they are, and what they tell each other."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute import multi_worker_util

CLUSTERS = ("auto", "none", "slurm", "kubernetes")
# What a pod of a Kubernetes job is found by, and knows itself by: TensorFlow's resolver takes the addresses
# of the nodes, so that there is one pod on each, in the node's network.
POD_LABEL, HOST_ADDRESS = "CASCADE_TF_POD_LABEL", "HOST_IP"


def cluster_strategy(cluster: str = "auto") -> tf.distribute.Strategy | None:
    """Returns a strategy over several processes, None where there is one. Before any TensorFlow op runs.

    Args:
        cluster: where the others are found. ``"auto"``: in ``TF_CONFIG``, if it is set and has several;
            ``"slurm"``: in the environment of the tasks of a job step, with the GPUs that Slurm gives each;
            ``"kubernetes"``: in the cluster's list of pods with the label in ``CASCADE_TF_POD_LABEL``, one
            on each node, of which ``HOST_IP`` is this one's; ``"none"``: nowhere.

    Raises:
        ValueError: the environment does not say what it has to.
        RuntimeError: a pod is not running yet.
    """
    resolver = _resolver(cluster)
    if resolver is None or _size(resolver) < 2:
        return None
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _resolver(cluster: str) -> Any:
    resolvers = tf.distribute.cluster_resolver
    if cluster == "auto":
        return resolvers.TFConfigClusterResolver() if os.environ.get("TF_CONFIG") else None
    if cluster == "slurm":
        if "SLURM_PROCID" not in os.environ:
            raise ValueError("cluster: got slurm without SLURM_PROCID, expected to be started by srun")
        # Slurm hands out the GPUs; with these numbers the resolver neither counts nor chooses any.
        return resolvers.SlurmClusterResolver(gpus_per_node=2**10, gpus_per_task=1, auto_set_gpu=False)
    if cluster == "kubernetes":
        return _of_pods(resolvers)
    return None


def _of_pods(resolvers: Any) -> Any:
    missing = [name for name in (POD_LABEL, HOST_ADDRESS) if not os.environ.get(name)]
    if missing:
        raise ValueError(f"cluster: got kubernetes without {' and '.join(missing)}, expected them in the pod")
    try:
        from kubernetes import client, config
    except ImportError:
        raise ValueError(
            "cluster: got kubernetes without its client, expected pip install kubernetes"
        ) from None
    # Left to itself the resolver reads the file of a user's machine, which a pod has not.
    config.load_incluster_config()
    pods = client.CoreV1Api()
    resolver = resolvers.KubernetesClusterResolver({"worker": [os.environ[POD_LABEL]]}, override_client=pods)
    hosts = [address.rpartition(":")[0] for address in resolver.cluster_spec().job_tasks("worker")]
    if os.environ[HOST_ADDRESS] not in hosts:
        raise ValueError(
            f"{HOST_ADDRESS}: got {os.environ[HOST_ADDRESS]}, expected one of {', '.join(hosts)}"
        )
    resolver.task_type, resolver.task_id = "worker", hosts.index(os.environ[HOST_ADDRESS])
    return resolver


def _size(resolver: Any) -> int:
    spec = resolver.cluster_spec()
    return sum(spec.num_tasks(job) for job in spec.jobs if job in ("chief", "worker"))


class Workers:
    """The processes of a strategy; each has the same number of devices.

    Args:
        strategy: of any kind; only one over several processes has more than one worker.

    Attributes:
        count: how many there are.
        index: this one's place among them.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.count, self.index = 1, 0
        resolver = strategy.cluster_resolver
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and resolver is not None:
            spec = resolver.cluster_spec().as_cluster_def()
            self.count = multi_worker_util.worker_count(spec, resolver.task_type)
            self.index = multi_worker_util.id_in_cluster(spec, resolver.task_type, resolver.task_id)
        self._sum = tf.function(self._sum_over_workers, autograph=False, reduce_retracing=True)

    @property
    def is_chief(self) -> bool:
        """Whether this is the one that writes."""
        return self.index == 0

    def exchange(self, value: int) -> tf.Tensor:
        """Gives each worker the values of all: [count] int32 in their order. All have to call it."""
        own = np.zeros([self.count], np.int32)
        own[self.index] = value
        return tf.constant(own) if self.count == 1 else self._sum(tf.constant(own))

    def gather(self, content: bytes) -> list[bytes]:
        """Gives each worker what all of them have, in their order. All have to call it."""
        if self.count == 1:
            return [content]
        sizes = self.exchange(len(content)).numpy()
        # Whole numbers of four bytes: what every kind of device can add up.
        own = np.zeros([self.count, -(-int(sizes.max()) // 4)], np.int32)
        padded = content + bytes(own.shape[1] * 4 - len(content))
        own[self.index] = np.frombuffer(padded, np.int32)
        everything = self._sum(tf.constant(own)).numpy()
        return [row.tobytes()[:size] for row, size in zip(everything, sizes, strict=True)]

    def _sum_over_workers(self, value: tf.Tensor) -> tf.Tensor:
        summed = self._strategy.run(self._sum_over_replicas, args=(value,))
        return self._strategy.experimental_local_results(summed)[0]

    def _sum_over_replicas(self, value: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        # One of a worker's devices speaks for it.
        first = context.replica_id_in_sync_group % (context.num_replicas_in_sync // self.count) == 0
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, value, tf.zeros_like(value)))
