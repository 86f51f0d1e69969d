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

# Placements of instances that no evaluation uses, of every scenario and of several tightnesses, by both profilers.
seed=1000
for round in $(seq 1 "${ROUNDS:-8}"); do
    for scenario in s1 s2 s3; do
        for tightness in 0.6 1 1.6; do
            for suffix in "" "-monotone"; do
                seed=$((seed + 1))
                out="$work/placed/$seed"
                [ -d "$out" ] && continue
                mkdir -p "$work/placed"
                "$neuro" requests --scenario $scenario --servers 10 --tightness $tightness --seed $seed --out "$work/instance.json"
                "$neuro" solve --instance "$work/instance.json" --method lns --time-limit 2s --seed $seed \
                    --profile "edge-a=$work/first/edge-a$suffix" --profile "edge-b=$work/first/edge-b$suffix" \
                    --out "$work/plan.json" > "$work/solve.log"
                "$neuro" replay --plan "$work/plan.json" --instance "$work/instance.json" --seed $seed --out "$out" > "$work/replay.log" || true
            done
        done
    done
done

for kind in edge-a edge-b; do
    "$neuro" ingest "$work/$kind" "$work/placed" --out "$work/all-$kind"
    for monotone in "" "--monotone"; do
        # shellcheck disable=SC2086
        "$neuro" train "$work/all-$kind" --server "$kind" --all-kinds --steps $((2 * steps)) --decay $decay $monotone \
            --name "$kind${monotone:+-monotone}" --out "$work/bundles/$kind${monotone:+-monotone}"
    done
    # The rivals: the published network as published, and the curves.
    "$neuro" train "$work/$kind/dataset" --arch paper --name "$kind-paper" --out "$work/bundles/$kind-paper"
    for arch in perx scaloran scaloran-cons; do
        "$neuro" train "$work/$kind-pairs/dataset" --arch $arch --name "$kind-$arch" --out "$work/bundles/$kind-$arch"
    done
done
