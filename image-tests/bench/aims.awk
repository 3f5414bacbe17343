# SPDX-License-Identifier: GPL-3.0-or-later
# Prints the medians of build/bench/aims.csv, the medians of the ratios of its rounds, and whether the aims are met.
# Needs figures.awk, whose aim() calls tools/promised.

NR > 1 {
    cost[$1, $2, $3] = $4
    costs[$2, $3] = costs[$2, $3] " " $4
    if (!($2 in known)) {
        known[$2]
        order[++count] = $2
    }
    rounds = $1
}

# Returns the ratio of two servers in each round.
function ratios(case_name, server, other,    round, all) {
    for (round = 1; round <= rounds; round++)
        all = all " " cost[round, case_name, server] / cost[round, case_name, other]
    return all
}

function to_peer(case_name) {
    return median_of(ratios(case_name, "vitrine", "molly-brown"))
}

END {
    print "Processor time of the server for a visit, in microseconds, 16 at once, and its ratios: medians (least to most)\n"
    printf "%-36s %9s %12s %24s %26s\n", "", "vitrine", "molly-brown", "ratio", "the program to itself"
    for (i = 1; i <= count; i++)
        printf "%-36s %9.0f %12.0f %24s %26s\n", order[i], median_of(costs[order[i], "vitrine"]),
            median_of(costs[order[i], "molly-brown"]), spread(ratios(order[i], "vitrine", "molly-brown"), 2),
            spread(ratios(order[i], "vitrine", "again"), 2)
    printf "%-36s %s\n\n", "first start with 1000 hosts, in s", spread(starts, 2)
    aim("page-to-molly-brown", "a page of 1 KiB, to molly-brown", to_peer("page of 1 KiB"), "")
    aim("middle-to-molly-brown", "100 KiB, to molly-brown", to_peer("file of 100 KiB"), "")
    aim("large-to-molly-brown", "50 MiB, to molly-brown", to_peer("file of 50 MiB"), "")
    aim("deep-to-molly-brown", "a page under 8 folders with metadata, to molly-brown", to_peer("page under 8 folders with metadata"), "")
    aim("rules-to-molly-brown", "a page beside 1000 rules, to molly-brown", to_peer("page beside 1000 rules"), "")
    aim("hosts-start", "the first start with 1000 hosts", median_of(starts), " s")
    printf "\n%d aims are not met.\n", missed
}
