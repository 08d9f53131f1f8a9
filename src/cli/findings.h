/* What a doctor finds: what it is, why it matters, and the command that mends it. */
#ifndef CLI_FINDINGS_H
#define CLI_FINDINGS_H

#include <jansson.h>
#include <stdbool.h>

typedef enum finding_level { FINDING_NOTE, FINDING_SLOW, FINDING_WRONG } finding_level;

typedef struct finding {
    finding_level level;
    char id[40];    /* stable, for scripts: "thp-never" */
    char what[240], why[400], fix[240]; /* fix: a command */
} finding;

enum { FINDINGS_MAX = 64 };
typedef struct findings {
    finding list[FINDINGS_MAX];
    int n;
    json_t *facts; /* an object of objects: {"cpu": {"name": ...}, ...} */
} findings;

void findings_add(findings *f, finding_level level, const char *id, const char *what, const char *why, const char *fix);
/* what by a format; see findings_add. */
void findings_addf(findings *f, finding_level level, const char *id, const char *why, const char *fix, const char *what, ...)
    __attribute__((format(printf, 6, 7)));
bool findings_has(const findings *f, const char *id);

/* A fact of a section; the value is taken. */
void findings_fact(findings *f, const char *section, const char *name, json_t *value);
void findings_fact_text(findings *f, const char *section, const char *name, const char *text); /* bytes that are no UTF-8 as ? */

void findings_print(const findings *f);   /* facts by section, then what was found */
json_t *findings_json(const findings *f); /* {"facts": ..., "findings": [...]} */
void findings_free(findings *f);

#endif
