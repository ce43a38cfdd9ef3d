"""Rules over rendered manifests: what is wrong, why it matters and how to mend it, before a cluster exists."""
