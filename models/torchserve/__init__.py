"""A small PyTorch model of the same digits: programs that run in TorchServe's image, where torch is, and not here."""
