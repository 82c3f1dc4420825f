# An emulated board: how to build for it and run on it. For scripts to source, after .ci/cross.sh.
#
#   board NAME              chooses one of "${all_boards[@]}"; status 3 where no toolchain has its target
#   build PROGRAM FEATURE   builds a program by the profile $profile (release), FEATURE may be empty; QUIESCENT_BAKED names its model
#   emulate PROGRAM         runs it until it exits, its text on standard output
#   "${machine[@]}"         the emulator, without serial port and program; "$(image PROGRAM)" is the latter
all_boards=(an386 an500 an505 an547)
cortex_m=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

board() {
  local model
  case $1 in
    an386) target=thumbv7em-none-eabihf model=mps2-an386 cpu=cortex-m4 features=dsp ;;
    an500) target=thumbv7em-none-eabihf model=mps2-an500 cpu=cortex-m7 features=dsp ;;
    an505) target=thumbv8m.main-none-eabihf model=mps2-an505 cpu=cortex-m33 features=dsp ;;
    an547) target=thumbv8m.main-none-eabihf model=mps3-an547 cpu=cortex-m55 features=mve ;;
    *) echo "unknown board $1; there are: ${all_boards[*]}" >&2; exit 2 ;;
  esac
  machine=(qemu-system-arm -M $model -display none -monitor none -icount shift=6 -semihosting-config enable=on,target=native)
  export QUIESCENT_BOARD=$1
  if ! toolchain=$(cross_toolchain $target); then
    printf 'NOT RUN: %s (%s): no toolchain has the target %s; .ci/setup-cross.sh --cortexm installs it\n' "$1" $cpu $target
    return 3
  fi
}

# The library of one board fits no other.
target_dir() { echo "$cortex_m/target/$QUIESCENT_BOARD"; }

build() {
  (cd "$cortex_m" && RUSTFLAGS=-Ctarget-cpu=$cpu CARGO_TARGET_DIR=$(target_dir) \
    cargo $toolchain build --profile ${profile:-release} -q --target $target --features "$features ${2:-}" --bin "$1")
}

image() { echo "$(target_dir)/$target/${profile:-release}/$1"; }

emulate() { timeout 600 "${machine[@]}" -serial none -kernel "$(image "$1")" 2>&1; }
