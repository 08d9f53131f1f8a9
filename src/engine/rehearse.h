/* How fast a model would be decoded on this machine, by its header alone: the engine itself computes with weights of the
 * right shapes and formats that are nobody's, for as long as it takes to see how fast that is. So everything counts that
 * decides it: the bandwidth of memory, the arithmetic of each format, barriers, cores that others take part of. */
#ifndef ENGINE_REHEARSE_H
#define ENGINE_REHEARSE_H

#include "engine.h"
#include "limits.h"

typedef struct rehearsal rehearsal;

/* The model whose header is in the file at path, and opened as `header`, over memory of a quarter of a GiB and the size of
 * its largest tensor, in huge pages or in small ones. TAWNY_E_NOMEM where that is more than half of what is left. */
tawny_status rehearsal_open(const char *path, const tawny_model *header, bool huge, rehearsal **out, tawny_error *err);
void rehearsal_close(rehearsal *r); /* NULL is fine */

/* Tokens a second of single tokens, the cache being nearly empty, over about so many seconds and three tokens at least. */
tawny_status rehearsal_decode(rehearsal *r, const tawny_engine_params *p, double seconds, limits_range *out,
                              tawny_error *err);

#endif
