/* Token ids as an option has them. */
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include "../tawny.h"

/* "1,2,3" or "@FILE" with numbers apart by commas or white space; *out is the caller's to free. -1, or an exit code after a
 * message. */
int ids_parse(const char *command, const char *spec, tawny_token **out, int32_t *n);

#endif
