#!/usr/bin/env bash
# All that the kernels for GPUs owe a machine with one: tests, the same under compute-sanitizer, speed beside
# torchvision. Needs nvcc, NumPy, pytest and PyTorch with torchvision; TensorFlow is not used.
#
#     scripts/benchmarks/gpu_session.sh FOLDER                         every step, a log of each in FOLDER
#     scripts/benchmarks/gpu_session.sh FOLDER tests benchmark         some; "tests benchmark" and "memcheck
#                                                                      racecheck" take less than ten minutes each
#
# A step that fails does not keep the others from running; the exit code says whether one did.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
folder=${1:-gpu_session}
chosen=" ${*:2} "
python=${PYTHON:-python3}
mkdir -p "$folder"
export CASCADE_TF_GPU=1  # a test that finds no GPU fails
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
step benchmark 150 "$python" -m scripts.benchmarks.gpu_ops --json "$folder/gpu_ops.json"
# The small cases of every kernel: the sanitizer slows threads down a hundredfold.
small='gpu and not more_ and not 136'
for tool in memcheck racecheck; do
    step "$tool" 180 compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" "${tests[@]}" -k "$small"
done
exit "$failed"
