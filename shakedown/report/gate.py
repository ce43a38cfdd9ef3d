"""Whether a verdict allows a release: all that its profile asks is proven, and it is about what will be released."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shakedown.report.bundle import SCHEMA_VERSION, Verdict
from shakedown.settings import Profile
from shakedown.verdict import EXIT_FAILED, EXIT_NOT_JUDGED, EXIT_PROVEN
from shakedown.verdict import exit_code as of_promises

SAYS_ALL = 3  # the schema version from which a verdict says whether less was asked than its profile does
PROFILES = tuple(Profile)  # each asks all that those before it ask


@dataclass(frozen=True)
class Release:
    """What will be released, by digest, and the profile that must have been asked of it at least."""

    manifests: str
    images: Mapping[str, str]
    models: Mapping[str, str]
    profile: Profile = Profile.ACCEPTANCE


@dataclass(frozen=True)
class Objection:
    """One thing that speaks against a release; `code` as a run ends: 1 for what is wrong, 6 for what nobody knows."""

    said: str
    code: int


def objections(verdict: Verdict, release: Release) -> Iterator[Objection]:
    """What speaks against a release; nothing where the verdict allows it."""
    yield from (Objection(said, EXIT_NOT_JUDGED) for said in unasked(verdict, release.profile))
    if verdict.exit_code == EXIT_PROVEN and (code := of_promises(each.outcome for each in verdict.promises)):
        yield Objection(f"run {verdict.run} contradicts itself: exit code 0, and its promises come to {code}", code)
    if verdict.exit_code != EXIT_PROVEN:
        code = EXIT_FAILED if verdict.exit_code == EXIT_FAILED else EXIT_NOT_JUDGED
        early = f": {verdict.ended_early}" if verdict.ended_early else ""
        yield Objection(f"run {verdict.run} is not green: it ended with exit code {verdict.exit_code}{early}", code)
    yield from (Objection(said, EXIT_FAILED) for said in differences(verdict, release))


def unasked(verdict: Verdict, profile: Profile) -> Iterator[str]:
    """What of the profile the run did not ask: green says nothing of that."""
    if verdict.schema_version > SCHEMA_VERSION:
        yield f"run {verdict.run} is of a newer Shakedown (schema {verdict.schema_version}, known is {SCHEMA_VERSION})"
    if verdict.profile not in PROFILES:
        yield f"run {verdict.run} asked profile {verdict.profile}, which nobody knows here"
    elif PROFILES.index(Profile(verdict.profile)) < PROFILES.index(profile):
        yield f"run {verdict.run} asked profile {verdict.profile}, the release needs {profile}"
    if verdict.schema_version < SAYS_ALL:
        yield f"run {verdict.run} doesn't say whether all of its profile was asked: it is of an older Shakedown"
    if verdict.narrowed:
        yield f"run {verdict.run} asked less than its profile does: {' '.join(verdict.narrowed)}"


def differences(verdict: Verdict, release: Release) -> Iterator[str]:
    """Where what was judged is not what will be released."""
    judged = verdict.judged
    if judged.patches:
        yield f"run {verdict.run} judged patched manifests: {', '.join(judged.patches)}"
    if judged.manifests != release.manifests:
        yield f"manifests: judged {judged.manifests or 'none'}, to be released {release.manifests}"
    for kind, released, known in (
        ("image", release.images, judged.images),
        ("model", release.models, judged.models),
    ):
        for name, digest in released.items():
            if known.get(name) != digest:
                yield f"{kind} {name}: judged {known.get(name, 'none')}, to be released {digest}"


def exit_code(found: list[Objection]) -> int:
    """0 where nothing speaks against the release, 1 where something is wrong, 6 where something isn't known."""
    if not found:
        return EXIT_PROVEN
    return EXIT_FAILED if any(each.code == EXIT_FAILED for each in found) else EXIT_NOT_JUDGED
