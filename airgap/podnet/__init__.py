"""Pod network and NetworkPolicy of the offline clusters: an agent on each node that needs only `ip` and `nft`."""
