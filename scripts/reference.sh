#!/usr/bin/env bash
# Repeats the recorded studies of outputs/reference/ into outputs/: hours on a CPU, and the one that takes a GPU where there is one.
#
#   scripts/reference.sh                                            on CIFAR-10 itself
#   scripts/reference.sh data=image_folder data.root=DIR            on a folder of images, as they were recorded
set -euo pipefail
cd "$(dirname "$0")/.."
exp=${RESNET_EXP:-.venv/bin/resnet-exp}
run=("$exp" -m hydra/launcher=parallel)
images=("${@:-data=cifar10}")

# The paper's recipe, where there is a GPU: eleven minutes of an H200 that NVIDIA's MPS shares among the four runs.
if command -v nvidia-smi > /dev/null; then
    "${run[@]}" "${images[@]}" experiment=degradation depth=20,56 hydra.launcher.n_jobs=4 threads=2 compile=false
fi

# Both halves of the claim on a CPU, with two more seeds of 20 and 56 layers; about seven hours on two cores with native
# bf16. Then every question to its nets.
"${run[@]}" "${images[@]}" experiment=both_halves
"${run[@]}" "${images[@]}" experiment=both_halves depth=20,56 seed=3,4
"$exp" task=diagnose from=outputs/both_halves

# On generated images: error against depth; the deeper net that is made to do as well.
"${run[@]}" experiment=depths
"${run[@]}" experiment=grow
# Without BN: plain and residual nets, then residual ones whose blocks start as their shortcuts, and how their gradients are.
"${run[@]}" experiment=no_norm
"${run[@]}" experiment=no_norm model=resnet zero_init=false,true
"$exp" task=diagnose from=outputs/no_norm what=gradients
# Does weight decay shrink residual branches? The runs, then the question.
"${run[@]}" experiment=weight_decay
"$exp" task=diagnose from=outputs/weight_decay what=branches

# The six nets of the paper's figure at full size; a hundredth of its 64,000 steps, schedule scaled along. With the border and
# the precision that were usual on a CPU when they were recorded.
run+=(device=cpu threads=1)
"${run[@]}" "${images[@]}" data.border=black amp=off study=cpu-600 model=plain,resnet depth=20,56,110 \
    data.test_limit=2000 optim.lr=0.04 train.steps=600 train.eval_every=50 train.save_every=100 optim.milestones=[300,450] optim.warmup_steps=4
