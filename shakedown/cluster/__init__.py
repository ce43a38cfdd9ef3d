"""The cluster that a run judges: one of kind's that the run made, or an existing one that the user opted in."""

from shakedown.cluster.access import Cluster, Node

__all__ = ["Cluster", "Node"]
