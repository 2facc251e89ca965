#!/bin/bash
# One run, or one sweep in turn, as a Slurm job that goes back into the queue until it is complete:
#
#     sbatch --partition=gpu --gres=gpu:1 scripts/slurm.sh model=plain110
#
#SBATCH --job-name=resnet-exp
#SBATCH --time=60
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

stopped=143 # what resnet-exp exits with after SIGTERM, its state saved

srun resnet-exp "$@"
code=$?
if [ $code -eq $stopped ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
