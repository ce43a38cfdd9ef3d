"""Proves that a model-serving deployment on Kubernetes does what its manifests promise."""
