#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Usage: media-table.sh FILE > media-table.h
# Turns the mime.types of the distribution's media-types package into the table that media.c searches.
set -eu

if [ $# -ne 1 ] || [ ! -r "$1" ]; then
    echo "media types: ${1-/etc/mime.types} is missing; install the package that has it (media-types on Debian, mailcap" \
        "on Fedora and Alpine), or name another such file: MIME_TYPES=FILE" >&2
    exit 66
fi

# Prints "ending type" lines. If several types have the same ending, the first one wins, except that a text type wins
# over others, because clients display text. The rest of the awk script needs the endings in strcmp order.
endings=$(LC_ALL=C awk '
    /^[ \t]*#/ || NF < 2 { next }
    {
        for (i = 2; i <= NF; i++) {
            ending = tolower($i)
            if (!(ending in type) || ($1 ~ /^text\// && type[ending] !~ /^text\//))
                type[ending] = tolower($1)
        }
    }
    END { for (ending in type) print ending, type[ending] }
' "$1" | LC_ALL=C sort)

if [ -z "$endings" ]; then
    echo "media-table.sh: $1 lists no media type" >&2
    exit 65
fi

printf '%s\n' "$endings" | LC_ALL=C awk '
    {
        if ($1 ~ /["\\]/ || $2 ~ /["\\]/)
            next
        if (length($1) > longest)
            longest = length($1)
        if (!($2 in at)) {
            at[$2] = type_offset
            type_offset += length($2) + 1
            types = types "    \"" $2 "\\0\"\n"
        }
        entries = entries "    {" ending_offset + 0 ", " at[$2] + 0 "},\n"
        ending_offset += length($1) + 1
        endings = endings "    \"" $1 "\\0\"\n"
    }
    END {
        if (type_offset > 65535 || ending_offset > 65535) {
            print "media-table.sh: too many media types for offsets of 16 bits" > "/dev/stderr"
            exit 1
        }
        print "/* SPDX-License-Identifier: GPL-3.0-or-later */"
        print "/* Made by media-table.sh from the mime.types of the media-types package. */"
        print "#define MEDIA_ENDING_MAX " longest
        print "static const char media_endings[] =\n" endings "    ;"
        print "static const char media_types[] =\n" types "    ;"
        print "static const struct media_table_entry {\n    uint16_t ending, type;\n} media_table[] = {\n" entries "};"
    }
'
