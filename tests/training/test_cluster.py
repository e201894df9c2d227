"""Where a run finds its other processes."""

from __future__ import annotations

import json
import os
import sys
import types

import pytest
import tensorflow as tf

from cascade_tf.training import cluster
from cascade_tf.training.cluster import Workers, cluster_strategy


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID", cluster.POD_LABEL, cluster.HOST_ADDRESS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def resolved(monkeypatch):
    """(addresses, type, index) of the resolver that a strategy is made of."""

    def describe(cluster_resolver):
        spec = cluster_resolver.cluster_spec().as_dict()
        return spec, cluster_resolver.task_type, cluster_resolver.task_id

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", describe)


def test_a_process_alone_needs_no_cluster(monkeypatch):
    assert cluster_strategy("auto") is None
    assert cluster_strategy("none") is None
    one = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(one))
    assert cluster_strategy("auto") is None


def test_tf_config(monkeypatch, resolved):
    two = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(two))
    assert cluster_strategy("auto") == ({"worker": ["a:1", "b:1"]}, "worker", 1)
    assert cluster_strategy("none") is None


def test_slurm(monkeypatch, resolved):
    variables = {
        "PROCID": "2",
        "STEP_NUM_TASKS": "4",
        "STEP_NODELIST": "n[1-2]",
        "STEP_TASKS_PER_NODE": "2(x2)",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    addresses = ["n1:8888", "n1:8889", "n2:8888", "n2:8889"]
    assert cluster_strategy("slurm") == ({"worker": addresses}, "worker", 2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_slurm_without_srun():
    with pytest.raises(
        ValueError, match="cluster: got slurm without SLURM_PROCID, expected to be started by srun"
    ):
        cluster_strategy("slurm")


@pytest.fixture
def pods(monkeypatch):
    """A Kubernetes client whose cluster runs two pods of the label."""

    def list_pods(label_selector):
        assert label_selector == "job-name=train"
        pods = [
            types.SimpleNamespace(
                metadata=types.SimpleNamespace(name=f"train-{i}"),
                status=types.SimpleNamespace(phase="Running", host_ip=f"10.0.0.{i}"),
            )
            for i in (7, 4)
        ]
        return types.SimpleNamespace(items=pods)

    api = types.SimpleNamespace(list_pod_for_all_namespaces=list_pods)
    config = types.SimpleNamespace(load_incluster_config=lambda: None)
    client = types.SimpleNamespace(CoreV1Api=lambda: api)
    monkeypatch.setitem(sys.modules, "kubernetes", types.SimpleNamespace(config=config, client=client))
    monkeypatch.setenv(cluster.POD_LABEL, "job-name=train")


def test_kubernetes(monkeypatch, resolved, pods):
    monkeypatch.setenv(cluster.HOST_ADDRESS, "10.0.0.7")
    spec, kind, index = cluster_strategy("kubernetes")
    assert [address.split(":")[0] for address in spec["worker"]] == ["10.0.0.4", "10.0.0.7"]
    assert (kind, index) == ("worker", 1)


def test_a_pod_that_is_not_among_those_of_the_label(monkeypatch, pods):
    monkeypatch.setenv(cluster.HOST_ADDRESS, "10.0.0.9")
    with pytest.raises(ValueError, match=r"HOST_IP: got 10.0.0.9, expected one of 10.0.0.4, 10.0.0.7"):
        cluster_strategy("kubernetes")


def test_a_pod_without_the_variables():
    with pytest.raises(ValueError, match="kubernetes without CASCADE_TF_POD_LABEL and HOST_IP"):
        cluster_strategy("kubernetes")


def test_one_process_keeps_to_itself(two_replicas):
    workers = Workers(two_replicas)
    assert (workers.count, workers.index, workers.is_chief) == (1, 0, True)
    assert workers.exchange(7).numpy().tolist() == [7]
    assert workers.gather(b"abc") == [b"abc"]
