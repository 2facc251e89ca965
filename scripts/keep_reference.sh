#!/usr/bin/env bash
# Copies a finished study of outputs/ to outputs/reference/, without checkpoints, events and logs, and draws its report there.
#
#   scripts/keep_reference.sh both_halves
set -euo pipefail
cd "$(dirname "$0")/.."
study=$1
for folder in outputs/"$study"/*/seed*/; do
    kept=outputs/reference/${folder#outputs/}
    mkdir -p "$kept"
    cp "$folder"/{config.yaml,metrics.csv,summary.json} "$kept"
    if [ -d "$folder/diagnostics" ]; then cp -r "$folder/diagnostics" "$kept"; fi
done
.venv/bin/resnet-exp-report outputs/reference/"$study" > /dev/null
