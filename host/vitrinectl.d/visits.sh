# SPDX-License-Identifier: GPL-3.0-or-later
# The command visits: shows what clients requested, from the journal. It reads no client's address or name.

# The maximum number of different pages to count; clients can ask for any number of them.
pages_max=10000

# Reads the server's log (vitrine(8), LOG) with a time before each line, and writes counts: a word, a number, and what
# was counted. A worker that was taken over can write any line, so only lines of exactly the right form count.
count_visits() {
    awk -v most="$pages_max" '
        function count(kind, of) {
            if (!((kind, of) in seen) && ++kinds[kind] > most)
                of = "\"(others)\""
            seen[kind, of]++
        }
        function value(name,   at) { # of name=value; nothing if it is not a number
            at = index($0, " " name "=")
            if (!at)
                return ""
            at = substr($0, at + length(name) + 2)
            sub(/ .*/, "", at)
            return at
        }
        !match($0, / worker [0-9]+: /) { next }
        { time = $1; $0 = substr($0, RSTART + RLENGTH - 1) }
        /^ connections refused=[0-9]+ throttled=[0-9]+ displaced=[0-9]+ late=[0-9]+ foreign=[0-9]+ failed=[0-9]+ seconds=[0-9]+$/ {
            for (i = 2; i <= 7; i++) {
                split($i, part, "=")
                shed[part[1]] += part[2]
            }
            next
        }
        /^ request status=[1-6][0-9] bytes=[0-9]+ complete=(yes|no) milliseconds=[0-9]+ tls=1\.[23] host="[^"]*" path="[^"]*"/ {
            status = value("status"); host = $7; path = $0
            sub(/^host=/, "", host); sub(/^[^"]*"[^"]*" path=/, "", path); path = substr(path, 1, index(substr(path, 2), "\"") + 1)
            requests++; bytes += value("bytes"); incomplete += value("complete") == "no"
            count("status", status); count("tls", value("tls")); count("hour", substr(time, 1, 13))
            if (status < 50)
                count("capsule", host)
            if (status ~ /^2/)
                count("page", host " " path)
            else if (status == 51)
                count("missing", host " " path)
        }
        END {
            printf "requests %d\nbytes %.0f\nincomplete %d\n", requests, bytes, incomplete
            split("refused throttled displaced late foreign failed", names, " ")
            for (i = 1; i <= 6; i++)
                printf "%s %d\n", names[i], shed[names[i]]
            for (key in seen) {
                split(key, part, SUBSEP)
                printf "%s %d %s\n", part[1], seen[key], part[2]
            }
        }'
}

# Prints the counts of one kind, the largest first.
counted() { # KIND COUNTS
    sed -n "s/^$1 //p" <<<"$2" | sort -k 1,1nr -k 2
}
figure() { # NAME COUNTS
    sed -n "s/^$1 \([0-9]*\)\$/\1/p" <<<"$2"
}

# Shows a path as the log does: in quotes, with bytes that are not printable ASCII as \xNN.
visits_as_table() { # SINCE COUNTS
    local kind number what
    printf 'Since %s\n\n' "$1"
    printf '  %-13s %s\n' requests "$(figure requests "$2"), $(figure bytes "$2") bytes, $(figure incomplete "$2") not taken to their end"
    printf '  %-13s %s\n' statuses "$(counted status "$2" | sort -k 2 | sed 's/\(.*\) \(.*\)/\2: \1/' | paste -s -d ' ' | sed 's/ \([0-9]*:\)/, \1/g')"
    printf '  %-13s %s\n' TLS "$(counted tls "$2" | sort -k 2 | sed 's/\(.*\) \(.*\)/\2: \1/' | paste -s -d ' ' | sed 's/ \([0-9.]*:\)/, \1/g')"
    printf '  %-13s %s\n' 'no reply' "$(for kind in refused throttled displaced late foreign failed; do echo "$(figure "$kind" "$2") $kind"; done | paste -s -d , | sed 's/,/, /g')"
    for kind in capsule page missing; do
        printf '\n  %s\n' "$(case $kind in capsule) echo 'capsules' ;; page) echo 'pages, the ten most asked for' ;; missing) echo 'not found, the ten most asked for' ;; esac)"
        while read -r number what; do
            what=${what/#\"/}
            printf '  %13s %s\n' "$number" "${what/\" \"//}" | sed 's,//,/,; s/"$//'
        done < <(counted "$kind" "$2" | head -n 10)
    done
}

# The log quotes as JSON does, except for the backslash.
in_json() { # KIND COUNTS FORMAT: an object's members, or a list's
    counted "$1" "$2" | sed 's/\\/\\\\/g' | sed "$3"
}
visits_as_json() { # SINCE COUNTS
    local kind
    local -a parts=("\"since\": $(quoted "$1")") some
    for kind in requests bytes incomplete; do
        parts+=("\"$kind\": $(figure "$kind" "$2")")
    done
    mapfile -t some < <(in_json status "$2" 's/\(.*\) \(.*\)/"\2": \1/' | sort)
    parts+=("\"statuses\": $(listed_facts '{' '}' "${some[@]}")")
    mapfile -t some < <(in_json tls "$2" 's/\(.*\) \(.*\)/"\2": \1/' | sort)
    parts+=("\"tls\": $(listed_facts '{' '}' "${some[@]}")")
    some=()
    for kind in refused throttled displaced late foreign failed; do
        some+=("\"$kind\": $(figure "$kind" "$2")")
    done
    parts+=("\"no_reply\": $(listed_facts '{' '}' "${some[@]}")")
    mapfile -t some < <(in_json capsule "$2" 's/^\([0-9]*\) \(.*\)/\2: \1/')
    parts+=("\"capsules\": $(listed_facts '{' '}' "${some[@]}")")
    for kind in page missing; do
        mapfile -t some < <(in_json "$kind" "$2" 's/^\([0-9]*\) \("[^"]*"\) \(".*"\)$/{"host": \2, "path": \3, "requests": \1}/; s/^\([0-9]*\) \("(others)"\)$/{"host": null, "path": null, "requests": \1}/')
        parts+=("\"${kind/page/pages}\": $(listed_facts '[' ']' "${some[@]}")")
    done
    mapfile -t some < <(in_json hour "$2" 's/\(.*\) \(.*\)/"\2": \1/' | sort)
    parts+=("\"hours\": $(listed_facts '{' '}' "${some[@]}")")
    printf '{\n%s\n}\n' "$(members '  ' "${parts[@]}")"
}

# Draws with characters on a terminal, otherwise as SVG.
visits_as_plot() { # SINCE COUNTS
    local kind='svg size 800,400 dynamic background "white"'
    need_tool gnuplot gnuplot-nox
    [ "$(figure requests "$2")" -gt 0 ] || refuse 75 "the journal has no request since $1, so there is nothing to draw; to look further back, run: vitrinectl visits --plot --since=-30d"
    [ ! -t 1 ] || kind='dumb 79 22'
    { printf '$%s\n' 'requests << END'; counted hour "$2" | awk '{ print $2, $1 }' | sort; cat; } <<PLOT | gnuplot ||
END
set terminal $kind
set title "Requests in an hour, since $1"
set xdata time
set timefmt "%Y-%m-%dT%H"
set format x "%m-%d %H:00"
set yrange [0:*]
set xtics rotate by -30
set boxwidth 3200
set style fill solid 0.6
unset key
plot \$requests using 1:2 with boxes linecolor "#2b6cb0"
PLOT
        refuse 70 "gnuplot could not draw the plot (see above); for the figures, run: vitrinectl visits --json"
}

visits() { # [--since=TIME] [--json | --plot]
    local since=-7d how=table word counts problem
    for word; do
        case $word in
            --since=?*) since=${word#*=} ;;
            --json | --plot)
                [ "$how" = table ] || refuse 64 "visits accepts --json or --plot, and one of them only; see: vitrinectl --help"
                how=${word#--}
                ;;
            *) refuse 64 "visits accepts --since=TIME, and --json or --plot, but not '$word'; see: vitrinectl --help" ;;
        esac
    done
    # Turn it into a point in time, to show it; journalctl understands the rest.
    problem=$(journalctl --quiet --lines=0 --since="$since" 2>&1) ||
        refuse 64 "journalctl does not accept --since=$since ($(tail -n 1 <<<"$problem")); an example is: --since=-7d"
    counts=$(journalctl --quiet --no-pager --output=short-iso --since="$since" --unit=vitrine.service 2>/dev/null | count_visits) ||
        refuse 70 "the journal cannot be read; see: journalctl --unit vitrine"
    "visits_as_$how" "$since" "$counts"
}
