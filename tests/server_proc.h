/* A server under test: `tawny serve` on a free port of loopback, and requests to it. */
#ifndef TESTS_SERVER_PROC_H
#define TESTS_SERVER_PROC_H

#include <jansson.h>
#include <sys/types.h>

typedef struct server_proc {
    pid_t pid;
    int port, err; /* err: what it writes on stderr */
} server_proc;

/* A new folder with the tiny model in it as m.gguf, for servers to use; and both gone again. */
void server_model_make(char dir[64], char model[128]);
void server_model_remove(const char *dir, const char *model);

/* Starts it on the model with further arguments (NULL-terminated), and waits until it listens. */
void server_proc_start(server_proc *s, const char *model, const char *const *args);
/* Sends SIGTERM and returns the exit code, or 128 + the signal that ended it. */
int server_proc_stop(server_proc *s);

/* A connection to it. room: of the socket, for what is not read; 0: the usual. */
int server_connect(const server_proc *s, int room);

/* A request by hand: `extra` are further header lines, each with its end. The body of the answer is NUL-terminated and
 * the caller's to free; *status gets the code (0: no answer). */
char *server_ask(const server_proc *s, const char *method, const char *path, const char *extra, const char *body, int *status);
/* The whole answer as it came, *size bytes and a NUL; the caller's to free. */
char *server_raw(const server_proc *s, const char *method, const char *path, const char *extra, const char *body, size_t *size);
/* The same with a JSON answer, which is checked to be one, of the status that is expected. */
json_t *server_json(const server_proc *s, const char *path, const char *body, int expected);

#endif
