/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Rules of a metadata file that are there for nothing, for `vitrine check`. */

#include "content/metafile.h"

/*
 * Reports each rule that no file has: one of METAFILE_PARAMETERS or METAFILE_TYPE whose pattern matches nothing beneath
 * the folder of its file. A whole header counts without a file, so none is reported. A folder with
 * `.directory-listing-ok` has an index.gmi, as rules see it. Links to folders are not followed; where one is met,
 * patterns with a slash may be meant for what lies behind it, and are let be. Folders deeper than 64 are not looked at.
 * folder: the content folder. path: of the metadata file's folder in it, without a slash at its end.
 * Returns 0, or -ENOMEM with nothing reported.
 */
int unused_rules_report(int folder, const char *path, const struct metafile *meta, text_fault *fault, void *context);
