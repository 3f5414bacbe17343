# SPDX-License-Identifier: GPL-3.0-or-later
# Draws build/bench/visits.csv: the processor time for a request, with one point for each round.
set terminal svg size 800,420 font "sans-serif,13" background "white"
set output "build/bench/visits.svg"
set datafile separator ","
set title "Processor time of the server for a visit (each point is a round)"
set ylabel "microseconds"
set logscale y
set grid y
set xrange [-0.5:3.5]
set xtics ("handshake" 0, "1 KiB" 1, "100 KiB" 2, "50 MiB" 3)
set key outside
place(name) = name eq "handshake" ? 0 : name eq "1 KiB" ? 1 : name eq "100 KiB" ? 2 : name eq "50 MiB" ? 3 : NaN
of(who) = sprintf("< grep '^%s,' build/bench/visits.csv", who)
plot of("vitrine") using (place(strcol(2)) - 0.1):3 with points pointtype 7 title "vitrine", \
     of("molly-brown") using (place(strcol(2)) + 0.1):3 with points pointtype 5 title "molly-brown", \
     of("openssl") using (place(strcol(2))):3 with points pointtype 9 title "openssl s\\_server", \
     of("arithmetic") using (place(strcol(2))):3 with points pointtype 2 title "arithmetic alone"
