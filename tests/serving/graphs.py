"""What stands in a SavedModel's graph."""

from __future__ import annotations

from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2


def nodes_of(graph):
    """Types of all nodes of a graph and of its functions, one for each node."""
    inside = [node for function in graph.library.function for node in function.node_def]
    return [node.op for node in (*graph.node, *inside)]


def saved_nodes(folder):
    """The same of a SavedModel."""
    content = (Path(folder) / "saved_model.pb").read_bytes()
    return nodes_of(saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def)


def own_ops(nodes):
    """The types among them that only this package's library has."""
    return {node for node in nodes if node.startswith("CascadeTf>")}
