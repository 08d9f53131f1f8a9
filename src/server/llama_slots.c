/* llama-server's POST /slots/{id}?action=save|restore|erase: what a slot has computed, in files. A thread of its own reads and
 * writes; the scheduler's lends it a copy that shares the slot's pages, or takes what was read, between two steps. */
#include <stdlib.h>
#include <string.h>

#include "../engine/session_file.h"
#include "http.h"
#include "llama.h"
#include "slot_file.h"

typedef struct slots_job {
    const char *filename;
    int slot;
    void (*act)(server *sv, struct slots_job *j);
    json_t *(*shape)(const struct slots_job *j);
    slot_file file;
    tawny_session *copy; /* that no slot has */
    session_image image;
    int32_t n;           /* tokens */
    double ms;
    tawny_status st;
    tawny_error err;
} slots_job;

static const param slots_params[] = {
    {"filename", PARAM_TEXT, offsetof(slots_job, filename), 0, 255, 0, false, "of the slot's file, to save and to restore: a name without separators"},
    PARAM_END,
};
const param *const llama_slots_tables[] = {slots_params, NULL};

/* ---- save ---- */

static void copy_session(void *arg, tawny_engine *e, tawny_session **session)
{
    slots_job *j = arg;
    j->st = *session ? tawny_session_fork(*session, &j->copy, &j->err) : tawny_session_new(e, &j->copy, &j->err);
    if (j->st == TAWNY_OK) tawny_session_tokens(j->copy, &j->n);
}

static void free_copy(void *arg, tawny_engine *e, tawny_session **session)
{
    slots_job *j = arg;
    (void)e, (void)session;
    tawny_session_free(j->copy);
}

static void save(server *sv, slots_job *j)
{
    sched_slot_begin(sv->sched, j->slot, false, copy_session, j);
    if (j->st == TAWNY_OK) j->st = slot_file_create(&j->file, sv->config.slot_dir, j->filename, &j->err);
    if (j->st == TAWNY_OK) {
        j->st = tawny_session_save(j->copy, slot_file_put, &j->file, &j->err);
        if (j->st == TAWNY_OK) j->st = slot_file_commit(&j->file, &j->err);
        else slot_file_abort(&j->file);
    }
    sched_slot_end(sv->sched, j->slot, free_copy, j);
}

static json_t *saved(const slots_job *j)
{
    return json_pack("{s:i,s:s,s:i,s:I,s:{s:f}}", "id_slot", j->slot, "filename", j->filename, "n_saved", (int)j->n, "n_written",
                     (json_int_t)j->file.bytes, "timings", "save_ms", j->ms);
}

/* ---- restore ---- */

static void make_room(void *arg, tawny_engine *e, tawny_session **session)
{
    slots_job *j = arg;
    (void)session;
    j->st = tawny_session_new(e, &j->copy, &j->err);
    if (j->st == TAWNY_OK) j->st = session_image_room(&j->image, j->copy, &j->err);
}

/* The slot has what was read, or what it had. */
static void take_copy(void *arg, tawny_engine *e, tawny_session **session)
{
    slots_job *j = arg;
    tawny_session *former = *session;
    (void)e;
    if (j->st == TAWNY_OK) {
        *session = j->copy;
        tawny_session_tokens(j->copy, &j->n);
    }
    tawny_session_free(j->st == TAWNY_OK ? former : j->copy);
}

static void restore(server *sv, slots_job *j)
{
    j->st = slot_file_open(&j->file, sv->config.slot_dir, j->filename, &j->err);
    if (j->st != TAWNY_OK) return;
    j->st = session_image_open(&j->image, sched_engine(sv->sched), j->filename, slot_file_get, &j->file, &j->err);
    if (j->st == TAWNY_OK) {
        sched_slot_begin(sv->sched, j->slot, true, make_room, j);
        if (j->st == TAWNY_OK) j->st = session_image_read(&j->image, j->copy, &j->err);
        if (j->st == TAWNY_OK && j->file.left)
            j->st = err_set(&j->err, TAWNY_E_FORMAT, "%s: it is damaged: bytes follow its end", j->filename);
        sched_slot_end(sv->sched, j->slot, take_copy, j);
    }
    slot_file_close(&j->file);
}

static json_t *restored(const slots_job *j)
{
    return json_pack("{s:i,s:s,s:i,s:I,s:{s:f}}", "id_slot", j->slot, "filename", j->filename, "n_restored", (int)j->n, "n_read",
                     (json_int_t)j->file.bytes, "timings", "restore_ms", j->ms);
}

/* ---- erase ---- */

static void forget(void *arg, tawny_engine *e, tawny_session **session)
{
    slots_job *j = arg;
    (void)e;
    if (!*session) return;
    tawny_session_tokens(*session, &j->n);
    tawny_session_forget(*session);
    tawny_session_truncate(*session, 0);
}

static void nothing(void *arg, tawny_engine *e, tawny_session **session) { (void)arg, (void)e, (void)session; }

static void erase(server *sv, slots_job *j)
{
    sched_slot_begin(sv->sched, j->slot, false, forget, j);
    sched_slot_end(sv->sched, j->slot, nothing, j);
}

static json_t *erased(const slots_job *j) { return json_pack("{s:i,s:i}", "id_slot", j->slot, "n_erased", (int)j->n); }

/* ---- the door ---- */

static void act(exchange *x)
{
    slots_job *j = x->own;
    double start = task_now();
    j->act(x->sv, j);
    j->ms = task_now() - start;
}

static void done(exchange *x)
{
    const slots_job *j = x->own;
    if (j->st == TAWNY_OK) reply_json(x, 200, j->shape(j));
    else reply_status(x, &j->err, "filename");
}

static bool read_slot(exchange *x, slots_job *j)
{
    const char *id = http_rest(x);
    char *end;
    long n = strtol(id, &end, 10);
    int most = sched_n_slots(x->sv->sched);
    j->slot = (int)n;
    if (id[0] >= '0' && id[0] <= '9' && !*end && n < most) return true;
    reply_error(x, 400, NULL, "the slot's number is not one of those that GET /slots lists", "id_slot");
    return false;
}

static bool read_action(exchange *x, slots_job *j)
{
    static const struct {
        const char *name;
        void (*act)(server *sv, slots_job *j);
        json_t *(*shape)(const slots_job *j);
    } actions[] = {{"save", save, saved}, {"restore", restore, restored}, {"erase", erase, erased}};
    const char *name = http_query(x, "action");
    for (size_t i = 0; name && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].name, name) != 0) continue;
        j->act = actions[i].act;
        j->shape = actions[i].shape;
        return true;
    }
    reply_error(x, 400, NULL, "action must be save, restore or erase", "action");
    return false;
}

void llama_slots_action(exchange *x)
{
    tawny_error err;
    if (x->sv->config.slot_dir < 0) {
        reply_error(x, 400, "not_supported_error", "This server does not support slots action. Start it with `--slot-save-path`", NULL);
        return;
    }
    slots_job *j = calloc(1, sizeof *j);
    if (!j) {
        reply_error(x, 500, NULL, "out of memory", NULL);
        return;
    }
    j->file.fd = -1;
    x->own = j;
    x->free_own = free;
    if (!read_slot(x, j) || !read_action(x, j) || !exchange_params(x, slots_params, j)) return;
    if (j->act != erase && slot_file_check(j->filename ? j->filename : "", &err) != TAWNY_OK) reply_status(x, &err, "filename");
    else exchange_aside(x, act, done);
}
