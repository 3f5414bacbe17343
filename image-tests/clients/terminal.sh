# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by the tests of clients: a terminal in which one client at a time runs. `home` is the folder that the client
# takes for its user's.
: "${home:?}"
opened=0
terminal_name=vitrine-$BASHPID

# Each of its own, with a name that no other one has: the one before may still be ending. What clients remember, such as
# certificates, is forgotten with $home; bombadillo looks for that in XDG_CONFIG_HOME, and else in the home of
# /etc/passwd.
terminal() {
    env -u XDG_DATA_HOME -u XDG_CACHE_HOME HOME="$home" XDG_CONFIG_HOME="$home" TMUX_TMPDIR="$home" \
        TERM=xterm-256color LANG=C.UTF-8 tmux -L "$terminal_name-$opened" -f /dev/null "$@"
}

# Waits until the client has ended: it may write until then.
close_terminal() {
    local process
    process=$(terminal list-panes -a -F '#{pane_pid}' 2>/dev/null) || return 0
    terminal kill-server
    for _ in {1..100}; do
        kill -0 "$process" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$process" 2>/dev/null
}

# At the end of a test, which nothing interrupts.
leave_terminal() {
    trap '' INT TERM
    close_terminal
}

open() { # COMMAND [ARGUMENT]...
    close_terminal
    opened=$((opened + 1))
    terminal new-session -d -x 120 -y 50 "$*"
}

type_line() { # TEXT
    terminal send-keys -l "$1"
    terminal send-keys Enter
}

# Waits until the screen shows a text, as long as the client is there. Words may be broken over lines, or stand in a
# box.
shows() { # TEXT
    local screen=''
    for _ in {1..300}; do
        screen=$(terminal capture-pane -p 2>&1) || break
        if tr -s ' \n' ' ' <<<"${screen//║/ }" | grep -qF -- "$1"; then
            return 0
        fi
        sleep 0.1
    done
    echo "$screen"
    return 1
}
