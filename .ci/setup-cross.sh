#!/usr/bin/env bash
# Installs what other targets need: a Rust library for each, a linker, emulators. For Debian and its relatives, as root;
# safe to run again, quick when nothing is missing.
#
#   setup-cross.sh [--aarch64] [--cortexm] [--riscv]      (without arguments: all three)
#
#   --aarch64   aarch64-unknown-linux-gnu with std, cross gcc, qemu-aarch64
#   --cortexm   thumbv7em-none-eabihf and thumbv8m.main-none-eabihf (core, alloc), qemu-system-arm
#   --riscv     riscv32imac-unknown-none-elf (core, alloc), qemu-system-riscv32
#
# A target's library comes from rustup where rustup has it. Where it cannot be had there, Debian's own compiler
# (package rustc-web) becomes the toolchain `debian`, with std for aarch64 from Debian's arm64 package of the same
# version and core and alloc for bare metal built once from its library source. Scripts ask `.ci/cross.sh` which
# toolchain has a target. The exit status is 1 and the last lines say so if something asked for is still missing.
set -uo pipefail
cd "$(dirname "$0")"
. ./cross.sh

aarch64=0 cortexm=0 riscv=0
[ $# -gt 0 ] || set -- --aarch64 --cortexm --riscv
for arg; do
  case $arg in
    --aarch64) aarch64=1 ;;
    --cortexm) cortexm=1 ;;
    --riscv) riscv=1 ;;
    *) echo "unknown argument $arg; see the head of $0" >&2; exit 2 ;;
  esac
done

say() { printf '[%3ds] %s\n' $SECONDS "$*"; }

