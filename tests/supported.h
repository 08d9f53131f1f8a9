/* The table of architectures and how well their reference models are met, models/SUPPORTED.md. */
#ifndef TESTS_SUPPORTED_H
#define TESTS_SUPPORTED_H

typedef enum met { MET_PREFILL, MET_STEPS, MET_MIXED, MET_HALF, MET_8, MET_16, MET_COLUMNS } met;

/* Notes what came out for a model (an NMSE): the table has the worst of each architecture. */
void supported_note(const char *model_path, met column, double nmse);

/* Writes the table of what was noted. */
void supported_write(const char *path);

/* Fails (a Check assertion) where the table does not name exactly the architectures of the registry, or, with
 * `measured`, where what was noted does not bear it out. */
void supported_check(const char *path, int measured);

#endif
