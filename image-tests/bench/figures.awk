# SPDX-License-Identifier: GPL-3.0-or-later
# Medians, and aims of docs/SPECIFICATION.md. The measurements give this to awk before their own rules.

function sort(list, n,    i, j, swap) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] + 0 > list[j] + 0; j--) {
            swap = list[j]
            list[j] = list[j - 1]
            list[j - 1] = swap
        }
}

# text: numbers with spaces between them. Sets least and most too.
function median_of(text,    list, n) {
    n = split(text, list, " ")
    sort(list, n)
    least = list[1]
    most = list[n]
    return n ? list[int((n + 1) / 2)] : 0
}

# The median, and its range in parentheses. digits: behind the point
function spread(text, digits,    middle) {
    middle = median_of(text)
    return sprintf("%.*f (%.*f to %.*f)", digits, middle, digits, least, digits, most)
}

# id: a row of docs/SPECIFICATION.md. Counts in missed.
function aim(id, what, figure, unit,    limit) {
    if ((("tools/promised " id) | getline limit) != 1)
        exit 1
    close("tools/promised " id)
    printf "%-4s %-64s %6.2f%s, aim: at most %.2f%s\n", figure <= limit ? "met" : "NOT", what, figure, unit, limit, unit
    missed += figure > limit
}
