# SPDX-License-Identifier: GPL-3.0-or-later
# Functions for medians, and for the aims of docs/SPECIFICATION.md. The measurements load this before their own awk
# rules.

function sort(list, n,    i, j, swap) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] + 0 > list[j] + 0; j--) {
            swap = list[j]
            list[j] = list[j - 1]
            list[j - 1] = swap
        }
}

# Returns the median of the numbers in text, which are separated by spaces. Also sets least and most.
function median_of(text,    list, n) {
    n = split(text, list, " ")
    sort(list, n)
    least = list[1]
    most = list[n]
    return n ? list[int((n + 1) / 2)] : 0
}

# Formats the median, with the range in parentheses. digits: the number of decimal places.
function spread(text, digits,    middle) {
    middle = median_of(text)
    return sprintf("%.*f (%.*f to %.*f)", digits, middle, digits, least, digits, most)
}

# Prints whether figure meets the aim in the row id of docs/SPECIFICATION.md. Counts failures in missed.
function aim(id, what, figure, unit,    limit) {
    if ((("tools/promised " id) | getline limit) != 1)
        exit 1
    close("tools/promised " id)
    printf "%-4s %-64s %6.2f%s, aim: at most %.2f%s\n", figure <= limit ? "met" : "NOT", what, figure, unit, limit, unit
    missed += figure > limit
}
