"""What the cluster shows from outside: pods, the autoscaler, metrics and alerts; watched into the ledger."""
