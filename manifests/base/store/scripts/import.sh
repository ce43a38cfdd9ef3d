#!/bin/sh
# import.sh BUNDLE STORE: puts each version of BUNDLE (folders named by integers) into STORE, whole or not at all.
#
# A server polls STORE and loads what it finds, half-copied or not (tensorflow/serving#1086). So each version is copied
# beside STORE, on the same file system, and renamed into it. A version that is there already is compared and left: run
# it as often as you like. The same number with other content is refused, since replicas would serve different models.
set -eu

bundle=$1
store=$2
staging=$(dirname "$store")/.incoming-$(basename "$store")

fail() { # what another attempt can't mend: the Job ends at once on this exit code
    echo "model-import: $*" >&2
    exit 2
}

[ -d "$bundle" ] || fail "no folder $bundle in the image; it must hold one folder per version"
# Newest first: on an empty store no server loads an old version only to swap it a moment later.
versions=$(ls "$bundle" | grep -x '[0-9][0-9]*' | sort -rn)
[ -n "$versions" ] || fail "no version folder (an integer) in $bundle"

rm -rf "$staging" # of an import that was killed
mkdir -p "$staging" "$store" ||
    fail "$(dirname "$store") is not writable for user $(id -u); give it that owner or a matching fsGroup"
trap 'rm -rf "$staging"' EXIT

for version in $versions; do
    if [ -e "$store/$version" ]; then
        diff -rq "$bundle/$version" "$store/$version" ||
            fail "version $version is in the store with other content; give the new model a new number"
        echo "model-import: version $version is there already"
        continue
    fi
    cp -R "$bundle/$version" "$staging/$version"
    chmod -R a+rX "$staging/$version"
    mv -T "$staging/$version" "$store/$version"
    echo "model-import: version $version imported"
done
