#!/usr/bin/env bash
# All that the kernels for GPUs owe a machine with one: tests, the same under compute-sanitizer, speed beside
# torchvision. Needs nvcc, NumPy, pytest and PyTorch with torchvision; TensorFlow is not used.
#
#     scripts/benchmarks/gpu_session.sh FOLDER                         every step, a log of each in FOLDER
#     scripts/benchmarks/gpu_session.sh FOLDER tests benchmark         some; "tests benchmark", "memcheck racecheck"
#                                                                      and "synccheck initcheck" take less than ten
#                                                                      minutes each
#
# A step that fails does not keep the others from running; the exit code says whether one did.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
folder=${1:-gpu_session}
chosen=" ${*:2} "
python=${PYTHON:-python3}
mkdir -p "$folder"
export CASCADE_TF_GPU=1  # a test that finds no GPU fails
export PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin"
failed=0

# Arguments: name of the step, longest time in seconds, command.
step() {
    local name=$1 seconds=$2
    shift 2
    [[ "$chosen" == "  " || "$chosen" == *" $name "* ]] || return
    echo "== $name"
    timeout "$seconds" "$@" >"$folder/$name.log" 2>&1
    local code=$?
    tail -n 3 "$folder/$name.log"
    if [ "$code" -ne 0 ]; then
        echo "-- $name ended with $code"
        failed=1
    fi
}

tests=(-m pytest -c /dev/null --rootdir . --confcutdir tests/device --import-mode importlib -p no:cacheprovider -q
       tests/device -k "gpu")

step machine 20 nvidia-smi
step compile 180 "$python" -c "from scripts.benchmarks import launchers; print(launchers.compile_launchers(host=False))"
step tests 120 "$python" "${tests[@]}"
step benchmark 240 "$python" -m scripts.benchmarks.gpu_ops --json "$folder/gpu_ops.json"
# The sanitizer slows threads down a hundredfold: all kernels, without the cases of most channels and cells. Each array has an
# allocation of its own, since inside of the large ones that PyTorch keeps no address is out of bounds; and what is
# to be written begins unwritten.
export PYTORCH_NO_CUDA_MEMORY_CACHING=1 CASCADE_TF_UNWRITTEN=1
for tool in memcheck racecheck synccheck initcheck; do
    options=(--tool "$tool" --error-exitcode 1)
    # PyTorch makes calls that fail, and handles that; launch errors of the kernels fail the tests.
    [ "$tool" = memcheck ] && options+=(--report-api-errors no)
    step "$tool" 280 compute-sanitizer "${options[@]}" "$python" "${tests[@]}" -k "gpu and not 136 and not 31"
done
exit "$failed"
