#!/usr/bin/env bash
# Everything that a GPU is needed for, in one call of at most ten minutes: goldens on CUDA, a short training of the
# miniature beside the CPU's, the memory that is predicted, then the bench beside PyTorch on the same GPU.
#
#   benches/cuda/all.sh [OUT]        OUT: folder for what it finds (benches/results/cuda)
#
# The machine needs a GPU with driver 580 or newer and a Python whose environment holds PyTorch for CUDA 13, whose wheels
# bring cuDNN and NVRTC. It needs neither Rust nor a network: bring this repository with target/release/ffn built elsewhere.
# FFN names another binary, PYTHON another Python, CLIPS the clips of a training step.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:-benches/results/cuda}
ffn=${FFN:-target/release/ffn}
python=${PYTHON:-python3}
clips=${CLIPS:-32}
# The wheels beside this PyTorch, wherever its environment is.
FFN_CUDA_LIBRARIES=${FFN_CUDA_LIBRARIES:-$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])')}
export FFN_CUDA_LIBRARIES
mkdir -p "$out"
failed=()

# Runs a command, keeps what it says in a file, and goes on when it fails.
step() {
  local name=$1
  shift
  printf '\n== %s (%s s)\n' "$name" "$SECONDS"
  "$@" 2>&1 | tee "$out/$name.txt" || failed+=("$name")
}

step devices "$ffn" devices
"$ffn" devices --json > "$out/devices.json"
for engine in compiled compiled-bf16; do
  step "goldens-$engine" "$ffn" golden verify golden/*_train golden/*_eval --device cuda:0 --engine "$engine"
done
step why "$ffn" why experiments/ffn_tsm_miniature.ron experiments/ffn_tsm_miniature.ron --device-b cuda:0

# The first seconds of a training; the curves agree as long as float32's last bits do not matter.
train() {
  local device=$1 status=0
  "$ffn" run experiments/ffn_tsm_miniature.ron --device "$device" --out "$out/runs-${device%:*}" --max-minutes 0.3 || status=$?
  [ "$status" -eq 75 ] || return "$status"  # Stopped on request.
}
for device in cpu cuda:0; do
  step "train-${device%:*}" train "$device"
done
step curves "$python" benches/cuda/curves.py "$out/runs-cpu" "$out/runs-cuda"

step memory "$python" benches/cuda/memory.py "$ffn" experiments/ffn_tsm_sthv2.ron

# The clips of `compare.py data`, if they were brought: whether the loader keeps up with the GPU.
if [ -d target/benches/clips ]; then
  step loader "$ffn" bench data target/benches/clips/loader.ron --data-root target/benches/clips --steps 6 --workers "$(nproc)"
else
  printf '\n== loader: left out, there is no target/benches/clips\n'
fi

# Compilation last, because it takes longest; what came before is kept.
compare() {
  local limit=$1
  shift
  "$python" benches/compare.py "$@" --limit "$limit" --ffn "$ffn" --clips "$clips" --repeats 10 --threads "$(nproc)" --out "$out"
}
step bench-train compare 60 cuda_train --rounds 1
step bench-eval compare 60 cuda_eval --rounds 1
step profile "$ffn" bench train experiments/ffn_tsm_sthv2.ron --device cuda:0 --batch "$clips" --profile
step algorithms timeout 60 "$ffn" bench algorithms experiments/ffn_tsm_sthv2.ron --device cuda:0 --batch "$clips"
step bench-compiled compare 150 cuda_train_compiled --rounds 1

printf '\nfailed: %s\n' "${failed[*]:-nothing}"
[ "${#failed[@]}" -eq 0 ]
