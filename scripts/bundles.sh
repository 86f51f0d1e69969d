#!/usr/bin/env bash
# Makes the bundles of the simulated servers that stand under examples/data/bundles: random runs, a first profiler, placements that an
# optimiser makes with it, their replays, and a profiler of both. An optimiser looks for loads near the promises, which random
# runs hardly sample, so a profiler that has not seen any such is too optimistic exactly there.
#
#   scripts/bundles.sh WORK_FOLDER [NEURO]
set -euo pipefail
work=${1:?usage: scripts/bundles.sh WORK_FOLDER [NEURO]}
neuro=${2:-neuro}
mkdir -p "$work"
steps=19000 decay=0.1

for kind in edge-a edge-b; do
    "$neuro" run random --target sim --kind "$kind" --runs 1200 --partly 0.5 --out "$work/$kind"
    "$neuro" run pairwise --target sim --kind "$kind" --out "$work/$kind-pairs"
    for monotone in "" "--monotone"; do
        # shellcheck disable=SC2086
        "$neuro" train "$work/$kind/dataset" --steps $steps --decay $decay $monotone \
            --name "$kind${monotone:+-monotone}" --out "$work/first/$kind${monotone:+-monotone}"
    done
done

# Placements by the newest profilers, run and learnt from, pass after pass; of instances that no evaluation uses.
before=first
for pass in 1 2 3; do
    for suffix in "" "-monotone"; do
        "$neuro" run planned --target sim --plans 60 --servers 8 --seed "90$pass" --out "$work/planned$pass$suffix" \
            --profile "edge-a=$work/$before/edge-a$suffix" --profile "edge-b=$work/$before/edge-b$suffix"
    done
    after=pass$pass
    for kind in edge-a edge-b; do
        # Two plans may fill a server alike: the second of such runs is left out, which is exit code 3.
        "$neuro" ingest "$work/$kind" "$work"/planned* --out "$work/all-$kind" || [ $? = 3 ]
        for monotone in "" "--monotone"; do
            # shellcheck disable=SC2086
            "$neuro" train "$work/all-$kind" --server "$kind" --all-kinds --steps $((2 * steps)) --decay $decay $monotone \
                --name "$kind${monotone:+-monotone}" --out "$work/$after/$kind${monotone:+-monotone}"
        done
    done
    before=$after
done

# What has seen random runs alone predicts those best; what is placed by should have seen placements, and no way round its weights.
mkdir -p "$work/bundles"
cp -r "$work"/first/* "$work/bundles/"
for kind in edge-a edge-b; do
    "$neuro" train "$work/all-$kind" --server "$kind" --all-kinds --steps $((2 * steps)) --decay $decay --monotone \
        --name "$kind-planned" --out "$work/bundles/$kind-planned"
done

# The rivals: the published network, on logarithms, since the published recipe may collapse, and the curves.
for kind in edge-a edge-b; do
    "$neuro" data datapoints "$work/$kind/dataset" --set reference
    "$neuro" train "$work/$kind/dataset" --arch paper --log-space --name "$kind-paper" --out "$work/bundles/$kind-paper"
    # The curves of scaloran serve scaloran-cons too.
    for arch in perx scaloran; do
        "$neuro" train "$work/$kind-pairs/dataset" --arch $arch --name "$kind-$arch" --out "$work/bundles/$kind-$arch"
    done
done
