/* A server for tests of the client: it serves one file by many names, each with a fault of its own. */
#ifndef TESTS_HTTP_SCRIPT_H
#define TESTS_HTTP_SCRIPT_H

#include <stddef.h>
#include <sys/types.h>

typedef struct http_script {
    const char *data; /* the file */
    size_t size;
    const char *sha;  /* its SHA-256 in hex */
    const char *dir;  /* of the files of kind set; may be NULL */
    int port;         /* out: on 127.0.0.1 */
    pid_t pid;        /* out */
} http_script;

/* GET /KIND/x.gguf, where KIND is
 *   good       whole, or the range that is asked for
 *   drop       as good, but every answer breaks off after a third of what is left (at least 1000 bytes)
 *   norange    the first answer breaks off half way, and later ones always begin at the start
 *   short      says the right length, sends half and ends, always from the start
 *   more       says a length of 100 bytes less than the hub does
 *   wrong      the right length, other bytes
 *   redirect   302 to good, with the hub's X-Linked headers; loop: 302 to itself
 *   page       an HTML page; missing: 404; busy: 503 twice, then good
 *   endless    no length, and no end; vast: a length beyond all disks
 *   hang       answers nothing; drip: headers, then nothing; trickle: headers, then a byte every fifth of a second;
 *              names: header lines without end, a line every fifth of a second
 *   stream     no length, the magic of a GGUF file, and then without end what makes no header
 *   shifted    as drop, but asked for a range it sends the file's beginning and says so; unsaid: it does not say so
 *   set        the file of that name in dir, or a range of it
 * GET /api/models/u/KIND/revision/main   the hub's answer about a repository with one file x-Q4_K_M.gguf, which is then
 *                                        asked for as /u/KIND/resolve/COMMIT/x-Q4_K_M.gguf
 *                                        (KIND private asks for the token "secret"; html and huge are no answers;
 *                                        set is a set of three files, x-Q4_K_M-0000N-of-00003.gguf of dir) */
void http_script_start(http_script *s);
void http_script_stop(http_script *s);

#endif
