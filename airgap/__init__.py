"""Builds the whole test bed from package registries: engine, node image, and every image that the stack needs."""
