/* Models of the Hugging Face hub by name, in the hub's own cache, so that files that other programs fetched are used:
 *
 *   $HF_HUB_CACHE, else $HF_HOME/hub, else ${XDG_CACHE_HOME:-~/.cache}/huggingface/hub, and below it
 *   models--USER--REPO/blobs/SHA256, refs/main (a commit), snapshots/COMMIT/FILE -> a blob
 *
 * Source: huggingface_hub's documentation of its cache. Ollama's blobs (named by their SHA-256) serve as well. */
#ifndef CLI_HUB_H
#define CLI_HUB_H

#include <sys/types.h>

#include "../base/error.h"

enum { HUB_PATH = 4096 };

/* "hf:..." or a URL, and no file of that name. */
bool hub_is_spec(const char *spec);

typedef struct hub_options {
    bool offline; /* nothing is asked of the network; so too where HF_HUB_OFFLINE is 1 */
    bool refresh; /* ask the hub even where a fitting file is cached */
    bool quiet;
} hub_options;

/* The path of the model's (first) file in path[HUB_PATH], fetched where it is not there:
 *   hf:USER/REPO          Q4_K_M where there is one, else Q8_0, else the first
 *   hf:USER/REPO:QUANT    the one named so
 *   http(s)://HOST/NAME.gguf   kept in ${XDG_CACHE_HOME:-~/.cache}/tawny/models
 * All files of a split set are fetched. HF_TOKEN (or the file that `hf auth login` leaves) goes to the hub, and
 * HF_ENDPOINT names another hub. */
tawny_status hub_get(const char *spec, const hub_options *o, char path[HUB_PATH], tawny_error *err);

/* The header of the model alone, for questions of size: path is that of the cached file, or of an anonymous one with the header,
 * that of all files of a set. *fd: to be closed when path was used, or -1. */
tawny_status hub_header(const char *spec, const hub_options *o, char path[HUB_PATH], int *fd, tawny_error *err);

#endif
