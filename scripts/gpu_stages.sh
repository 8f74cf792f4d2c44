# The stages of scripts/gpu.sh, which sources this: what runs, for how long, and how a stage's end is
# kept. A stage leaves NAME.stage (status, seconds, command, note: see tools/gpu_stages.c), NAME.out
# (its results) and NAME.log; status 77 means left out, 130 interrupted.

# The first device that is a GPU; --device and IQT_SIM say otherwise.
choose_device()
{
    local devices

    devices=$("$program" devices) || die "$program devices failed"
    if [ -z "$device" ]; then
        device=$(awk -v sim="${IQT_SIM:-}" '
            /^[a-z]+:[0-9]/ { spec = $1 }
            / features:/ && spec !~ /^cpu/ && (sim != "" ? / simulated/ : !/ software/) {
                print spec; exit }' <<<"$devices")
        [ -n "$device" ] || die "no GPU here:
$devices
IQT_SIM=cuda simulates one; --device vulkan:0 takes a software driver, labelled as such"
    fi
    case "$device" in *:*) ;; *) device=$device:0 ;; esac
    grep -q "^$device " <<<"$devices" || die "unknown device $device; the devices are
$devices"
    "$program" devices --json >"$out/devices.json"
    features=$(awk -v spec="$device" '$1 == spec { on = 1 } on && / features:/ { print; exit }' <<<"$devices")
    arch=$(awk -v spec="$device" '$1 == spec { on = 1 } on && / arch / { print $NF; exit }' <<<"$devices")
}

# How much is measured, and how many seconds each stage may be expected to take. Devices that run on
# the CPU get shapes that they can finish.
choose_amount()
{
    local formats=18 shapes

    tune_s=240 case_s=0.1 check_s=60
    case "$mode" in
        quick) tune_s=30 case_s=0.02 n=${n:-1,4} check_s=20 ;;
        all) tune_s=1800 shape=${shape:-4096x4096,14336x4096,4096x14336,32768x4096} ;;
    esac
    : "${n:=1,2,4,8,16}" "${shape:=14336x4096}"
    case "$features" in
        *simulated*) [ "$shape" != 14336x4096 ] || shape=16x1024 ;;
        *software*) [ "$shape" != 14336x4096 ] || shape=512x2048 ;;
    esac
    case "$features" in
        *simulated* | *software*) [ "$mode" = all ] || case_s=0.001 ;;
    esac
    [ -z "$format" ] || { formats=1; tune_s=$((tune_s / 10 + 2)); }
    shapes=$(tr , '\n' <<<"$shape" | wc -l)
    bench_s=$((formats * shapes * $(tr , '\n' <<<"$n" | wc -l) * 4 / 10 + 5))
    stats_s=$((bench_s * 2))
}

# "Name: value" lines about the run; the report shows them all.
write_facts()
{
    {
        echo "device: $device"
        echo "Date: $(date -u '+%Y-%m-%d %H:%M UTC')"
        echo "Command: ${IQT_SIM:+IQT_SIM=$IQT_SIM }scripts/gpu.sh --device $device ($mode)"
        echo "Commit: $(git rev-parse --short=12 HEAD 2>/dev/null || cat commit 2>/dev/null || echo unknown)"
        echo "Host: $(uname -srm), $(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores"
        # A simulated or software device is none of these cards.
        case "$features" in *simulated* | *software*) return ;; esac
        if command -v nvidia-smi >/dev/null; then
            echo "nvidia-smi: $(nvidia-smi --format=csv,noheader \
                --query-gpu=index,name,driver_version,clocks.sm,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current |
                tr '\n' ';')"
        fi
        command -v rocm-smi >/dev/null &&
            echo "rocm-smi: $(rocm-smi --showproductname --showdriverversion --showclocks 2>/dev/null |
                grep -v '^[=]*$' | tr -s ' \n' ' ')"
        command -v nvcc >/dev/null && echo "nvcc: $(nvcc --version | tail -1)"
        command -v cc >/dev/null && echo "cc: $(cc --version | head -1)"
        true
    } >"$out/run.txt"
}

# ---- One stage ----

record() # NAME STATUS SECONDS COMMAND NOTE
{
    printf 'status: %s\nseconds: %s\ncommand: %s\nprogram: %s\nnote: %s\n' \
        "$2" "$3" "$4" "$identity" "$5" >"$out/$1.stage.part"
    mv "$out/$1.stage.part" "$out/$1.stage"
}

# Whether the stage succeeded before, with the same program and the same words.
is_done() # NAME COMMAND
{
    [ -r "$out/$1.stage" ] && [ -r "$out/$1.out" ] &&
        grep -qx 'status: 0' "$out/$1.stage" &&
        grep -qFx "command: $2" "$out/$1.stage" &&
        grep -qFx "program: $identity" "$out/$1.stage"
}

