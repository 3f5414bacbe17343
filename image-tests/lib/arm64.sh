# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034 # who sources this uses what it sets
# The arm64 processors on which the image is tested, emulated by QEMU.
#
# newest       everything that QEMU can emulate; pointer authentication uses QEMU's own algorithm, because the standard
# one
#              would take most of the time
# cortex-a72   a server of 2016
# cortex-a76   a Raspberry Pi 5, whose kernel has pages of 16 KiB
# without-aes  a Raspberry Pi 4: a cortex-a72 without the instructions for AES and SHA-256

# QEMU has no option to remove these instructions. So this makes a copy of QEMU with another value for the register that
# lists the instructions of a Cortex-A53, A57 and A72. It looks for the machine code of Debian 13's build. Other builds
# may differ; if the code is not found, the exit status is 3.
weaken() { # QEMU COPY
    python3 - "$1" "$2" <<'PYTHON'
import re, sys
old, new = (number.to_bytes(4, "little") for number in (0x00011120, 0x00010000))
code, count = re.subn(rb"(\x48\xc7[\x80-\x87].{4})" + old, lambda found: found[1] + new, open(sys.argv[1], "rb").read(), flags=re.DOTALL)
if count != 3:
    sys.exit(3)
with open(sys.argv[2], "wb") as copy:
    copy.write(code)
PYTHON
}

# Sets $emulator, the QEMU command with the machine, and $flavour, the kernel to boot. If this tools tree cannot emulate
# the processor, it fails and sets $unable to the reason.
choose_processor() { # PROCESSOR FOLDER: keeps the copy of QEMU in FOLDER
    local program=qemu-system-aarch64 model=$1
    unable='' flavour=cloud-arm64
    case $1 in
        newest) model=max,pauth-impdef=on ;;
        cortex-a72) ;;
        cortex-a76) flavour=arm64-16k ;;
        without-aes)
            model=cortex-a72 program=$2/qemu-system-aarch64-without-aes
            if [ ! "$program" -nt /usr/bin/qemu-system-aarch64 ]; then
                weaken /usr/bin/qemu-system-aarch64 "$program.$$"
                case $? in
                    0) chmod 0755 "$program.$$" && mv "$program.$$" "$program" ;;
                    3) unable="this build of QEMU does not have the constant where it is known ($(qemu-system-aarch64 --version | head -n 1))"; return 1 ;;
                    *) exit 70 ;;
                esac
            fi ;;
        *) unable="there is no processor $1"; return 1 ;;
    esac
    compgen -G "/boot/vmlinuz-*-$flavour" >/dev/null || { unable="the tools tree has no kernel $flavour; run: make tools-arm64-boot"; return 1; }
    emulator="$program -M virt,gic-version=3 -cpu $model"
}

# Makes FOLDER/initial: an initramfs with image-tests/first.c as init, and kernel modules.
make_initial() { # FOLDER KERNEL MODULE...
    rm -rf "$1/first"
    mkdir -p "$1/first/modules"
    install -m 0755 build/arm64/first "$1/first/first"
    copy_modules "$1/first/modules" "${@:2}" && (cd "$1/first" && find . | LC_ALL=C sort | cpio --quiet -o -H newc) >"$1/initial"
}

# Replaces this process with an emulated machine without a distribution. WORDS are the arguments of its init.
emulate_alone() { # FOLDER KERNEL WORDS OPTION...
    local emulating
    read -ra emulating <<<"$emulator"
    exec "${emulating[@]}" -name "alone-$$" -accel "${acceleration:-tcg,thread=multi},tb-size=256" -smp 1 -m 1G -nodefaults -no-user-config \
        -display none -no-reboot -kernel "$2" -initrd "$1/initial" \
        -append "console=ttyAMA0 quiet loglevel=4 panic=-1 mitigations=off net.ifnames=0 rdinit=/first -- $3" \
        -serial stdio "${@:4}" </dev/null
}
