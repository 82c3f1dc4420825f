# Cross compilation and emulation, for scripts to source. `.ci/setup-cross.sh` installs what this looks for.
#
#   cross_cargo TARGET ARGS..   cargo with the toolchain that has the target's library
#   has_cross TARGET            whether there is one

# The toolchain argument for TARGET: empty for the default toolchain. Fails where no toolchain has its core library.
cross_toolchain() {
  local toolchain dir
  for toolchain in "" +debian; do
    dir=$(rustc $toolchain --print target-libdir --target "$1" 2>/dev/null) || continue
    if compgen -G "$dir/libcore-*.rlib" >/dev/null; then
      echo "$toolchain"
      return 0
    fi
  done
  return 1
}

has_cross() { cross_toolchain "$1" >/dev/null; }

# The library of one compiler fits no other: each toolchain has its own folder for what it builds.
cross_cargo() {
  local target=$1 toolchain
  shift
  toolchain=$(cross_toolchain "$target") || { echo "no toolchain has $target; run .ci/setup-cross.sh" >&2; return 1; }
  CARGO_TARGET_DIR=${CROSS_TARGET_DIR:-${CARGO_TARGET_DIR:-target}/cross} \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=${CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER:-aarch64-linux-gnu-gcc} \
    cargo $toolchain "$@" --target "$target"
}

# Runs an aarch64 program on an emulated processor: "${emulator[@]}" CPU PROGRAM ARGS..
emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu)
