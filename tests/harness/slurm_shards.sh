#!/usr/bin/env bash
# Ten shards under Slurm, two killed and run again, one run twice, merged by a job that waits for them.
#   slurm_shards.sh ASSAY SCRIPTS FOLDER
set -euo pipefail

export ASSAY=$1
scripts=$2
folder=$3
arguments=(--model builtin --tasks arithmetic:64 --threads 1 --batch-size 8)
cd "$folder"
"$scripts/slurm/submit" 10 r "${arguments[@]}" >submitted
job=$(grep -oP 'shards: job \K\d+' submitted)

# Two are killed once they have stored something.
for task in 3 8; do
  stored=r/shard-$(printf %02d "$task")-of-10/run.sqlite-wal
  for _ in $(seq 1000); do
    if [ "$(stat -c %s "$stored" 2>/dev/null || echo 0)" -gt 100000 ]; then break; fi
    sleep 0.01
  done
  scancel --signal=KILL --full "${job}_$task"
done
# Slurm puts them back into the queue, for two minutes from now: too long for a test; but within the second of
# the killing the node still takes the job for the one it revoked.
for task in 3 8; do
  for _ in $(seq 300); do
    state=$(squeue -h -t all -j "${job}_$task" -o %T 2>/dev/null || true)
    case "$state" in
      FAILED | CANCELLED) scontrol requeue "${job}_$task" || true ;;
      PENDING) scontrol update "jobid=${job}_$task" StartTime=now+3 && break ;;
      COMPLETED) break ;;
    esac
    sleep 0.1
  done
  echo "shard $task: $state" >>killed
done
for _ in $(seq 600); do
  [ -z "$(squeue -h -t PD,R,CG,CF,RQ)" ] && break
  sleep 0.2
done
# One shard a second time, by hand; it has nothing to do.
"$ASSAY" run "${arguments[@]}" -o r --shard 5/10
"$ASSAY" run "${arguments[@]}" -o single >/dev/null
"$ASSAY" export r >merged.jsonl
"$ASSAY" export single >single.jsonl
cmp merged.jsonl single.jsonl
cat killed

# One job with a task a shard, which merges at its end.
sbatch --wait --ntasks=3 --output=tasks.log "$scripts/slurm/tasks.sbatch" t --model builtin --tasks arithmetic:2
"$ASSAY" export t | wc -l