# stage NAME EXPECTED_SECONDS COMMAND...: @OUT@ in the command is the file of its results; a command
# without it prints them.
stage()
{
    local name=$1 seconds=$2 start=$SECONDS status=0 word words=() part text note=
    shift 2
    part=$out/$name.out.part
    number=$((number + 1))
    text="${IQT_SIM:+IQT_SIM=$IQT_SIM }$(basename "$1") ${*:2}"
    if is_done "$name" "$text"; then
        say "$number of $count, $name: finished before"
        expected=$((expected - seconds))
        return 0
    fi
    say "$number of $count, $name: about $((expected - expected_done)) s left in all"
    for word in "$@"; do
        words+=("${word/@OUT@/$part}")
    done
    running=$name running_text=$text running_start=$start
    rm -f "$part" "$out/$name.out" "$out/$name.stage" "$out/fifo"
    mkfifo "$out/fifo"
    tee "$out/$name.log" <"$out/fifo" >&2 &
    tee_pid=$!
    if [[ "$*" == *@OUT@* ]]; then
        "${words[@]}" >"$out/fifo" 2>&1 &
    else
        "${words[@]}" >"$part" 2>"$out/fifo" &
    fi
    stage_pid=$!
    wait "$stage_pid" || status=$?
    wait "$tee_pid" || true
    stage_pid=
    rm -f "$out/fifo"
    [ ! -e "$part" ] || mv "$part" "$out/$name.out"
    [ "$status" = 0 ] || note=$(grep -v '^ *$' "$out/$name.log" | tail -1 | cut -c 1-400) || true
    [ "$status" = 0 ] || [ -n "$note" ] || note=$(tail -1 "$out/$name.out" 2>/dev/null | cut -c 1-400)
    record "$name" "$status" $((SECONDS - start)) "$text" "$note"
    expected_done=$((expected_done + seconds))
    running=
    [ "$status" = 0 ] || say "$name: exit status $status"
}

left_out() # NAME SECONDS WHY
{
    number=$((number + 1))
    expected=$((expected - $2))
    rm -f "$out/$1.out"
    record "$1" 77 0 "" "$3"
    say "$number of $count, $1: left out: $3"
}

merge()
{
    "$program" gpu-report "$out"
}

on_interrupt()
{
    trap '' INT TERM
    if [ -n "${stage_pid:-}" ]; then
        kill -TERM "$stage_pid" 2>/dev/null || true
        wait "$stage_pid" 2>/dev/null || true
    fi
    [ -z "${running:-}" ] || { rm -f "$out/$running.out.part" "$out/fifo"
        record "$running" 130 $((SECONDS - running_start)) "$running_text" "interrupted"; }
    say "interrupted; the same command goes on from here"
    merge || true
    exit 130
}

# ---- All stages ----

# The program's slots of every plan that ran: first the default plans, then those the tuner chose.
count_slots()
{
    local columns plan counted= status=0

    for columns in ${n//,/ }; do
        counted+=$("$program" stats --target "$target" --format "${format:-all}" --n "$columns" --csv)$'\n' ||
            status=1
    done
    printf '%s' "$counted"
    for plan in $("$program" gpu-report "$1" --plans); do
        [[ $counted == *",$plan,"* ]] ||
            "$program" stats --target "$target" --plan "$plan" --csv || status=1
    done
    return $status
}

# What `iqtile stats` can count for this device; why not, if nothing.
run_stats()
{
    [ -n "$target" ] || case "$arch" in sm_* | gfx*) target=$arch ;; esac
    if ! "$program" stats --help >/dev/null 2>&1; then
        left_out stats "$stats_s" "this iqtile has no command stats"
    elif [ -z "$target" ]; then
        left_out stats "$stats_s" "no target known for $arch; --target names one"
    elif ! "$program" stats --target "$target" --format iq4_ks --n 1 --csv >/dev/null 2>"$out/stats.log"; then
        left_out stats "$stats_s" "iqtile stats --target $target: $(tail -1 "$out/stats.log" | cut -c 1-400)"
    else
        stage stats "$stats_s" count_slots "$out"
    fi
}

run_stages()
{
    local common=(--device "$device" ${format:+--format "$format"}) quick=() checks=()
    local what=(${model:+"$model"} ${shape:+--shape "$shape"} --n "$n")

    [ -z "$model" ] || what=("$model" --n "$n")
    [ "$mode" != quick ] || { quick=(--n 1) checks=(--n 1 --plans default); }
    number=0 count=6 expected=$((2 * check_s + tune_s + 2 * bench_s + stats_s)) expected_done=0 SECONDS=0
    identity=$("$program" --version)-$(sha256sum "$program" | cut -c 1-16)
    stage check "$check_s" "$program" check "${common[@]}" "${checks[@]}"
    stage golden "$check_s" "$program" golden tests/golden "${common[@]}" "${quick[@]}"
    stage tune "$tune_s" "$program" tune "${common[@]}" "${what[@]}" --budget "$tune_s" --json
    for layout in native packed; do
        stage "bench-$layout" "$bench_s" "$program" bench "${common[@]}" "${what[@]}" \
            --layout "$layout" --min-time "$case_s" --json @OUT@
    done
    run_stats
}
