"""`python -m models build`: where the models are and how good they are."""

import argparse

from models.build import bundle
from models.golden import Golden


def main() -> None:
    """Build the bundle unless the cache holds it, and print its folder and accuracies."""
    parser = argparse.ArgumentParser(prog="python -m models", description=main.__doc__)
    parser.add_argument("command", choices=["build"])
    parser.parse_args()
    folder = bundle()
    golden = Golden.load(folder)
    print(folder)
    for version, answers in golden.versions.items():
        print(f"digits/{version}: accuracy {answers.accuracy:.4f} on {len(golden.held_out_labels)} held-out images")


if __name__ == "__main__":
    main()