hosted=() bare=() packages=() programs=()
if [ $aarch64 = 1 ]; then
  hosted+=(aarch64-unknown-linux-gnu)
  packages+=(gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
  programs+=(aarch64-linux-gnu-gcc qemu-aarch64)
fi
if [ $cortexm = 1 ]; then
  bare+=(thumbv7em-none-eabihf thumbv8m.main-none-eabihf)
  packages+=(qemu-system-arm)
  programs+=(qemu-system-arm)
fi
if [ $riscv = 1 ]; then
  bare+=(riscv32imac-unknown-none-elf)
  packages+=(qemu-system-misc)
  programs+=(qemu-system-riscv32)
fi

listed=0
# Installs the packages that are missing.
packages() {
  local package missing=() log
  for package; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    say "not installed, and only root can with apt-get: ${missing[*]}"
    return 1
  fi
  log=$(mktemp)
  [ $listed = 1 ] || { apt-get -qq update >>"$log" 2>&1 && listed=1; }
  say "apt-get install ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 \
    || { tail -n 20 "$log" >&2; rm "$log"; return 1; }
  rm "$log"
}

# The targets of "$@" that no toolchain has yet, in `lacking`.
lacking() {
  local target
  lacking=()
  for target; do has_cross "$target" || lacking+=("$target"); done
}

# What the toolchain `debian` is made of. The linker of bare targets is the one of the default toolchain.
debian_toolchain() {
  local lld host bin
  packages rustc-web cargo-web gcc || return 1
  rustup toolchain link debian /usr || return 1
  host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
  lld=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
  bin=/usr/lib/rustlib/$host/bin
  if [ -x "$lld" ] && [ ! -e "$bin/rust-lld" ]; then
    mkdir -p "$bin" && ln -sfn "$lld" "$bin/rust-lld"
  fi
}

# std for aarch64: the package of the same version for that architecture, unpacked. It is fetched with package lists of
# its own, so that the system stays one of a single architecture.
debian_std() {
  local target=$1 version host dir apt
  version=$(dpkg-query -W -f='${Version}' libstd-rust-web-dev) || return 1
  host=$(dpkg --print-architecture)
  dir=$(mktemp -d) && chmod 755 "$dir" && mkdir -p "$dir"/{lists,cache/archives}/partial || return 1
  apt=(-o "APT::Architectures::=$host" -o APT::Architectures::=arm64 -o "Dir::State::lists=$dir/lists"
    -o "Dir::Cache=$dir/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root)
  # Sources other than the distribution's may have no arm64.
  if [ -e /etc/apt/sources.list.d/debian.sources ]; then
    apt+=(-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/debian.sources -o Dir::Etc::sourceparts=-)
  fi
  say "$target from libstd-rust-web-dev:arm64 $version"
  (cd "$dir" && apt-get -qq "${apt[@]}" update && apt-get -qq "${apt[@]}" download "libstd-rust-web-dev:arm64=$version" \
    && dpkg-deb -x libstd-rust-web-dev_*arm64.deb x) \
    && rm -rf "/usr/lib/rustlib/$target" && mv "$dir/x/usr/lib/rustlib/$target" /usr/lib/rustlib/
  local status=$?
  rm -rf "$dir"
  return $status
}

# core and alloc for targets without an operating system, from the compiler's own library source.
debian_core() {
  local dir target targets=() status
  packages rust-web-src || return 1
  dir=$(mktemp -d) && mkdir "$dir/src" || return 1
  printf '%s\n' '[package]' 'name = "empty"' 'version = "0.0.0"' 'edition = "2021"' '[profile.release]' 'panic = "abort"' \
    '[workspace]' >"$dir/Cargo.toml"
  echo '#![no_std]' >"$dir/src/lib.rs"
  for target; do targets+=(--target "$target"); done
  say "core and alloc: $*"
  # The library is part of the compiler and may use what only it may: hence the bootstrap variable, here and nowhere else.
  (cd "$dir" && env -u RUSTFLAGS -u CARGO_TARGET_DIR RUSTC_BOOTSTRAP=1 cargo +debian build -q --release --offline \
    "${targets[@]}" -Zbuild-std=core,alloc --config 'source.crates-io.replace-with="vendored"' \
    --config 'source.vendored.directory="/usr/lib/rustlib/src/rust/library/vendor"')
  status=$?
  for target; do
    [ $status = 0 ] || break
    rm -rf "/usr/lib/rustlib/$target" && mkdir -p "/usr/lib/rustlib/$target/lib" \
      && cp "$dir/target/$target"/release/deps/lib{core,alloc,compiler_builtins}-*.rlib "/usr/lib/rustlib/$target/lib/" \
      || status=1
  done
  rm -rf "$dir"
  return $status
}

packages "${packages[@]}" || say "some packages are missing"
# A library built for a compiler that has since been upgraded is of no use.
version=$(/usr/bin/rustc -vV 2>/dev/null | sed -n 's/^commit-hash: //p')
for target in ${hosted[@]+"${hosted[@]}"} ${bare[@]+"${bare[@]}"}; do
  stamp=/usr/lib/rustlib/$target/.built-for
  if [ -e "$stamp" ] && [ "$(cat "$stamp")" != "$version" ]; then rm -r "/usr/lib/rustlib/$target"; fi
done

lacking ${hosted[@]+"${hosted[@]}"} ${bare[@]+"${bare[@]}"}
if [ ${#lacking[@]} -gt 0 ] && command -v rustup >/dev/null; then
  for target in "${lacking[@]}"; do
    timeout 300 rustup target add "$target" >/dev/null 2>&1 && say "$target from rustup"
  done
  lacking "${lacking[@]}"
  if [ ${#lacking[@]} -gt 0 ]; then
    say "rustup has no ${lacking[*]}: Debian's compiler instead"
    wanted=("${lacking[@]}")
    if debian_toolchain; then
      lacking ${hosted[@]+"${hosted[@]}"}
      for target in ${lacking[@]+"${lacking[@]}"}; do debian_std "$target"; done
      lacking ${bare[@]+"${bare[@]}"}
      [ ${#lacking[@]} = 0 ] || debian_core "${lacking[@]}"
      version=$(/usr/bin/rustc -vV | sed -n 's/^commit-hash: //p')
      for target in "${wanted[@]}"; do
        [ ! -d "/usr/lib/rustlib/$target" ] || echo "$version" >"/usr/lib/rustlib/$target/.built-for"
      done
    fi
  fi
fi

missing=()
for target in ${hosted[@]+"${hosted[@]}"} ${bare[@]+"${bare[@]}"}; do
  if toolchain=$(cross_toolchain "$target"); then
    say "$target: cargo${toolchain:+ $toolchain}"
  else
    missing+=("$target")
  fi
done
for program in ${programs[@]+"${programs[@]}"}; do command -v "$program" >/dev/null || missing+=("$program"); done
if [ ${#missing[@]} -gt 0 ]; then
  say "STILL MISSING: ${missing[*]}"
  exit 1
fi
say "complete"
