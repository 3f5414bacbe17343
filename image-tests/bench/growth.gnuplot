# SPDX-License-Identifier: GPL-3.0-or-later
# Draws build/bench/growth-medians.csv: each curve, together with the plain page of the same rounds.
set terminal svg size 1000,960 font "sans-serif,12" background "white"
set output "build/bench/growth.svg"
set datafile separator ","
set multiplot layout 3,3 title "Processor time of the server for a visit, in microseconds"
set logscale x
set grid
set yrange [0:*]
set key bottom right
set format x "%.0s%c"
curves = "connections hosts rules depth folder listing size"
array names[7] = ["open connections", "hosts", "rules in .meta", "folders above, with 10 rules each", \
    "files in the folder", "listing of so many files", "size of the file in bytes"]
do for [i=1:7] {
    if (word(curves, i) eq "size" || word(curves, i) eq "listing") {
        set logscale y
        set yrange [*:*]
    }
    set xlabel names[i]
    of = sprintf("< grep '^%s,' build/bench/growth-medians.csv", word(curves, i))
    plot of using 2:4 with lines dashtype 2 linecolor "gray40" title "plain page", \
         of using 2:3 with linespoints pointtype 7 pointsize 0.5 linecolor "dark-green" notitle
}
unset multiplot
