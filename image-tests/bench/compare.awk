# SPDX-License-Identifier: GPL-3.0-or-later
# Prints medians and ratios of build/bench/visits.csv, and whether each aim of docs/SPECIFICATION.md is met. Needs
# figures.awk, whose aim() calls tools/promised.

function median(server, case_name) {
    return median_of(figures[server, case_name])
}

function cell(server, case_name) {
    return median(server, case_name) ? spread(figures[server, case_name], 0) : "-"
}

function part(what, cost,    bar) {
    for (bar = ""; length(bar) < cost / 4; bar = bar "#")
        ;
    printf "%-32s %6.0f  %s\n", what, (cost > 0 ? cost : 0), bar
}

NR > 1 {
    figures[$1, $2] = figures[$1, $2] " " $3
    middles[$1, $2] = middles[$1, $2] " " $4
    tails[$1, $2] = tails[$1, $2] " " $5
    if (!($2 in known) && $1 != "arithmetic" && $1 != "packets") {
        known[$2]
        order[++count] = $2
    }
}

END {
    print "Processor time of the server for a visit, in microseconds: median (least to most)\n"
    printf "%-32s %24s %30s %22s\n", "", "vitrine", "molly-brown", "openssl s_server"
    for (i = 1; i <= count; i++)
        printf "%-32s %24s %30s %22s\n", order[i], cell("vitrine", order[i]), cell("molly-brown", order[i]), cell("openssl", order[i])
    floor = median("arithmetic", "handshake")
    printf "%-32s %24s\n", "the arithmetic alone", cell("arithmetic", "handshake")
    printf "%-32s %24s\n", "the packets alone", cell("packets", "1 KiB")
    print "\nFrom connect to the last byte, in microseconds, 8 at once: half of the visits, and 99 of 100, are faster than\n"
    for (i = 1; i <= count; i++)
        if (("vitrine", order[i]) in middles && ("molly-brown", order[i]) in middles)
            printf "%-32s %10d %10d %18s %10d %10d\n", order[i], median_of(middles["vitrine", order[i]]), median_of(tails["vitrine", order[i]]), "molly-brown:", median_of(middles["molly-brown", order[i]]), median_of(tails["molly-brown", order[i]])
    page = median("vitrine", "1 KiB")
    packets = median("packets", "1 KiB")
    shaken = median("vitrine", "handshake")
    without_tls = floor + packets
    print "\nWhat a page of 1 KiB costs, part by part, in microseconds (each # is 4)\n"
    part("the arithmetic", floor)
    part("the packets", packets)
    part("the rest of the handshake", shaken - without_tls)
    part("request, file, response, log", page - (shaken > without_tls ? shaken : without_tls))
    print ""
    aim("page-to-molly-brown", "a page of 1 KiB, to molly-brown", page / median("molly-brown", "1 KiB"), "")
    aim("page-to-arithmetic", "a page of 1 KiB, to the arithmetic alone", page / floor, "")
    aim("hybrid-to-plain", "the same with X25519MLKEM768, to X25519", median("vitrine", "1 KiB with X25519MLKEM768") / page, "")
    aim("middle-to-molly-brown", "100 KiB, to molly-brown", median("vitrine", "100 KiB") / median("molly-brown", "100 KiB"), "")
    aim("large-to-molly-brown", "50 MiB, to molly-brown", median("vitrine", "50 MiB") / median("molly-brown", "50 MiB"), "")
    aim("crowded-to-quiet", "a page beside 10,000 open connections, to beside 10", median_of(many) / median_of(few), "")
    aim("idle-memory", "memory of an idle connection after the handshake", quiet / 1000, " kB")
    aim("midst-memory", "memory of a connection in the midst of it", midst / 1000, " kB")
    aim("start-memory", "memory of all processes at the start", at_start / 1e6, " MB")
    printf "\n%d aims are not met.\n", missed
}
