"""`python3 train.py FOLDER SEED`: trains on FOLDER/data.npz, and writes the weights and what they answer in process."""

import sys
from pathlib import Path

import numpy as np
import torch
from model import Network

EPOCHS = 10
BATCH = 64


def train(images: torch.Tensor, labels: torch.Tensor, seed: int) -> Network:
    """The network, trained; the same for the same seed on one thread."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = Network()
    optimiser = torch.optim.Adam(network.parameters())
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimiser.step()
    return network.eval()


def main(folder: Path, seed: int) -> None:
    """Train, and answer the held-out images: all in one batch, and each alone."""
    data = np.load(folder / "data.npz")
    network = train(torch.from_numpy(data["images"]), torch.from_numpy(data["labels"]), seed)
    held_out = torch.from_numpy(data["held_out"])
    with torch.no_grad():
        scores = network(held_out)
        alone = torch.cat([torch.softmax(network(image[None]), dim=1) for image in held_out])
        together = torch.softmax(scores, dim=1)
    torch.save(network.state_dict(), folder / "weights.pt")
    np.savez(folder / "answers.npz", scores=scores.numpy(), together=together.numpy(), alone=alone.numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
