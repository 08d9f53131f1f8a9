/* Which of a repository's files a name stands for. */
#ifndef CLI_HUB_CHOOSE_H
#define CLI_HUB_CHOOSE_H

#include "../base/error.h"

/* The file for `quant` (NULL: the usual choice) among n names; -1 where none fits. Of a split set the first; projectors
 * of images (mmproj) and importance matrices are no models. */
int hub_choose(const char *const *names, int n, const char *quant);

enum { HUB_SPLITS = 1024 }; /* files of a set, at most */

/* The members of the split set that name is the first of: 1 where it is none. member(i) goes to out. */
int hub_split_count(const char *name);
bool hub_split_member(const char *name, int i, char *out, size_t size);

/* A path below a folder: no empty, "." or ".." parts, no control characters, not from the root. */
bool hub_safe_name(const char *name);

#endif
