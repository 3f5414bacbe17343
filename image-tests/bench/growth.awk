# SPDX-License-Identifier: GPL-3.0-or-later
# Prints a table for each curve of build/bench/growth.csv. Needs figures.awk. Writes lines with curve, amount,
# microseconds, and microseconds of a plain page to the file named by the variable medians.

BEGIN {
    title["connections"] = "a page of 1 KiB beside open connections"
    title["hosts"] = "a page of 1 KiB beside other hosts"
    title["rules"] = "a page of 1 KiB beside a .meta file with rules"
    title["depth"] = "a page of 1 KiB under folders with 10 rules each"
    title["folder"] = "a page of 1 KiB in a folder with files"
    title["listing"] = "the listing of a folder with files"
    title["size"] = "a file, by its size in bytes"
}

NR > 1 {
    if (!($1 in known)) {
        known[$1]
        curves[++count] = $1
    }
    if (!(($1, $2) in costs))
        amounts[$1, ++points[$1]] = $2
    costs[$1, $2] = costs[$1, $2] " " $3
    plain[$1, $2] = plain[$1, $2] " " $4
    ratios[$1, $2] = ratios[$1, $2] " " $3 / $4
}

END {
    print "Processor time of the server for a visit, in microseconds, 16 at once, and its ratio to a plain page of the same"
    print "round: medians (least to most)"
    for (i = 1; i <= count; i++) {
        printf "\n%s\n", title[curves[i]]
        for (j = 1; j <= points[curves[i]]; j++) {
            key = curves[i] SUBSEP amounts[curves[i], j]
            printf "%12d %30s %24s\n", amounts[curves[i], j], spread(costs[key], 0), spread(ratios[key], 2)
            printf "%s,%s,%s,%s\n", curves[i], amounts[curves[i], j], median_of(costs[key]), median_of(plain[key]) >medians
        }
    }
}
