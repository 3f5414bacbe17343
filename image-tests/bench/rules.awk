# SPDX-License-Identifier: GPL-3.0-or-later
# Prints medians of the rounds of image-tests/bench/rules, and of their ratios to the page or file alone. Needs
# figures.awk, whose aim() calls tools/promised.

$2 ~ / alone$/ { alone[$1, $2] = $3 }
{
    if (!($2 in costs))
        order[++count] = $2
    costs[$2] = costs[$2] " " $3
    ratios[$2] = ratios[$2] " " $3 / alone[$1, $2 ~ /^file/ ? "file of 100 KiB alone" : "page of 1 KiB alone"]
}

END {
    print "Processor time of the server for a visit, in microseconds, and the ratio to the page or file alone\n"
    for (i = 1; i <= count; i++)
        printf "%-36s %8.0f %8.2f\n", order[i], median_of(costs[order[i]]), median_of(ratios[order[i]])
    print ""
    aim("deep-to-page", "page under 8 folders with metadata", median_of(ratios["page under 8 folders with metadata"]), "")
    aim("rules-to-page", "page beside 1000 rules", median_of(ratios["page beside 1000 rules"]), "")
}
