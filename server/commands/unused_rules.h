/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Finds rules of a metadata file that match no file, for `vitrine check`. */

#include "content/metafile.h"

/*
 * Reports each rule of kind METAFILE_PARAMETERS or METAFILE_TYPE whose pattern matches nothing below the folder of its
 * metadata file. Headers apply without a file, so they are never reported. A folder with `.directory-listing-ok` has an
 * index.gmi, as rules see it. Does not follow links to folders; if there is one, patterns with a slash may be meant for
 * what it leads to, and are not reported. Ignores folders nested deeper than 64. folder: the content folder. path: the
 * folder of the metadata file in it, without a slash at the end. Returns 0, or -ENOMEM with nothing reported.
 */
int unused_rules_report(int folder, const char *path, const struct metafile *meta, text_fault *fault, void *context);
