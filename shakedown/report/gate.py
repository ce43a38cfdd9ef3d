"""Whether a verdict allows a release: it is green, and it is about what will be released."""

from collections.abc import Iterator, Mapping

from shakedown.report.bundle import Verdict
from shakedown.verdict import EXIT_PROVEN


def objections(verdict: Verdict, manifests: str, images: Mapping[str, str], models: Mapping[str, str]) -> Iterator[str]:
    """What speaks against a release with these digests; nothing where the verdict allows it."""
    judged = verdict.judged
    if verdict.exit_code != EXIT_PROVEN:
        yield f"run {verdict.run} is not green: it ended with exit code {verdict.exit_code}"
    if judged.patches:
        yield f"run {verdict.run} judged patched manifests: {', '.join(judged.patches)}"
    if judged.manifests != manifests:
        yield f"manifests: judged {judged.manifests or 'none'}, to be released {manifests}"
    for kind, released, known in (("image", images, judged.images), ("model", models, judged.models)):
        for name, digest in released.items():
            if known.get(name) != digest:
                yield f"{kind} {name}: judged {known.get(name, 'none')}, to be released {digest}"
