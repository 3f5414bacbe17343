# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by the tests of clients: a terminal that runs one client at a time. `home` is the client's home folder.
: "${home:?}"
opened=0
terminal_name=vitrine-$BASHPID

# Runs tmux. Each client has its own tmux server with a unique name, because the previous one may still be ending.
# Clients keep their data, such as certificates, in $home, which is deleted after the test. bombadillo ignores $HOME,
# but uses XDG_CONFIG_HOME.
terminal() {
    env -u XDG_DATA_HOME -u XDG_CACHE_HOME HOME="$home" XDG_CONFIG_HOME="$home" TMUX_TMPDIR="$home" \
        TERM=xterm-256color LANG=C.UTF-8 tmux -L "$terminal_name-$opened" -f /dev/null "$@"
}

# Ends the client, and waits for its end, because it may write files until then.
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

# For the end of a test; ignores signals.
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

# Waits until the screen shows a text, while the client runs. The text may be wrapped or be in a box.
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
