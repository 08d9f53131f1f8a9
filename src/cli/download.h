/* One file from the network to its place: resumed where it was broken off, checked before it has its name. */
#ifndef CLI_DOWNLOAD_H
#define CLI_DOWNLOAD_H

#include "../base/error.h"

typedef struct download {
    const char *url, *token; /* token: for the URL's own host; NULL: none */
    const char *path;        /* where the file shall lie; its folder is made. Until then PATH.incomplete */
    const char *label;       /* for the progress bar on a terminal */
    int64_t size;            /* bytes expected; -1: what the server says */
    const char *sha256;      /* 64 hex digits expected; "" or NULL: what the server says, if it does */
    bool quiet;
} download;

/* Nothing is done where the file is there. TAWNY_E_IO: the server, the network or the disk; TAWNY_E_FORMAT: the bytes are
 * not those expected, and were removed. A second process that fetches the same waits for the first. */
tawny_status download_file(const download *d, tawny_error *err);

/* Makes the folder of path, and those above it. */
tawny_status make_folders(const char *path, tawny_error *err);

#endif
