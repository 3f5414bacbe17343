# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034 # who sources this uses what it sets
# The processors with arm64 on which the image is tried, as QEMU emulates them.
#
# newest       whatever QEMU can emulate; it signs addresses in the emulator's own way, because that of real processors
#              would take most of its time
# cortex-a72   a server of 2016
# cortex-a76   a Raspberry Pi 5, whose kernel has pages of 16 KiB
# without-aes  a Raspberry Pi 4: a cortex-a72 that was built without instructions for AES and SHA-256

# QEMU has no switch for the last one. It is a copy of QEMU in which one constant is another: the register that says what
# a Cortex-A53, A57 and A72 can do. The constant is looked for in the code of Debian 13's build; in another build it may be
# written in another way, and then there is no such copy: exit status 3.
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

# Sets emulator, the command with the machine, and flavour, the kernel that it runs. Fails, with the reason in unable, if
# this tools tree cannot emulate it.
choose_processor() { # PROCESSOR FOLDER: where the copy is kept
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

# A first file system with image-tests/first.c as its init, and modules; FOLDER/initial.
make_initial() { # FOLDER KERNEL MODULE...
    rm -rf "$1/first"
    mkdir -p "$1/first/modules"
    install -m 0755 build/arm64/first "$1/first/first"
    copy_modules "$1/first/modules" "${@:2}" && (cd "$1/first" && find . | LC_ALL=C sort | cpio --quiet -o -H newc) >"$1/initial"
}

# Becomes the emulator of a machine with nothing else in it. WORDS are arguments of its first process.
emulate_alone() { # FOLDER KERNEL WORDS OPTION...
    local emulating
    read -ra emulating <<<"$emulator"
    exec "${emulating[@]}" -name "alone-$$" -accel tcg,thread=multi,tb-size=256 -smp 1 -m 1G -nodefaults -no-user-config \
        -display none -no-reboot -kernel "$2" -initrd "$1/initial" \
        -append "console=ttyAMA0 quiet loglevel=4 panic=-1 mitigations=off net.ifnames=0 rdinit=/first -- $3" \
        -serial stdio "${@:4}" </dev/null
}
